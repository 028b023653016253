package message

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnpackUU(t *testing.T) {
	const file = "begin 644 a.txt\n#86)C\n`\nend\n"
	for _, test := range []struct {
		name, head, body string
		files            []string
		text             string
		stored           bool
	}{
		{"only a file", "", file, []string{"1:1 a.txt abc"}, "", false},
		{"text around", "", "x\n\n" + file + "y\n", []string{"1:1 a.txt abc"}, "x\n\ny\n", false},
		{"two files", "", "x\n" + file + "y\n" + file, []string{"1:1 a.txt abc", "1:2 a.txt abc"}, "x\ny", false},
		{"two in a row", "", file + file, []string{"1:1 a.txt abc", "1:2 a.txt abc"}, "", false},
		{"crlf", "", strings.ReplaceAll("x\n"+file+"y\n", "\n", "\r\n"), []string{"1:1 a.txt abc"}, "x\ny\n", false},
		{"name with blanks", "", "begin 0644 a b \n#86)C\nend", []string{"1:1 a b abc"}, "", false},
		{"blanks lost", "", "begin 644 a\n&86)C\nend\n", []string{"1:1 a abc\x00\x00\x00"}, "", false},
		{"without end", "", "x\nbegin 644 a\n#86)C\n`\n", []string{"1:1 a abc"}, "x", false},
		{"without end and last line", "", "begin 644 a\n#86)C\n#86)C", []string{"1:1 a abcabc"}, "", false},
		{"cut off in a line", "", "begin 644 a\n#86)C\n#86\n", []string{"1:1 a abc"}, "#86\n", false},
		{"text instead of an end", "", "begin 644 a\n#86)C\n`\n\nBYE\n", []string{"1:1 a abc"}, "\nBYE\n", false},
		{"another instead of an end", "", "begin 644 b\n#86)C\n" + file, []string{"1:1 b abc", "1:2 a.txt abc"}, "", false},
		{"only a begin", "", "begin 644 a\n\nHELLO\n", nil, "begin 644 a\n\nHELLO\n", false},
		{"prose", "", "begin 644 a\nthis is it\nend\n", nil, "begin 644 a\nthis is it\nend\n", false},
		{"no permissions", "", "begin the day\nend\n", nil, "begin the day\nend\n", false},
		{"after what is none", "", "begin 644 b\n" + file, []string{"1:1 a.txt abc"}, "begin 644 b", false},
		{"in quoted-printable", "Content-Transfer-Encoding: quoted-printable\n", "=C3=A4\n" + file + "y\n", []string{"1:1 a.txt abc"}, "ä\ny\n", true},
		{"8-bit", "Content-Type: text/plain; charset=latin1\n", "\xe4\n" + file + "y\n", []string{"1:1 a.txt abc"}, "ä\ny\n", false},
		{"in HTML", "Content-Type: text/html\n", file, nil, "begin 644 a.txt #86)C ` end", true},
		{"in a file", "Content-Disposition: attachment\n", file, nil, "", true},
	} {
		raw := []byte(test.head + "\n" + test.body)
		m := Parse(raw)
		var files []string
		for i := range m.Parts[1:] {
			p := &m.Parts[i+1]
			files = append(files, fmt.Sprintf("%s %s %s", p.Section, p.Filename, p.Decode(raw)))
		}
		if diff := cmp.Diff(test.files, files); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if got := m.Text.String(raw); got != test.text || (m.Text.Pieces == nil) != test.stored {
			t.Errorf("%s: text is %q, stored %v", test.name, got, m.Text.Pieces == nil)
		}
		for _, problem := range broken(raw, m) {
			t.Errorf("%s: %s", test.name, problem)
		}
	}
}

func TestUUWithoutEnd(t *testing.T) {
	for _, head := range []string{"", "Content-Transfer-Encoding: x-uuencode\n"} {
		for end, want := range map[string][]Defect{"": {DefectUUNoEnd}, "end\n": nil} {
			if m := Parse([]byte(head + "\nbegin 644 a\n#86)C\n`\n" + end)); !slices.Equal(slices.DeleteFunc(m.Defects, func(d Defect) bool { return d == DefectNoHeader }), want) {
				t.Errorf("%q, %q: %v", head, end, m.Defects)
			}
		}
	}
}

func TestUnpackTNEFThatIsNone(t *testing.T) {
	m := Parse([]byte("Content-Type: application/ms-tnef\n\nno TNEF\n"))
	if len(m.Parts) != 1 || !m.Parts[0].Attachment || !slices.Equal(m.Defects, []Defect{DefectTNEF}) {
		t.Errorf("%+v, %v", m.Parts, m.Defects)
	}
	if m := Parse([]byte("Content-Type: text/plain; name=winmail.dat\n\nno TNEF\n")); m.Defects != nil {
		t.Error(m.Defects)
	}
}

func TestUnpackedIsBounded(t *testing.T) {
	b := tree{m: &Message{}, unpackable: 10}
	if !b.mayUnpack(4) || b.mayUnpack(7) || !b.mayUnpack(6) || !slices.Equal(b.m.Defects, []Defect{DefectUnpackedTooLarge}) {
		t.Errorf("%d bytes left, %v", b.unpackable, b.m.Defects)
	}
}
