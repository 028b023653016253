package message

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncodedWords(t *testing.T) {
	for _, test := range []struct {
		name, value, want string
		defects           []Defect
	}{
		{"q", "=?ISO-8859-1?Q?Gr=F6=DFe_1?=", "Größe 1", nil},
		{"b", "=?utf-8?b?R3LDtsOfZQ==?=", "Größe", nil},
		{"without padding", "=?utf-8?B?R3LDtsOfZQ?=", "Größe", nil},
		{"base64 with junk", "=?utf-8?B?R3L DtsO!fZQ=?=", "Größe", nil},
		{"base64 after padding", "=?utf-8?B?YQ==Yg==?=", "ab", nil},
		{"language", "=?us-ascii*en?Q?hello?=", "hello", nil},
		{"adjacent", "a =?utf-8?q?b?= \t =?utf-8?q?c?= d", "a bc d", nil},
		{"adjacent of two charsets", "=?iso-8859-1?q?=E4?= =?utf-8?q?=C3=A4?=", "ää", nil},
		{"folded", "=?utf-8?q?a?=\n =?utf-8?q?b?=", "ab", nil},
		{"character split", "=?utf-8?b?w6Q=?= =?UTF-8?q?=C3?= =?utf-8?q?=A4?=", "ää", nil},
		{"character split in Big5", "=?big5?q?=A4?= =?big5?q?=A4?=", "中", nil},
		{"stuck to text", "a=?utf-8?q?b?=c", "abc", nil},
		{"no blank between", "=?utf-8?q?a?==?utf-8?q?b?=", "ab", nil},
		{"in quotes", "\"=?utf-8?q?b?=\"", "\"b\"", nil},
		{"blanks in q", "=?utf-8?Q?a b c?= d", "a b c d", nil},
		{"question mark in q", "=?utf-8?Q?why?_me?=", "why? me", nil},
		{"q text begins with an escape", "=?utf-8?Q?=41b?=", "Ab", nil},
		{"broken escapes", "=?utf-8?Q?a=4g=?=", "a=4g=", nil},
		{"empty", "x=?utf-8?Q??=y", "xy", nil},
		{"only empty", "=?utf-8?Q??=", "", nil},
		{"no end", "=?utf-8?Q?abc", "=?utf-8?Q?abc", nil},
		{"no end, then a word", "=?utf-8?Q?abc =?utf-8?Q?d?=", "=?utf-8?Q?abc d", nil},
		{"no encoding", "=?utf-8?X?abc?=", "=?utf-8?X?abc?=", nil},
		{"unknown charset", "=?x-nonsense?Q?abc?= =?utf-8?q?d?=", "=?x-nonsense?Q?abc?= d", []Defect{DefectUnknownCharset}},
		{"two unknown words", "=?x-1?Q?a?= =?x-1?Q?b?=", "=?x-1?Q?a?= =?x-1?Q?b?=", []Defect{DefectUnknownCharset}},
		{"8-bit in us-ascii is utf-8", "=?us-ascii?Q?=C3=A4?=", "ä", nil},
		{"8-bit in us-ascii is windows-1252", "=?us-ascii?Q?=E4=80?=", "ä€", []Defect{DefectCharsetMismatch}},
		{"latin-1 in utf-8", "=?utf-8?Q?caf=E9?=", "café", []Defect{DefectCharsetMismatch}},
		{"utf-8 cut off", "=?utf-8?Q?=C3=A4=C3=B6=C3?=", "äö\uFFFD", []Defect{DefectCharsetMismatch}},
		{"raw utf-8 in a latin-1 word", "=?iso-8859-1?Q?Grö=DFe?=", "Grö\uFFFDe", []Defect{DefectCharsetMismatch}},
		{"nul", "=?utf-8?Q?a=00b?=", "a\uFFFDb", nil},
		{"line ends", "=?utf-8?Q?a=0D=0Ab=0Ac=0Dd?=", "a b c d", nil},
		{"not a word", "why =? what ?= not", "why =? what ?= not", nil},
		{"raw utf-8", "Größe", "Größe", nil},
		{"raw latin-1", "Gr\xf6\xdfe", "Größe", []Defect{DefectHeader8bit}},
		{"raw utf-8, cut", "Grö\xc3", "Grö\uFFFD", []Defect{DefectHeader8bit}},
		{"raw iso-2022-jp", "\x1b$B$3$s\x1b(B", "こん", []Defect{DefectHeader8bit}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := Parse([]byte("Subject: " + test.value + "\n\n"))
			if *m.Subject != test.want {
				t.Errorf("%q: got %q, want %q", test.value, *m.Subject, test.want)
			}
			if diff := cmp.Diff(test.defects, m.Defects); diff != "" {
				t.Errorf("defects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCharsets(t *testing.T) {
	for _, test := range []struct{ label, encoded, want string }{
		{"utf8", "=C3=A4", "ä"},
		{"default", "=C3=A4", "ä"},
		{"x-unknown", "abc", "abc"},
		{"latin1", "=E4=93", "ä“"},
		{"ANSI_X3.4-1968", "abc", "abc"},
		{"iso-8859-2", "=E8", "č"},
		{"iso-8859-5", "=B0", "А"},
		{"iso-8859-8-i", "=E0", "א"},
		{"ISO_8859-9:1989", "=FD", "ı"},
		{"iso-8859-15", "=A4", "€"},
		{"windows-1251", "=C0", "А"},
		{"cp1255", "=E0", "א"},
		{"windows-1256", "=C7", "ا"},
		{"tis-620", "=A1", "ก"},
		{"koi8-r", "=C1", "а"},
		{"koi8-u", "=A4", "є"},
		{"macintosh", "=8A", "ä"},
		{"cp-850", "=84", "ä"},
		{"cp850", "=84", "ä"},
		{"ibm437", "=84", "ä"},
		{"cp866", "=80", "А"},
		{"gb2312", "=D6=D0", "中"},
		{"gbk", "=D6=D0", "中"},
		{"hz-gb-2312", "~{VP~}", "中"},
		{"big5", "=A4=A4", "中"},
		{"x-sjis", "=82=B1", "こ"},
		{"cp932", "=82=B1", "こ"},
		{"euc-jp", "=A4=B3", "こ"},
		{"iso-2022-jp", "=1B$B$3$s=1B(B", "こん"},
		{"ks_c_5601-1987", "=B0=A1", "가"},
		{"euc-kr", "=B0=A1", "가"},
		{"iso-2022-kr", "=1B$)C=0E0!=0F a", "가 a"},
		{"utf-7", "Hi+AOQ- +AOQA9g-!+-", "Hiä äö!+"},
		{"unicode-1-1-utf-7", "+2D3eAA-", "😀"},
		{"utf-16be", "=00=61=00=E4", "aä"},
	} {
		m := Parse([]byte("Subject: =?" + test.label + "?q?" + strings.ReplaceAll(test.encoded, " ", "_") + "?=\n\n"))
		if *m.Subject != test.want || m.Defects != nil {
			t.Errorf("%s: got %q, want %q, %v", test.label, *m.Subject, test.want, m.Defects)
		}
	}
}

func TestHeader8bitCharset(t *testing.T) {
	for _, test := range []struct{ contentType, raw, want string }{
		{"text/plain; charset=big5", "\xa4\xa4", "中"},
		{"text/plain; format=flowed;\r\n charset = \"koi8-r\"", "\xc1", "а"},
		{"text/plain; charset='iso-8859-2'; x=y", "\xe8", "č"},
		{"text/plain; charset=utf-8", "\xe4", "ä"},
		{"text/plain; charset=us-ascii", "\xe4", "ä"},
		{"text/plain; charset=nonsense", "\xe4", "ä"},
		{"multipart/mixed; boundary=x", "\x80", "€"},
		{"", "\xe4", "ä"},
	} {
		m := Parse([]byte("Subject: " + test.raw + "\r\nContent-Type: " + test.contentType + "\r\n\r\n"))
		if *m.Subject != test.want {
			t.Errorf("%q: got %q, want %q", test.contentType, *m.Subject, test.want)
		}
	}
}
