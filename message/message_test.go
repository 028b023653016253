package message

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// named is what a header was split into: "Name=Value".
func named(m *Message) []string {
	var out []string
	for _, f := range m.Fields {
		out = append(out, f.Name+"="+f.Value)
	}
	return out
}

func TestParseHeader(t *testing.T) {
	for _, test := range []struct {
		name    string
		raw     string
		fields  []string
		body    string // what follows HeaderSize
		ends    LineEnds
		defects []Defect
	}{
		{"lf", "A: b\nC: d\n\nbody\n", []string{"A=b", "C=d"}, "body\n", LF, nil},
		{"crlf", "A: b\r\nC: d\r\n\r\nbody", []string{"A=b", "C=d"}, "body", CRLF, nil},
		{"cr", "A: b\rC: d\r e\r\rbody\r", []string{"A=b", "C=d e"}, "body\r", CR, nil},
		{"mixed", "A: b\r\nC: d\n\r\nbody", []string{"A=b", "C=d"}, "body", Mixed, nil},
		{"no line end", "A: b", []string{"A=b"}, "", None, nil},
		{"crcrlf", "A: b\r\r\nC: d\r\r\n\r\r\nbody", []string{"A=b", "C=d"}, "body", CRLF, nil},
		{"lone cr is data", "A: b\rc\nD: e\n\nx", []string{"A=b c", "D=e"}, "x", LF, nil},
		{"folded", "A: b\n c\n\td\nE:\n f\n\n", []string{"A=b c\td", "E=f"}, "", LF, nil},
		{"line of blanks continues", "A: b\n  \n c\nD: e\n\nx", []string{"A=b   c", "D=e"}, "x", LF, nil},
		{"blanks before colon", "Subject \t: x\n\n", []string{"Subject=x"}, "", LF, nil},
		{"no body", "A: b\nC: d\n", []string{"A=b", "C=d"}, "", LF, nil},
		{"empty", "", nil, "", None, []Defect{DefectEmpty}},
		{"blank line only", "\nbody: x\n", nil, "body: x\n", LF, []Defect{DefectNoHeader}},
		{"text", "Hello you\nthere\n\nSubject: x\n", nil, "Hello you\nthere\n\nSubject: x\n", LF, []Defect{DefectNoHeader}},
		{"blank lines first", "\n\nFrom: a@b\n\nx", []string{"=", "From=a@b"}, "x", LF, []Defect{DefectLeadingBlank}},
		{"folding first", "\tx\nFrom: a@b\n\nx", []string{"=x", "From=a@b"}, "x", LF, []Defect{DefectLeadingFolding}},
		{"mbox", "From a@b Mon\nA: b\n\nx", []string{"=From a@b Mon", "A=b"}, "x", LF, []Defect{DefectMboxFromLine}},
		{"mbox quoted", ">From a@b Mon\nA: b\n\nx", []string{"=>From a@b Mon", "A=b"}, "x", LF, []Defect{DefectMboxFromLine}},
		{"from in prose", "From here on\nit is text\n\nx", nil, "From here on\nit is text\n\nx", LF, []Defect{DefectNoHeader}},
		{"garbage between", "A: b\ngarbage\n folded\nReceived: c\n\nx", []string{"A=b", "=garbage folded", "Received=c"}, "x", LF, []Defect{DefectNoColon}},
		{"name with a blank", "A: b\nX Y: c\nX-Z: d\n\nx", []string{"A=b", "=X Y: c", "X-Z=d"}, "x", LF, []Defect{DefectNoColon}},
		{"blank line forgotten", "A: b\nbody\nNote: c\n\nmore", []string{"A=b"}, "body\nNote: c\n\nmore", LF, []Defect{DefectNoBlankLine}},
		{"blank line forgotten before a part", "A: b\n--x\nContent-Type: text/plain\n\nmore", []string{"A=b"}, "--x\nContent-Type: text/plain\n\nmore", LF, []Defect{DefectNoBlankLine}},
		{"garbage to the end", "A: b\ngarbage", []string{"A=b"}, "garbage", LF, []Defect{DefectNoBlankLine}},
		{"empty name", "A: b\n: c\nX-D: e\n\n", []string{"A=b", "=: c", "X-D=e"}, "", LF, []Defect{DefectNoColon}},
		{"8-bit name", "Inval\xecd: b\n\n", []string{"Invalìd=b"}, "", LF, []Defect{DefectName8bit}},
		{"byte order mark", "\xef\xbb\xbfFrom: b@c\n\n", []string{"From=b@c"}, "", LF, []Defect{DefectName8bit}},
		{"nul", "A\x00B: c\x00d\n\n", []string{"A\uFFFDB=c\uFFFDd"}, "", LF, []Defect{DefectName8bit, DefectHeaderNUL}},
		{"name too long", "A: b\n" + strings.Repeat("x", 300) + ": y\n\n", []string{"A=b"}, strings.Repeat("x", 300) + ": y\n\n", LF, []Defect{DefectNoBlankLine}},
		{"duplicates", "Subject: a\nSubject: b\nDate: ?\nDate: 1 Jan 2000 00:00 Z\nMessage-ID: <>\nMessage-ID: <c>\nFrom: a@b\nFrom: c@d\n\n",
			[]string{"Subject=a", "Subject=b", "Date=?", "Date=1 Jan 2000 00:00 Z", "Message-ID=<>", "Message-ID=<c>", "From=a@b", "From=c@d"}, "", LF,
			[]Defect{DefectDuplicateSubject, DefectDateNotUnderstood, DefectDuplicateDate, DefectDuplicateMessageID, DefectDuplicateFrom}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := Parse([]byte(test.raw))
			if diff := cmp.Diff(test.fields, named(m)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if body := test.raw[m.HeaderSize:]; body != test.body {
				t.Errorf("body is %q, want %q", body, test.body)
			}
			if m.LineEnds != test.ends {
				t.Errorf("line ends are %q, want %q", m.LineEnds, test.ends)
			}
			if diff := cmp.Diff(test.defects, m.Defects); diff != "" {
				t.Errorf("defects (-want +got):\n%s", diff)
			}
			for _, problem := range broken([]byte(test.raw), m) {
				t.Error(problem)
			}
		})
	}
}

