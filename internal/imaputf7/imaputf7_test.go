package imaputf7

import (
	"testing"
	"unicode/utf8"
)

func TestEncode(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"INBOX", "INBOX"},
		{"Entwürfe", "Entw&APw-rfe"},
		{"日本語", "&ZeVnLIqe-"},
		{"台北", "&U,BTFw-"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, // RFC 3501 5.1.3
		{"A&B", "A&-B"},
		{"&-", "&--"},
		{"ü&ü", "&APw-&-&APw-"},
		{"😀", "&2D3eAA-"},
		{"tab\there", "tab&AAk-here"},
	}
	for _, test := range tests {
		if got := Encode(test.text); got != test.want {
			t.Errorf("Encode(%q) = %q, want %q", test.text, got, test.want)
		}
		if got, err := Decode(test.want); got != test.text || err != nil {
			t.Errorf("Decode(%q) = %q, %v, want %q", test.want, got, err, test.text)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, s := range []string{
		"ü",              // not encoded
		"a\xff",          // not even text
		"&",              // without an end
		"&APw",           // without an end
		"&AGE-",          // plain text encoded
		"&APw-&APw-",     // encoded in two
		"&AP-",           // half a character
		"&APx-",          // bits too many
		"&2D0-",          // half a pair
		"&U/BTFw-",       // the base64 of others
		"&APw=-",         // padding
		"Tom & Jerry",    // an ampersand as it is
		"a\tb",           // a control character as it is
		"&\n-",           // a line end in base64
		"&AP\nw-",        // the same
		"&-&AGE-",        // after a good one
		"&ZeVnLIqe-&AA-", // one byte
	} {
		if got, err := Decode(s); err == nil {
			t.Errorf("Decode(%q) = %q, want an error", s, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "Entw&APw-rfe", "&2D3eAA-", "&-", "ü", "&", "a\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if text, err := Decode(s); err == nil && (Encode(text) != s || !utf8.ValidString(text)) {
			t.Errorf("Decode(%q) = %q, whose code is %q", s, text, Encode(text))
		}
		if !utf8.ValidString(s) {
			return
		}
		if text, err := Decode(Encode(s)); text != s || err != nil {
			t.Errorf("Decode(Encode(%q)) = %q, %v", s, text, err)
		}
	})
}
