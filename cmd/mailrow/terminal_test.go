package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"mailrow/internal/screen"
)

func TestPrintable(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain, Jürgen, 漢字, 👩\u200d💻", "plain, Jürgen, 漢字, 👩\u200d💻"},
		{"\x1b[2J", `\x1b[2J`},
		{"a\tb\r\n", `a\x09b\x0d\x0a`},
		{"\x7f\u009b", `\x7f\u009b`},
		{"\u202etxt.exe", `\u202etxt.exe`},
		{"\u2028\ufeff\U000e0001", `\u2028\ufeff\U000e0001`},
		{"broken \xff", "broken \uFFFD"},
	}
	for _, test := range tests {
		if got := printable(test.in); got != test.want {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
	}
}

// What a program reads back is what was there, and a terminal obeys none of it.
func TestJSONIsExactAndPrintable(t *testing.T) {
	const in = "\x1b \x7f \u009b \u202e \u2028 \U000e0001 \"\\ <é漢👩\u200d💻>"
	var out bytes.Buffer
	p := &program{out: &out}
	if err := p.writeJSON(in); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(strings.TrimSuffix(out.String(), "\n"), screen.Obeyed); i >= 0 {
		t.Errorf("%q is obeyed at byte %d", out.String(), i)
	}
	var got string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != in {
		t.Errorf("got %q, %v", got, err)
	}
}