func TestParsePlain(t *testing.T) {
	for _, test := range []struct {
		field string
		want  bool
	}{
		{"A: b\n", true},
		{"A:\tb\t c \r\n", true},
		{"A : b\r\n\tc\n", true},
		{"A:\n", true},
		{"A: =?no word?=\n", true},
		{"A: =?utf-8?q?b?=\n", false},
		{"A: b\rc\n", false},
		{"A: b\r\r\n", false},
		{"A: \xc3\xa4\n", false},
		{"A: \x01\n", false},
		{"\xc3\xa4: b\n", false},
		{"From x\n", false},
	} {
		m := Parse([]byte(test.field + "X-A: b\n\n"))
		if got := m.Fields[0].Plain; got != test.want {
			t.Errorf("%q: plain is %v", test.field, got)
		}
	}
}

func TestParseLimits(t *testing.T) {
	raw := []byte(strings.Repeat("A: b\n", MaxFields+5) + "\nbody")
	m := Parse(raw)
	if len(m.Fields) != MaxFields || string(raw[m.HeaderSize:]) != "body" || !cmp.Equal(m.Defects, []Defect{DefectTooManyFields}) {
		t.Errorf("%d fields, body %q, %v", len(m.Fields), raw[m.HeaderSize:], m.Defects)
	}
	m = Parse([]byte("To: " + strings.Repeat("a@b, ", MaxAddresses+1) + "c@d\n\n"))
	if len(m.To) != MaxAddresses || !cmp.Equal(m.Defects, []Defect{DefectTooManyAddresses}) {
		t.Errorf("%d addresses, %v", len(m.To), m.Defects)
	}
	m = Parse([]byte("References: " + strings.Repeat("<a@b> ", MaxIDs+1) + "\n\n"))
	if len(m.References) != MaxIDs || !cmp.Equal(m.Defects, []Defect{DefectTooManyIDs}) {
		t.Errorf("%d ids, %v", len(m.References), m.Defects)
	}
}

