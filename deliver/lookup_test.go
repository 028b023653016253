package deliver

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/message"
	"mailrow/store"
)

func TestLookup(t *testing.T) {
	for _, test := range []struct {
		name       string
		to         message.Recipient
		delimiters string
		want       store.Lookup
	}{
		{"plain", message.Recipient{Address: "Bob@Example.COM"}, "+",
			store.Lookup{Address: "bob@example.com", Base: "bob@example.com"}},
		{"extension found", message.Recipient{Address: "bob+Lists@x"}, "+",
			store.Lookup{Address: "bob+lists@x", Wildcard: "bob+*@x", Base: "bob@x", Extension: "Lists"}},
		{"extension given", message.Recipient{Address: "bob-Lists@x", Extension: "lists"}, "+",
			store.Lookup{Address: "bob-lists@x", Wildcard: "bob-*@x", Base: "bob@x", Extension: "lists"}},
		{"extension given, taken off by the MTA", message.Recipient{Address: "bob@x", Extension: "lists"}, "+-",
			store.Lookup{Address: "bob@x", Wildcard: "bob+*@x", Base: "bob@x", Extension: "lists"}},
		{"first of several delimiters", message.Recipient{Address: "bob-a+b@x"}, "+-",
			store.Lookup{Address: "bob-a+b@x", Wildcard: "bob-*@x", Base: "bob@x", Extension: "a+b"}},
		{"delimiter first", message.Recipient{Address: "+bob@x"}, "+",
			store.Lookup{Address: "+bob@x", Base: "+bob@x"}},
		{"no delimiter wanted", message.Recipient{Address: "bob+lists@x"}, "",
			store.Lookup{Address: "bob+lists@x", Base: "bob+lists@x"}},
		{"quoted", message.Recipient{Address: `"a b+c d"@x`}, "+",
			store.Lookup{Address: `"a b+c d"@x`, Wildcard: `"a b+*"@x`, Base: `"a b"@x`, Extension: "c d"}},
		{"internationalized", message.Recipient{Address: "JÜRI@Exämple.test"}, "+",
			store.Lookup{Address: "jüri@exämple.test", Base: "jüri@exämple.test"}},
		{"not text", message.Recipient{Address: "a\xffb\x00@x"}, "+",
			store.Lookup{Address: "a\ufffdb\ufffd@x", Base: "a\ufffdb\ufffd@x"}},
		{"no domain", message.Recipient{Address: "Postmaster"}, "+",
			store.Lookup{Address: "postmaster", Base: "postmaster"}},
	} {
		if diff := cmp.Diff(test.want, Lookup(test.to, test.delimiters)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestBoundedFitsAnIndexAndStaysDistinct(t *testing.T) {
	one, other := bounded(strings.Repeat("é", 5000)+"1"), bounded(strings.Repeat("é", 5000)+"2")
	if len(one) > maxName || one == other || one != bounded(strings.Repeat("é", 5000)+"1") {
		t.Errorf("%d bytes: %q and %q", len(one), one, other)
	}
	if got := bounded("bob@x"); got != "bob@x" {
		t.Error(got)
	}
}
