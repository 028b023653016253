package message

import (
	"testing"
	"time"
)

func TestParseFromLine(t *testing.T) {
	const (
		no = iota
		bare
		dated
	)
	for _, test := range []struct {
		line   string
		form   int
		sender string // "?" where nobody knows
		at     string // RFC 3339; a Z in lower case where the line names no zone
	}{
		{"From a@b.test Tue Mar  3 10:00:05 2026", dated, "a@b.test", "2026-03-03T10:00:05z"},
		{"From a@b.test  Tue Mar  3 10:00:05 2026\r\n", dated, "a@b.test", "2026-03-03T10:00:05z"},
		{"From a@b.test Tue Mar  3 10:00 MET 2026", dated, "a@b.test", "2026-03-03T10:00:00+01:00"},
		{"From a@b.test Tue Mar  3 10:00 MET DST 2026", dated, "a@b.test", "2026-03-03T10:00:00+02:00"},
		{"From a Tue Mar  3 10:00:05 +0100 2026", dated, "a", "2026-03-03T10:00:05+01:00"},
		{"From a@b Tue Mar  3 10:00:05 2026 -0400", dated, "a@b", "2026-03-03T10:00:05-04:00"},
		{"From a@b Tue, 3 Mar 2026 10:00:05 +0000", dated, "a@b", "2026-03-03T10:00:05Z"},
		{"From a@b Tue Mar  3 10:00:05 99", dated, "a@b", "1999-03-03T10:00:05z"},
		{"From Tue Mar  3 10:00:05 2026", dated, "?", "2026-03-03T10:00:05z"},
		{"From  Tue Mar  3 10:00:05 2026", dated, "?", "2026-03-03T10:00:05z"},
		{"From uu!cp Tue Mar  3 10:00:05 2026 remote from host", dated, "uu!cp", "2026-03-03T10:00:05z"},
		{"From MAILER-DAEMON Tue Mar  3 10:00:05 2026", dated, "", "2026-03-03T10:00:05z"},
		{"From ???@??? Tue Mar  3 10:00:05 2026", dated, "?", "2026-03-03T10:00:05z"},
		{"From - Tue Mar  3 10:00:05 2026", dated, "?", "2026-03-03T10:00:05z"},
		{`From "a b"@c Tue Mar  3 10:00:05 2026`, dated, `"a b"@c`, "2026-03-03T10:00:05z"},
		{`From "ab@c Tue Mar  3 10:00:05 2026`, dated, `"\"ab"@c`, "2026-03-03T10:00:05z"},
		{`From a\ Tue Mar  3 10:00:05 2026`, dated, `a\`, "2026-03-03T10:00:05z"},
		{"From a@b Mon Jan  1 00:00:00 0001", dated, "a@b", ""},
		{"From John Doe <j@d> Tue Mar  3 10:00:05 2026", bare, "j@d", "2026-03-03T10:00:05z"},
		{"From -", bare, "?", ""},
		{"From - \n", bare, "?", ""},
		{"From 1844347792267117879@xxx", bare, "1844347792267117879@xxx", ""},
		{"From a", bare, "a", ""},
		{"From ", no, "", ""},
		{"From: a@b", no, "", ""},
		{">From a@b Tue Mar  3 10:00:05 2026", no, "", ""},
		{"From Russia with love", no, "", ""},
		{"From this principle, all of life and physics may be deduced.", no, "", ""},
		{"From here to Tue Mar  3 10:00:05 2026", no, "", ""},
		{"From a@b until Tue Mar  3 10:00:05 2026 we wait", no, "", ""},
		{"From a@b Mar  3 10:00:05 2026", no, "", ""},
		{"From a@b Tue Mar  3 2026", no, "", ""},
		{"From a@b Tue Mar  3 10:00:05", no, "", ""},
	} {
		f, ok := ParseFromLine([]byte(test.line))
		form := no
		if ok {
			form = bare
		}
		if f.Dated {
			form = dated
		}
		if form != test.form {
			t.Errorf("%q: form %d, want %d", test.line, form, test.form)
			continue
		}
		if !ok {
			continue
		}
		sender := "?"
		if f.Sender != nil {
			sender = *f.Sender
		}
		at := ""
		if !f.At.IsZero() {
			at = f.At.Format(time.RFC3339)
			if !f.Zoned {
				at = at[:len(at)-1] + "z"
			}
		}
		if sender != test.sender || at != test.at {
			t.Errorf("%q: got %q at %q, want %q at %q", test.line, sender, at, test.sender, test.at)
		}
	}
}