// The files of testdata/message are named by what is wrong with them.
func TestParseFixtures(t *testing.T) {
	type result struct {
		Subject string
		From    []Address
		Date    string
		Body    string // its first line
		Defects []Defect
	}
	for file, want := range map[string]result{
		"blank-line-missing.eml":         {"Lunch", []Address{{"Ann", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.", []Defect{DefectNoBlankLine}},
		"line-without-colon.eml":         {"Lunch", []Address{{"Ann", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.", []Defect{DefectNoColon}},
		"line-ends-cr.eml":               {"Lunch", []Address{{"Ann", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.\rAnn\r", nil},
		"header-8bit-big5.eml":           {"中文標題", []Address{{"王小明, 功", "wang@example.com"}}, "2024-05-01T12:00:00+08:00", "\xa4\xa4", []Defect{DefectHeader8bit}},
		"encoded-word-split-rune.eml":    {"Größe und Fuß", []Address{{"Jörg Groß", "joerg@example.com"}}, "2024-05-01T12:00:00+02:00", "Hallo", nil},
		"comma-unquoted-in-name.eml":     {"Lunch", []Address{{"Doe, Ann", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.", []Defect{DefectAddress}},
		"encoded-word-with-an-lf.eml":    {"Lunch Bcc: x@example.com", []Address{{"Ann", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.", nil},
		"header-begins-with-fold.eml":    {"Lunch", []Address{{"Ann", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.", []Defect{DefectLeadingFolding}},
		"date-of-ctime-with-zone.eml":    {"Lunch", []Address{{"Ann", "ann@example.com"}}, "2024-05-01T12:00:00-04:00", "Let us meet at noon.", nil},
		"encoded-word-in-its-quotes.eml": {"Lunch", []Address{{"Doe, Ann <x>", "ann@example.com"}}, "2024-05-01T12:00:00+02:00", "Let us meet at noon.", nil},
	} {
		raw, err := os.ReadFile(filepath.Join("..", "testdata", "message", file))
		if err != nil {
			t.Fatal(err)
		}
		m := Parse(raw)
		got := result{From: m.From, Defects: m.Defects}
		if m.Subject != nil {
			got.Subject = *m.Subject
		}
		if m.Date != nil {
			got.Date = m.Date.Format("2006-01-02T15:04:05-07:00")
		}
		got.Body, _, _ = strings.Cut(string(raw[m.HeaderSize:]), "\n")
		got.Body = strings.TrimSuffix(got.Body, "\r")
		if file == "line-ends-cr.eml" {
			got.Body = string(raw[m.HeaderSize:])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestClean(t *testing.T) {
	for _, test := range []struct {
		in, want string
		changed  bool
	}{
		{"", "", false},
		{"Größe", "Größe", false},
		{"a\x00b", "a\uFFFDb", true},
		{"a\xff\xfeb\x00", "a\uFFFDb\uFFFD", true},
		{"\xed\xa0\x80", "\uFFFD", true}, // half of a surrogate pair
	} {
		if got, changed := Clean(test.in); got != test.want || changed != test.changed {
			t.Errorf("Clean(%q) = %q, %v", test.in, got, changed)
		}
	}
}

// A header without end must not cost many times its size in memory.
func TestParseBoundsTheHeader(t *testing.T) {
	subject := "Subject: first\n"
	for _, rest := range []string{"X: " + strings.Repeat("\xe9", MaxHeader) + "\n", strings.Repeat("X: "+strings.Repeat("y", 1000)+"\n", MaxHeader/1000)} {
		m := Parse([]byte(subject + rest + "Subject: second\n\nbody"))
		if m.Subject == nil || *m.Subject != "first" || !slices.Contains(m.Defects, DefectHeaderTooLarge) {
			t.Errorf("subject %v, defects %v", m.Subject, m.Defects)
		}
		if last := m.Fields[len(m.Fields)-1]; last.End > MaxHeader || m.HeaderSize < len(rest) {
			t.Errorf("the last field ends at %d of a header of %d", last.End, m.HeaderSize)
		}
	}
}
