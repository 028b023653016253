package message

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// broken returns which promises of Parse do not hold for m, read from raw.
func broken(raw []byte, m *Message) []string {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	if m.HeaderSize < 0 || m.HeaderSize > len(raw) {
		problem("HeaderSize %d of %d", m.HeaderSize, len(raw))
		return problems
	}
	pos := 0
	for i, f := range m.Fields {
		if f.Start != pos || f.End <= f.Start || f.End > m.HeaderSize {
			problem("field %d is %d..%d after %d", i, f.Start, f.End, pos)
			return problems
		}
		pos = f.End
		if f.Plain && f.Value != plainValue(raw[f.Start:f.End]) {
			problem("field %d is not plain: %q from %q", i, f.Value, raw[f.Start:f.End])
		}
		if name, _, _ := bytes.Cut(raw[f.Start:f.End], []byte(":")); f.Plain && (f.Name == "" || f.Name != strings.TrimRight(string(name), " \t")) {
			problem("field %d: name %q from %q", i, f.Name, raw[f.Start:f.End])
		}
		if !f.Plain && isPlain(raw[f.Start:f.End]) && f.Name != "" && isNameASCII(raw[f.Start:f.End]) && f.Value == plainValue(raw[f.Start:f.End]) {
			problem("field %d is plain: %q", i, raw[f.Start:f.End])
		}
	}
	rest := raw[pos:m.HeaderSize]
	if !slices.Contains(m.Defects, DefectTooManyFields) && len(bytes.Trim(rest, "\r")) > 1 ||
		len(rest) > 0 && !bytes.ContainsAny(rest, "\r\n") {
		problem("%q between the last field and the body", rest)
	}
	if strings.Contains(string(rest), "\n") && m.LineEnds == CR {
		problem("LF in a mail without")
	}
	for _, s := range texts(m) {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00") {
			problem("not storable: %q", s)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(m.Defects)))) != len(m.Defects) {
		problem("a defect twice: %v", m.Defects)
	}
	return append(problems, brokenBody(raw, m)...)
}

// plainValue is the definition of Field.Plain, to be done in SQL as well.
func plainValue(field []byte) string {
	_, value, _ := strings.Cut(string(field), ":")
	value = strings.ReplaceAll(value, "\r\n", "")
	value = strings.ReplaceAll(value, "\n", "")
	return strings.Trim(value, " \t")
}

func isPlain(field []byte) bool {
	_, value, ok := strings.Cut(string(field), ":")
	value = strings.ReplaceAll(value, "\r\n", "")
	for i := 0; i < len(value); i++ {
		if c := value[i]; (c < ' ' || c > '~') && c != '\t' && c != '\n' {
			return false
		}
	}
	return ok
}

func isNameASCII(field []byte) bool {
	name, _, _ := strings.Cut(string(field), ":")
	name = strings.TrimRight(name, " \t")
	return strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func texts(m *Message) []string {
	all := []string{m.MessageID}
	if m.Subject != nil {
		all = append(all, *m.Subject)
	}
	for _, f := range m.Fields {
		all = append(all, f.Name, f.Value)
	}
	for _, list := range [][]Address{m.From, m.Sender, m.ReplyTo, m.To, m.Cc} {
		for _, a := range list {
			all = append(all, a.Name, a.Address)
		}
	}
	for _, p := range m.Parts {
		all = append(all, p.Section, p.Type, p.Charset, p.Disposition, p.Filename, p.ContentID, p.Encoding)
	}
	all = append(all, m.ContentType, m.AutoSubmitted, m.ListID)
	return append(append(all, m.InReplyTo...), m.References...)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"From: a@b\r\nTo: c@d\r\nSubject: =?utf-8?q?=C3=A4?= =?utf-8?b?w6Q=?=\r\n\r\nbody",
		"Subject: a\n b\n\tc\n\nbody", "\n\nFrom: x\n\n", " x\nFrom: y\n", "From x\nA: b\n\n",
		"A: b\rC: d\r\rbody", "A: b\ngarbage\nReceived: c\n\n", "A: b\ntext\n\nmore", "plain text",
		"Date: Mon, 2 Jan 2006 15:04:05 +0200 (CEST)\nMessage-ID: <a@b>\nReferences: <a> <b\n\n",
		"To: Doe, John <j@x>, \"a, b\" <c@d>; g: e@f, (c) h@i (n (m));\nCc: <@a,@b:c@d>, <<x>>, \"u\n\n",
		"Content-Type: text/plain; charset=big5\nSubject: \xa4\xa4\nX: \x00\n\n",
		"To: ((((, \"\"\", <<<<, =?x?q?\nDate: 1/2/3\n\n",
		"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/alternative; boundary=x\n\n--x\n\na\n--x--\n--x\nContent-Type: text/html; charset=big5\nContent-Transfer-Encoding: quoted-printable\n\n=A4=A4=\n--x--\n",
		"Content-Type: multipart/digest; boundary=\"a b\"\r\n\r\n--a b\r\n\r\nSubject: x\r\n\r\n--a b \r\nContent-Type: message/rfc822\r\n\r\nContent-Type: text/plain; name*0*=utf-8''%c3; name*1=x\r\n\r\n--a b--\r\n",
		"Content-Type: multipart/mixed\n\n--y\n\nbegin 644 a\n#0V%T\n`\nend\n--y\nContent-Transfer-Encoding: base64\n\nYQ==\nYg\n--z\n--y--\n",
		"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\nPG1ldGEgY2hhcnNldD1rb2k4LXI+wQ==\n",
		"A: b\rContent-Type: multipart/x; boundary=x\r\r--x\r\ra\r--x\rb\r--x--",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		m := Parse(raw)
		for _, problem := range broken(raw, m) {
			t.Error(problem)
		}
		if !bytes.Equal(raw, before) {
			t.Error("raw was changed")
		}
	})
}
