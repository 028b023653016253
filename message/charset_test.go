package message

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCorpusCharsets(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "formats", "charsets", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no mails in charsets: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(file, ".eml") + ".expected.txt")
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m := Parse(raw)
		if got := strings.TrimSpace(m.Text.String(raw)); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s: got %q, want %q, %v", filepath.Base(file), got, want, m.Defects)
		}
		for _, problem := range broken(raw, m) {
			t.Errorf("%s: %s", filepath.Base(file), problem)
		}
	}
}

func TestTextCharsets(t *testing.T) {
	for _, test := range []struct {
		contentType, encoded, want string
		stored                     bool
		defects                    []Defect
	}{
		{"text/plain", "a=C3=A4", "aä", false, nil},
		{"text/plain; charset=us-ascii", "a=C3=A4", "aä", false, nil},
		{"text/plain; charset=utf8", "a=C3=A4", "aä", false, nil},
		{"text/plain; charset=default", "a=C3=A4", "aä", false, nil},
		{"text/plain; charset=x-nonsense", "a=C3=A4", "aä", false, []Defect{DefectTextUnknownCharset}},
		{"text/plain; charset=x-nonsense", "a=E4=80", "aä€", false, []Defect{DefectTextUnknownCharset, DefectTextCharset}},
		{"text/plain", "a=E4", "aä", false, []Defect{DefectTextCharset}},
		{"text/plain; charset=koi8-r", "a", "a", false, nil},
		{"text/plain; charset=koi8-r", "=C1", "а", true, nil},
		{"text/plain; charset=charset=koi8-r", "=C1", "а", true, nil},
		{"text/plain; charset=koi8-u", "=A4", "є", true, nil},
		{"text/plain; charset=cp850", "=84", "ä", true, nil},
		{"text/plain; charset=big5", "=A4=A4", "中", true, nil},
		{"text/plain; charset=gb18030", "=D6=D0", "中", true, nil},
		{"text/plain; charset=x-sjis", "=82=B1", "こ", true, nil},
		{"text/plain; charset=ks_c_5601-1987", "=B0=A1", "가", true, nil},
		{"text/plain; charset=iso-2022-jp", "=1B$B$3$s\nb", "こん\nb", true, nil},
		{"text/plain; charset=iso-2022-jp", "=1B$B$3$=1B(Bb", "こ\uFFFDb", true, []Defect{DefectTextCharset}},
		{"text/plain; charset=iso-2022-jp", "=1B$B=A4=B3", "こ", true, nil},
		{"text/plain; charset=iso-2022-jp", "=82=B1=82=F1", "こん", true, []Defect{DefectTextCharset}},
		{"text/plain; charset=iso-2022-jp", "caf=E9", "café", true, []Defect{DefectTextCharset}},
		{"text/plain; charset=iso-2022-jp-2", "=1B$A<:=1B(Ba=1B$(CGQ=1B(B=1B.A=1BNi=1B.F=1BNa", "己a한éα", true, nil},
		{"text/plain; charset=iso-2022-jp-1", "=1B$(D0!=1B(B", "丂", true, nil},
		{"text/plain; charset=iso-2022-jp-3", "=1B$(Q$3=1B(B", "こ", true, nil},
		{"text/plain; charset=cp50222", "=1B(I1=1B(Bb=0E1=0Fc", "ｱbｱc", true, nil},
		{"text/plain; charset=iso-2022-kr", "=0E>H3g\nb", "안녕\nb", true, nil},
		{"text/plain; charset=iso-2022-cn", "=1B$)A=0EDc:C=0Fb", "你好b", true, nil},
		{"text/plain", "=1B$)C=0E>H3g=0Fb", "안녕b", true, nil},
		{"text/plain; charset=utf-16", "=00a=00b", "ab", true, []Defect{DefectTextCharset}},
		{"text/plain; charset=utf-16be", "a=00b=00", "ab", true, []Defect{DefectTextCharset}},
		{"text/plain; charset=utf-16", "a=C3=A4", "aä", false, []Defect{DefectTextCharset}},
		{"text/plain; charset=hz-gb-2312", "~{VP~}", "中", true, nil},
		{"text/plain; charset=hz", "a", "a", true, nil},
		{"text/plain; charset=iso-2022-jp", "=1B$B$3$s=1B(B", "こん", true, nil},
		{"text/plain; charset=iso-2022-kr", "=1B$)C=0E0!=0F a", "가 a", true, nil},
		{"text/plain; charset=unicode-1-1-utf-7", "+AOQ-", "ä", true, nil},
		{"text/plain; charset=utf-7", "a", "a", true, nil},
		{"text/plain; charset=utf-16", "=FF=FE=E4=00", "ä", true, nil},
		{"text/plain; charset=utf-16be", "=00=E4", "ä", true, nil},
		{"text/plain; charset=utf-32", "=00=00=00=E4", "ä", true, nil},
		{"text/plain; charset=utf-32le", "=E4=00=00=00", "ä", true, nil},
		{"text/plain", "=1B$B$3$s=1B(B", "こん", true, nil},
		{"text/plain; charset=us-ascii", "=1B$B$3$s=1B(B", "こん", true, nil},
		{"text/plain", "a=00b", "a\uFFFDb", true, []Defect{DefectTextNUL}},
		{"text/html", "<meta charset=3D'koi8-r'>=C1", "<meta charset='koi8-r'>а", true, nil},
		{"text/html", "<META http-equiv=3Dx content=3D\"text/html; charset=3Dbig5\">=A4=A4", "<META http-equiv=x content=\"text/html; charset=big5\">中", true, nil},
		{"text/html; charset=utf-8", "<meta charset=3Dkoi8-r>=C3=A4", "<meta charset=koi8-r>ä", false, nil},
		{"text/html", "<meta charset=3Dutf-16>a", "<meta charset=utf-16>a", false, nil},
	} {
		raw := []byte("Content-Type: " + test.contentType + "\nContent-Transfer-Encoding: quoted-printable\n\n" + test.encoded)
		m := Parse(raw)
		body := m.Text
		if strings.HasPrefix(test.contentType, "text/html") {
			body = m.HTML
		}
		if got := body.String(raw); got != test.want || (body.Pieces == nil) != test.stored || !slices.Equal(m.Defects, test.defects) {
			t.Errorf("%s, %s: got %q, stored %v, %v", test.contentType, test.encoded, got, body.Pieces == nil, m.Defects)
		}
		for _, problem := range broken(raw, m) {
			t.Error(problem)
		}
	}
}
