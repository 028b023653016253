package client

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a server says, it is taken apart to its end.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{
		`(\HasNoChildren) "/" "Entw&APw-rfe"`, "(UID 4 FLAGS (\\Seen odd] x) BODY[HEADER.FIELDS (TO)]<0> {3}\r\na)b)",
		strings.Repeat("(", 1000), `"open`, "{5}\r\nabc", "~{1}\r\nx NIL", ")))(", "[ ] BODY[ (", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bytes := 0
		var count func(tokens []Token)
		count = func(tokens []Token) {
			for _, token := range tokens {
				bytes += len(token.Text)
				count(token.List)
			}
		}
		count((&Response{Args: []byte(text)}).Tokens())
		if bytes > len(text) {
			t.Errorf("%d bytes of %d", bytes, len(text))
		}
		new(Fetch).parse([]byte(text))
		if r, ok := status([]byte(text)); ok && len(r.Code)+len(r.CodeArgs)+len(r.Text) > 3*len(text) {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzUTF7(f *testing.F) {
	for _, seed := range []string{"INBOX", "Entwürfe", "A & B", "日本語", "😀", "&&", "&APw-", "a\x00b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		decoded := DecodeUTF7(name)
		wire := EncodeUTF7(name)
		if !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) {
			return
		}
		if !utf8.ValidString(decoded) {
			t.Errorf("%q becomes %q", name, decoded)
		}
		if got := DecodeUTF7(wire); got != name {
			t.Errorf("%q is %q on the wire and %q again", name, wire, got)
		}
		for _, b := range []byte(wire) {
			if b < ' ' || b > '~' {
				t.Errorf("%q is %q on the wire", name, wire)
			}
		}
	})
}
