package message

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMessageID(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"<a@b>", "a@b"},
		{"\n <a@b>", "a@b"},
		{"< a@b >", "a@b"},
		{"<<a@b>>", "a@b"},
		{"a@b", "a@b"},
		{"a@b (added by x)", "a@b"},
		{"(c@d) <a@b> (added)", "a@b"},
		{"<a(b)c@d>", "a(b)c@d"},
		{"<a@b", "a@b"},
		{"a@b>", "a@b"},
		{"<[removed]>", "[removed]"},
		{"<no-at>", "no-at"},
		{"some words", "some words"},
		{"<>", ""},
		{"", ""},
	} {
		if got := Parse([]byte("Message-ID: " + test.in + "\n\n")).MessageID; got != test.want {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{"<a@b> <c@d>\n\t<e@f>", []string{"a@b", "c@d", "e@f"}},
		{"<a@b><c@d>,<e@f>", []string{"a@b", "c@d", "e@f"}},
		{"Your message of \"Mon, 2 Jan 2006\" <a@b>", []string{"a@b"}},
		{"Your message of yesterday", nil},
		{"a@b", []string{"a@b"}},
		{"a@b, c@d", []string{"a@b", "c@d"}},
		{"<a@b <c@d>", []string{"a@b", "c@d"}},
		{"<a@b> <c@d", []string{"a@b", "c@d"}},
		{"<> <a@b>", []string{"a@b"}},
		{"", nil},
	} {
		m := Parse([]byte("In-Reply-To: " + test.in + "\nReferences: " + test.in + "\n\n"))
		if diff := cmp.Diff(test.want, m.InReplyTo); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
		if diff := cmp.Diff(test.want, m.References); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
	}
}
