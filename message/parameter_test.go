package message

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestContentType(t *testing.T) {
	for _, test := range []struct {
		in, kind, charset, name string
		defects                 []Defect
	}{
		{"text/plain; charset=utf-8", "text/plain", "utf-8", "", nil},
		{"Text/HTML;charset=\"UTF-8\";name=\"a b.html\"", "text/html", "utf-8", "a b.html", nil},
		{"text/plain;\r\n\tcharset = \"utf-8\"", "text/plain", "utf-8", "", nil},
		{"text/plain (a comment (in it)); charset=us-ascii (Plain text)", "text/plain", "us-ascii", "", nil},
		{"text / plain ; charset=x", "text/plain", "x", "", nil},
		{"text /plain; charset=x", "text/plain", "x", "", nil},
		{"text/plain; charset = \"utf-8\" ;; name=foo bar.pdf", "text/plain", "utf-8", "foo bar.pdf", []Defect{DefectParameter}},
		{"text/plain; name=foo (1).pdf; charset=x", "text/plain", "x", "foo (1).pdf", []Defect{DefectParameter}},
		{"text/plain; name=foo bar.pdf charset=x", "text/plain", "x", "foo bar.pdf", []Defect{DefectParameter}},
		{"text/plain; name=\"foo\" charset=x", "text/plain", "x", "foo", nil},
		{"text/plain; charset=x name=foo", "text/plain", "x", "foo", nil},
		{"text/plain charset=x", "text/plain", "x", "", []Defect{DefectParameter}},
		{"text/plain; charset=\"x; name=foo", "text/plain", "x", "foo", []Defect{DefectParameter}},
		{"text/plain; name=\"a \"b\" c.txt\"; charset=x", "text/plain", "x", "a \"b\" c.txt", nil},
		{"text/plain; name=\"a\"b; charset=x", "text/plain", "x", "a", []Defect{DefectParameter}},
		{"text/plain; name=\"C:\\temp\\\\new \\\"x\\\".txt\"", "text/plain", "", "C:\\temp\\new \"x\".txt", nil},
		{"text/plain; charset=a; charset=b; name=c; name=d", "text/plain", "a", "c", nil},
		{"text/plain; charset=\"UTF-8\\n\"", "text/plain", "utf-8", "", nil},
		{"text/plain; charset='utf-8'", "text/plain", "utf-8", "", nil},
		{"text/plain; charset", "text/plain", "", "", []Defect{DefectParameter}},
		{"text/plain; =x; charset=y", "text/plain", "y", "", []Defect{DefectParameter}},
		{"\"text/html\"; charset=x", "text/html", "x", "", nil},
		{"text", "text/plain", "", "", []Defect{DefectContentType}},
		{"text; charset=x", "text/plain", "x", "", []Defect{DefectContentType}},
		{"text/", "text/plain", "", "", []Defect{DefectContentType}},
		{"text/plain/x", "text/plain", "", "", []Defect{DefectContentType}},
		{"cannot open (no such file)", "text/plain", "", "", []Defect{DefectParameter, DefectContentType}},
		{"", "text/plain", "", "", []Defect{DefectContentType}},
		{"(((", "text/plain", "", "", []Defect{DefectParameter, DefectContentType}},
		{"image/png; name==?utf-8?q?=C3=A4.png?=", "image/png", "", "ä.png", nil},
		{"image/png; name=\"=?utf-8?q?a_b?=\r\n =?utf-8?q?=C3=A4.png?=\"", "image/png", "", "a bä.png", nil},
		{"image/png; name=\"\xc3\xa4.png\"", "image/png", "", "ä.png", nil},
		{"image/png; name=\"\xe4.png\"", "image/png", "", "ä.png", []Defect{DefectHeader8bit}},
		{"text/html; name=\"\xa4\\.html\"; charset=big5", "text/html", "big5", "么.html", []Defect{DefectHeader8bit}},
	} {
		m := Parse([]byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: " + test.in + "\r\n\r\n\r\n--x--\r\n"))
		p := m.Parts[1]
		m.Defects = slices.DeleteFunc(m.Defects, func(d Defect) bool { return d == DefectTextUnknownCharset })
		if p.Type != test.kind || p.Charset != test.charset || p.Filename != test.name || !slices.Equal(m.Defects, test.defects) {
			t.Errorf("%q: %q, charset %q, name %q, %v", test.in, p.Type, p.Charset, p.Filename, m.Defects)
		}
	}
}

func TestFilename(t *testing.T) {
	for _, test := range []struct{ in, disposition, want string }{
		{"attachment; filename=a.txt", "attachment", "a.txt"},
		{"ATTACHMENT; FileName=\"a b.txt\"", "attachment", "a b.txt"},
		{"filename=\"a.txt\"", "", "a.txt"},
		{"attachment; filename*=utf-8''%C3%A4.txt", "attachment", "ä.txt"},
		{"attachment; filename*=iso-8859-1'en'%E4.txt", "attachment", "ä.txt"},
		{"attachment; filename*=\"utf-8''%C3%A4.txt\"", "attachment", "ä.txt"},
		{"attachment; filename=x; filename*=utf-8''%C3%A4.txt", "attachment", "ä.txt"},
		{"attachment; filename=x.txt; filename*=utf-8''%FF%FE", "attachment", "ÿþ"},
		{"attachment; filename*=utf-8''100%.txt", "attachment", "100%.txt"},
		{"attachment; filename*=%C3%A4.txt", "attachment", "ä.txt"},
		{"attachment; filename*=x-nonsense''%C3%A4.txt", "attachment", "ä.txt"},
		{"attachment; filename*0=\"a \"; filename*1=b; filename*2=.txt", "attachment", "a b.txt"},
		{"attachment; filename*1=b; filename*0=a; filename*1=c; filename*10=.txt; filename*2=d", "attachment", "abd.txt"},
		{"attachment; filename*0*=utf-8''%C3; filename*1*=%A4%20; filename*2=\"b%20.txt\"", "attachment", "ä b%20.txt"},
		{"attachment; filename*0*=koi8-r''%C1; filename*3*=%C1", "attachment", "аа"},
		{"attachment; filename*0=\"=?utf-8?q?=C3=A4\"; filename*1=\".txt?=\"", "attachment", "ä.txt"},
		{"attachment; filename*x=a; filename*=; name=b", "attachment", ""},
		{"attachment; filename=\"../a\\b:c.txt\"", "attachment", "../a\\b:c.txt"},
		{"inline", "inline", ""},
		{"attachment; filename=\"\"", "attachment", ""},
		{"attachment; filename=\"=?utf-8?q?a=0Ab=00c?=\"", "attachment", "a b\uFFFDc"},
	} {
		m := Parse([]byte("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: image/png\nContent-Disposition: " + test.in + "\n\n\n--x--\n"))
		if p := m.Parts[1]; p.Disposition != test.disposition || p.Filename != test.want {
			t.Errorf("%q: %q, %q, want %q", test.in, p.Disposition, p.Filename, test.want)
		}
	}
	m := Parse([]byte("Content-Disposition: attachment; filename=a\nContent-Type: image/png; name=b\nContent-ID: <c@d>\n\n"))
	if p := m.Parts[0]; p.Filename != "a" || p.ContentID != "c@d" {
		t.Errorf("%q, id %q", p.Filename, p.ContentID)
	}
}

func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"text/plain; charset=utf-8", "x/y; name*0*=utf-8''%c3; name*1=b; name*=a'b'c", "a/b; name=\"x\"y\" charset=z; (c \\",
		"a / b;;;=;name=a b (c) charset = d", "\"a/b\" name==?utf-8?q?a?= =?x?",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := reader{m: &Message{}}
		text, _ := r.decodeText(value)
		s := parseStructured(text)
		for _, name := range []string{"charset", "name", "filename", "boundary"} {
			got := r.parameter(s, name)
			if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\n") {
				t.Errorf("%s of %q is %q", name, value, got)
			}
		}
		if label := charsetLabel(text); strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_.:+*") != "" {
			t.Errorf("charset %q", label)
		}
	})
}
