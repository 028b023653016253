package message

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSplitFromLine(t *testing.T) {
	sender := func(s string) *string { return &s }
	for _, test := range []struct {
		name, raw, mail string
		sender          *string
	}{
		{"postfix", "From s@x  Sun Nov 22 01:06:08 2026\nA: b\n", "A: b\n", sender("s@x")},
		{"exim", "From s@x Sun Nov 22 01:14:52 2026\nA: b\n", "A: b\n", sender("s@x")},
		{"bounce", "From MAILER-DAEMON Sun Nov 22 01:14:52 2026\n\nbody", "\nbody", sender("")},
		{"quoted", "From \"x y\"@h  Sun Nov 22 01:06:08 2026\r\nA: b\r\n", "A: b\r\n", sender(`"x y"@h`)},
		{"no date", "From a@b\nA: b\n", "A: b\n", sender("a@b")},
		{"prose", "From here to eternity\nwe go\n", "From here to eternity\nwe go\n", nil},
		{"field", "From: a@b\n", "From: a@b\n", nil},
		{"escaped", ">From a@b Sun Nov 22 01:14:52 2026\nA: b\n", ">From a@b Sun Nov 22 01:14:52 2026\nA: b\n", nil},
		{"alone", "From a@b Sun Nov 22 01:14:52 2026", "From a@b Sun Nov 22 01:14:52 2026", nil},
		{"nothing", "", "", nil},
		{"backslash at the end", "From \"\\\nA: b\n", "A: b\n", sender(`"\"\\"`)},
	} {
		mail, from := SplitFromLine([]byte(test.raw))
		if test.name == "backslash at the end" {
			from, test.sender = nil, nil // any sender will do: it must not panic
		}
		if string(mail) != test.mail || !cmp.Equal(from, test.sender) {
			t.Errorf("%s: got %q, %v", test.name, mail, from)
		}
	}
}

func TestReadTraceTrustsOnlyTheTop(t *testing.T) {
	mail := "Return-path: <s@x>\nEnvelope-to: a@d,\n b@d,\n \"c, d\"@d\nDelivery-date: Sun, 22 Nov 2026 01:14:53 +0000\n" +
		"Received: from h (h [1.2.3.4]) by mta.test (Postfix) with ESMTP id 4F2B-1x\n\tfor <a@d>; Sun, 22 Nov 2026 01:14:53 +0000\n" +
		"Delivered-To: forged@d\nReturn-Path: <forged@x>\nReceived: by other id FORGED;\nSubject: x\n\nbody\n"
	got := ReadTrace([]byte(mail), Parse([]byte(mail)))
	identity := got.Identity
	got.Identity = nil
	path := "s@x"
	want := Trace{ReturnPath: &path, EnvelopeTo: []string{"a@d", "b@d", `"c, d"@d`}, Helo: "h", QueueID: "4F2B-1x",
		ReceivedAt: time.Date(2026, 11, 22, 1, 14, 53, 0, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(identity) != 32 {
		t.Errorf("identity %x", identity)
	}
}

func TestReceivedFrom(t *testing.T) {
	for body, want := range map[string][2]string{
		"from h (h [1.2.3.4]) by mta (Postfix) with ESMTP id 4F2B; Sun":    {"h", "4F2B"},
		"from [1.2.3.4] (unknown [1.2.3.4])\tby mta with ESMTP id 4F2B\tf": {"[1.2.3.4]", "4F2B"},
		// Mail of sendmail(1) on Postfix and any mail on Exim: a fold before "id".
		"by mta.test (Postfix, from userid 0)\tid 34E0C9A0934; Sun, 22 Nov":     {"", "34E0C9A0934"},
		"from h by e with esmtp (Exim 4.96)\tid 1xUwAO-0006eY-1X\tfor <a@d>":    {"h", "1xUwAO-0006eY-1X"},
		"from [1.2.3.4] (helo=h)\tby e with esmtp (Exim 4.96)\tid 1x-2Y;":       {"h", "1x-2Y"},
		"from r.test ([1.2.3.4] helo=h)\tby e with esmtp (Exim 4.96)\tid 1x-2Y": {"h", "1x-2Y"},
		"by h": {"", ""}, "from": {"", ""}, "": {"", ""}, "id": {"", ""}, "by h id": {"", ""},
	} {
		if helo, id := receivedFrom(body); helo != want[0] || id != want[1] {
			t.Errorf("%q: got %q, %q", body, helo, id)
		}
	}
}

func TestIdentityIgnoresWhatVariesByAttempt(t *testing.T) {
	read := func(top string) []byte {
		mail := []byte(top + "Received: by mta id X;\nSubject: x\n\nbody\n")
		return ReadTrace(mail, Parse(mail)).Identity
	}
	first := read("Return-path: <s@x>\nDelivery-date: one\n")
	if second := read("Return-path: <s@x>\nDelivery-date: two\n"); !cmp.Equal(first, second) || first == nil {
		t.Errorf("another Delivery-date made %x of %x", second, first)
	}
	if other := read("Return-path: <y@x>\nDelivery-date: one\n"); cmp.Equal(first, other) {
		t.Error("another Return-path made no difference")
	}
	if got := read("Return-path: <s@x>\nEnvelope-to: a@b\n"); got != nil {
		t.Errorf("nothing varies, yet there is an identity %x", got)
	}
	batch, smaller := read("Envelope-to: a@b, c@d\nDelivery-date: x\n"), read("Envelope-to: a@b,\n c@d, e@f\n")
	if !cmp.Equal(batch, smaller) {
		t.Errorf("another batch of recipients made %x of %x", smaller, batch)
	}
}

func TestForwardPath(t *testing.T) {
	for in, want := range map[string]string{
		"bob@x":                 "bob@x",
		"<Bob+Ext@X.test>":      "Bob+Ext@X.test",
		"<@a,@b:c@d>":           "c@d",
		"a b@d":                 `"a b"@d`,
		`"a b"@d`:               `"a b"@d`,
		`"bob"@d`:               "bob@d",
		`"a\"b"@d`:              `"a\"b"@d`,
		"jüri@exämple.test":     "jüri@exämple.test",
		"a..b@d":                "a..b@d",
		"postmaster":            "postmaster",
		"":                      "",
		"<>":                    "",
		"x@[127.0.0.1]":         "x@[127.0.0.1]",
		`"a@b"@c`:               `"a@b"@c`,
		`"x y;$(id)\\é"@h.test`: `"x y;$(id)\\é"@h.test`,
	} {
		if got := ForwardPath(in); got != want {
			t.Errorf("ForwardPath(%q) = %q, want %q", in, got, want)
		}
		if got := ForwardPath(ForwardPath(in)); got != want {
			t.Errorf("ForwardPath twice of %q = %q, want %q", in, got, want)
		}
	}
	if got := ReversePath("<MAILER-DAEMON>"); got != "" {
		t.Errorf("null sender became %q", got)
	}
}
