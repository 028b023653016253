package export

import (
	"bytes"
	"strings"
	"testing"
)

// It does not matter where one write ends and the next begins.
func TestQuoterInPieces(t *testing.T) {
	const in = "From a\n>From b\n>>>From c\nFrom\nFro\n > From \n>\n>>F\n>Frow From \n\r\nFrom \r\n>>>Fr"
	const want = ">From a\n>>From b\n>>>>From c\nFrom\nFro\n > From \n>\n>>F\n>Frow From \n\r\n>From \r\n>>>Fr"
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		q := quoter{w: &out, atStart: true}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if wrote, err := q.Write([]byte(rest[:n])); err != nil || wrote != n {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		if err := q.end(); err != nil || out.String() != want {
			t.Errorf("pieces of %d: %v\ngot  %q\nwant %q", size, err, out.String(), want)
		}
	}
}

func TestComponent(t *testing.T) {
	for in, want := range map[string]string{
		"ann@example.com": "ann@example.com",
		"..":              "%2E.",
		"a/b":             "a%2Fb",
		"a%2Fb":           "a%252Fb",
		"":                "%",
		"1.eml":           "1%2Eeml",
		"日本":              "日本",
	} {
		if got := component(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("ü", 300)
	if a, b := component(long), component(long+"x"); a == b || len(a) > 255 {
		t.Errorf("%d bytes, %q and %q", len(a), a, b)
	}
}
