package message

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	john := []Address{{"John Doe", "john@x"}}
	for _, test := range []struct {
		in      string
		want    []Address
		defects []Defect
	}{
		{"@:", nil, nil},
		// As RFC 5322 has it.
		{"john@x", []Address{{"", "john@x"}}, nil},
		{"John Doe <john@x>", john, nil},
		{"\"John Doe\" <john@x>", john, nil},
		{"John Doe<john@x>", john, nil},
		{"John  Doe\t<john@x>", john, nil},
		{"\"Doe, \\\"J\\\"\" <john@x>, a@b", []Address{{"Doe, \"J\"", "john@x"}, {"", "a@b"}}, nil},
		{"john@x (John Doe)", john, nil},
		{"john@x (John (J) \\) Doe)", []Address{{"John (J) ) Doe", "john@x"}}, nil},
		{"John Doe (sales) <john@x> (home)", john, nil},
		{"Mary.Q. Public <john@x>", []Address{{"Mary.Q. Public", "john@x"}}, nil},
		{"a@[127.0.0.1], b@[IPv6:::1]", []Address{{"", "a@[127.0.0.1]"}, {"", "b@[IPv6:::1]"}}, nil},
		{"\"john doe\"@x, <\"john@y\"@x>", []Address{{"", "\"john doe\"@x"}, {"", "\"john@y\"@x"}}, nil},
		{"\"john.doe\"@x", []Address{{"", "john.doe@x"}}, nil},
		{"jörg@größe.example", []Address{{"", "jörg@größe.example"}}, nil},
		{"<@x,@y:a@b>, c@d", []Address{{"", "a@b"}, {"", "c@d"}}, nil},
		{"a . b @ c . d", []Address{{"", "a.b@c.d"}}, nil},
		{"<a . b @ c . d>", []Address{{"", "a.b@c.d"}}, nil},
		{"a (x) @ b", []Address{{"", "a@b"}}, nil},
		{"<a(x)@b>", []Address{{"", "a@b"}}, nil},

		// Groups.
		{"undisclosed-recipients:;", nil, nil},
		{"undisclosed-recipients:", nil, nil},
		{"unlisted-recipients:; (no To-header on input)", nil, nil},
		{"<Undisclosed-Recipient:;@x>", nil, nil},
		{"<undisclosed-recipients:@x;>", nil, nil},
		{"Team: a@b, C <c@d>; e@f", []Address{{"", "a@b"}, {"C", "c@d"}, {"", "e@f"}}, nil},
		{"A: a@b; B: c@d;", []Address{{"", "a@b"}, {"", "c@d"}}, nil},
		{"Re: John <john@x>", []Address{{"Re: John", "john@x"}}, nil},
		{"Team: a@b", []Address{{"Team", "a@b"}}, []Defect{DefectAddress}},

		// Encoded words: decoded after the structure was taken apart.
		{"=?utf-8?q?J=C3=B6rg?= <a@b>", []Address{{"Jörg", "a@b"}}, nil},
		{"\"=?utf-8?q?J=C3=B6rg?=\" <a@b>", []Address{{"Jörg", "a@b"}}, nil},
		{"=?utf-8?q?Doe=2C_J_=3Cx=40y=3E?= <a@b>", []Address{{"Doe, J <x@y>", "a@b"}}, nil},
		{"=?utf-8?q?Doe, J <x@y>?= <a@b>", []Address{{"Doe, J <x@y>", "a@b"}}, nil},
		{"=?utf-8?q?=22Doe=2C_J=22?= <a@b>", []Address{{"Doe, J", "a@b"}}, nil},
		{"a@b (=?utf-8?q?J=C3=B6rg?=)", []Address{{"Jörg", "a@b"}}, nil},
		{"=?utf-8?q?john=40x?=", []Address{{"john@x", ""}}, []Defect{DefectNoAddress}},

		// As it is written.
		{"a@b <a@b>", []Address{{"a@b", "a@b"}}, nil},
		{"\"a@b\" <a@b>", []Address{{"a@b", "a@b"}}, nil},
		{"'a@b' <a@b>", []Address{{"'a@b'", "a@b"}}, nil},
		{"'a@b'", []Address{{"", "a@b"}}, nil},
		{"mailto:a@b, <mailto:c@d>", []Address{{"", "a@b"}, {"", "c@d"}}, nil},
		{"john.@x", []Address{{"", "john.@x"}}, nil},
		{"<a@b> John", []Address{{"John", "a@b"}}, nil},
		{"<MAILER-DAEMON>", []Address{{"", "MAILER-DAEMON"}}, nil},
		{"a@b; c@d", []Address{{"", "a@b"}, {"", "c@d"}}, nil},
		{", a@b,, c@d,", []Address{{"", "a@b"}, {"", "c@d"}}, nil},
		{"", nil, nil},

		// Repaired.
		{"Doe, John <john@x>", []Address{{"Doe, John", "john@x"}}, []Defect{DefectAddress}},
		{"a@b, van der Doe, John, MD <john@x>", []Address{{"", "a@b"}, {"van der Doe, John, MD", "john@x"}}, []Defect{DefectAddress}},
		{"root, John <john@x>", []Address{{"", "root"}, {"John", "john@x"}}, []Defect{DefectAddress}},
		{"root, <john@x>", []Address{{"", "root"}, {"", "john@x"}}, []Defect{DefectAddress}},
		{"a, b, c, d <john@x>", []Address{{"", "a"}, {"", "b"}, {"", "c"}, {"d", "john@x"}}, []Defect{DefectAddress}},
		{"John Doe john@x", john, []Defect{DefectAddress}},
		{"a@b c@d\n e@f", []Address{{"", "a@b"}, {"", "c@d"}, {"", "e@f"}}, []Defect{DefectAddress}},
		{"A <a@b> C <c@d>", []Address{{"A", "a@b"}, {"C", "c@d"}}, []Defect{DefectAddress}},
		{"<a@b> c@d", []Address{{"", "a@b"}, {"", "c@d"}}, []Defect{DefectAddress}},
		{"A <3 B <a@b>", []Address{{"A <3 B", "a@b"}}, []Defect{DefectAddress}},
		{"<<a@b>>, c@d", []Address{{"", "a@b"}, {"", "c@d"}}, []Defect{DefectAddress}},
		{"John Doe <john@x", john, []Defect{DefectAddress}},
		{"A <a@b, c@d", []Address{{"A", "a@b"}, {"", "c@d"}}, []Defect{DefectAddress}},
		{"A <a@b, C <c@d>", []Address{{"A", "a@b"}, {"C", "c@d"}}, []Defect{DefectAddress}},
		{"john@x>", []Address{{"", "john@x"}}, []Defect{DefectAddress}},
		{"\"John Doe <john@x>", john, []Defect{DefectAddress}},
		{"\"John Doe <john@x>, \"Mary\" <m@y>", []Address{{"John Doe", "john@x"}, {"Mary", "m@y"}}, []Defect{DefectAddress}},
		{"\"Joe \"Foo\" Bar\" <a@b>", []Address{{"Joe Foo Bar", "a@b"}}, nil},
		{"\"John Doe <john@x>\"", john, []Defect{DefectAddress}},
		{"\"john@x\"", []Address{{"", "john@x"}}, []Defect{DefectAddress}},
		{"john@x (John Doe", john, []Defect{DefectAddress}},
		{"a@b (c, d@e (f)", []Address{{"c", "a@b"}, {"f", "d@e"}}, []Defect{DefectAddress}},
		{"a@b, broken <, c@d", []Address{{"", "a@b"}, {"broken", ""}, {"", "c@d"}}, []Defect{DefectAddress, DefectNoAddress}},
		{"a b@c", []Address{{"a", "b@c"}}, []Defect{DefectAddress}},
		{"<a b@c>", []Address{{"", "a b@c"}}, []Defect{DefectAddress}},
		{"john at x.example (John Doe)", []Address{{"John Doe", "john@x.example"}}, []Defect{DefectAddress}},
		{"John <john at x.example>", []Address{{"John", "john@x.example"}}, nil},
		{"MAILER-DAEMON (Mail Delivery System)", []Address{{"Mail Delivery System", "MAILER-DAEMON"}}, []Defect{DefectAddress}},
		{"MAILER-DAEMON", []Address{{"", "MAILER-DAEMON"}}, []Defect{DefectAddress}},

		// No address.
		{"<>", nil, []Defect{DefectNoAddress}},
		{"MAILER-DAEMON <>", []Address{{"MAILER-DAEMON", ""}}, []Defect{DefectNoAddress}},
		{"undisclosed recipients", []Address{{"undisclosed recipients", ""}}, []Defect{DefectNoAddress}},
		{"Undisclosed-Recipients", []Address{{"Undisclosed-Recipients", ""}}, []Defect{DefectNoAddress}},
		{"[removed]", []Address{{"[removed]", ""}}, []Defect{DefectNoAddress}},
		{"Dinner at Joe's", []Address{{"Dinner at Joe's", ""}}, []Defect{DefectNoAddress}},
		{"\"John Doe\", a@b", []Address{{"John Doe", ""}, {"", "a@b"}}, []Defect{DefectNoAddress}},
	} {
		m := Parse([]byte("To: " + test.in + "\n\n"))
		if diff := cmp.Diff(test.want, m.To); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
		if diff := cmp.Diff(test.defects, m.Defects); diff != "" {
			t.Errorf("%q defects (-want +got):\n%s", test.in, diff)
		}
	}
}

func TestAddressFieldsRepeated(t *testing.T) {
	m := Parse([]byte("To: a@b\nCc: c@d\nTO : e@f\nReply-to: g@h\nSender: i@j\n\n"))
	got := [][]Address{m.To, m.Cc, m.ReplyTo, m.Sender, m.From}
	want := [][]Address{{{"", "a@b"}, {"", "e@f"}}, {{"", "c@d"}}, {{"", "g@h"}}, {{"", "i@j"}}, nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
