package message

import "testing"

func TestBaseSubject(t *testing.T) {
	tests := []struct {
		subject, base string
		reply         bool
	}{
		{"Invoice 7", "invoice 7", false},
		{"Re: Invoice 7", "invoice 7", true},
		{"RE[2]: AW:  Invoice   7", "invoice 7", true},
		{"Re^3: Invoice 7", "invoice 7", true},
		{"Re : Invoice 7", "invoice 7", true},
		{"[list] Re: [list] Invoice 7", "invoice 7", true},
		{"Fwd: Invoice 7", "invoice 7", false},
		{"Fwd: Re: Invoice 7", "invoice 7", true},
		{"回复：发票", "发票", true},
		{"Note: read this", "note: read this", false},
		{"Re of the day: none", "re of the day: none", false},
		{"[only a tag]", "[only a tag]", false},
		{"[not closed Re: x", "[not closed re: x", false},
		{"Re:", "", true},
		{"", "", false},
	}
	for _, test := range tests {
		if base, reply := BaseSubject(test.subject); base != test.base || reply != test.reply {
			t.Errorf("BaseSubject(%q) = %q, %v, want %q, %v", test.subject, base, reply, test.base, test.reply)
		}
	}
}
