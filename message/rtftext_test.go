package message

import "testing"

func TestRTFText(t *testing.T) {
	for _, test := range []struct{ name, rtf, want string }{
		{"paragraphs", "{\\rtf1\\ansi\\ansicpg1252\r\nLet us\\par\r\nmeet.\\par\r\n}\x00", "Let us\nmeet."},
		{"escapes", `{\rtf1 a\'fc\{b\}\\c\~d\_e\emdash f}`, "aü{b}\\c\u00a0d-e—f"},
		{"8-bit in its code page", "{\\rtf1\\ansicpg1251 \xcf\xf0}", "Пр"},
		{"charset of a font", `{\rtf1{\fonttbl{\f0\fcharset0 Arial;}{\f1\fnil\fcharset204{\*\panose 02}Arial Cyr;}}\f1 \'cf{\f0 \'fc}\'f0\plain\'fc}`, "Пüрü"},
		{"two bytes for a character", `{\rtf1\ansicpg932 \'93\'fa\'96{.}}`, "日\uFFFD."},
		{"Unicode", `{\rtf1\uc1\u233?\u-10179?\u-8704? {\uc2\u252 ue}{\uc0\u228}x\u0?}`, "é😀 üäx\x00"},
		{"destinations", `{\rtf1{\colortbl;\red0;}{\*\generator x;}{\info{\title T}}{\pict\bin3 }}\}a{\field{\*\fldinst LINK}{\fldrslt link}}}`, "alink"},
		{"HTML within", `{\rtf1\fromhtml1{\*\htmltag64 <p>}\htmlrtf \htmlrtf0 Noon{\*\htmltag72 </p>}}`, "Noon"},
		{"cut off", `{\rtf1 a\'f`, "af"},
		{"groups that never began", `}}a}\`, "a"},
		{"number beyond", `{\rtf1\uc99999999999999999999\bin-99999999999999999 a\u99999999999b}`, "ab"},
	} {
		if got := rtfText([]byte(test.rtf), 1000); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := rtfText([]byte(`{\rtf1 \u12354?\u12354?\u12354?}`), 5); got != "ああ" {
		t.Errorf("more than its limit: %q", got)
	}
}
