package message

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// storable fails unless text fits a PostgreSQL text column.
func storable(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			t.Errorf("not storable: %q", s)
		}
	}
}

// withField is a mail whose only field has this value; ok is false where the
// value would end the header.
func withField(name, value string) (m *Message, ok bool) {
	if strings.ContainsAny(value, "\r\n") || value == "" {
		return nil, false
	}
	m = Parse([]byte(name + ": " + value + "\n\nbody\n"))
	return m, len(m.Fields) == 1 && m.HeaderSize > 0
}

func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"A: b\nC: d\n e\n\n", "A b\nC: d\n\n", "From x\nA: b\r\n\r\n", "\x80: x\n\n", ": x\n\n", "A:\n \n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		m := Parse(append(slices.Clone(header), "\n\nbody"...))
		storable(t, texts(m)...)
		end := 0
		for _, field := range m.Fields {
			if field.Start != end || field.End <= field.Start {
				t.Errorf("field %d..%d after %d", field.Start, field.End, end)
			}
			end = field.End
		}
		if end > m.HeaderSize || m.HeaderSize > len(header)+len("\n\nbody") {
			t.Errorf("fields end at %d, the header at %d", end, m.HeaderSize)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{
		"a@b", "A B <a@b>, c@d (C)", `"a, b" <c@d>; g: e@f, (c) h@i (n (m));`, "<@a,@b:c@d>", "Doe, John <j@x>", "a b c", "<>",
		"=?utf-8?q?=C3=A4?= <a@b>", "a@[192.0.2.1]", "münchen@bücher.example", `"a\"b"@c`, "a@b c@d", "<<x>>", "a <b@c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		m, ok := withField("To", value)
		if !ok {
			return
		}
		for _, a := range m.To {
			storable(t, a.Name, a.Address)
			if a.Name == "" && a.Address == "" {
				t.Errorf("%q: an address of nothing", value)
			}
			if strings.ContainsAny(a.Address, "\r\n") {
				t.Errorf("%q: line end in %q", value, a.Address)
			}
		}
		if len(m.To) > MaxAddresses {
			t.Errorf("%d addresses", len(m.To))
		}
		// One that is well-formed is found whatever stands before it.
		if with, ok := withField("To", value+", end@example.org"); ok && !strings.ContainsAny(value, "\"()<>[\\:;=") {
			if !slices.ContainsFunc(with.To, func(a Address) bool { return strings.HasSuffix(a.Address, "end@example.org") }) {
				t.Errorf("%q hides the next address: %+v", value, with.To)
			}
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, seed := range []string{
		"Mon, 2 Jan 2006 15:04:05 +0200 (CEST)", "2 Jan 06 15:04 EST", "Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z",
		"Monday, 02-Jan-06 15:04:05 GMT", "1/2/3", "31 Feb 2000 25:61:61 -9999", "2 Jan 99999 00:00:00 +0000",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		at, defect := parseDate(value)
		if at.IsZero() {
			if defect == "" {
				t.Errorf("%q: no date, and nothing wrong", value)
			}
			return
		}
		if year := at.UTC().Year(); year < 1 || year > 9999 {
			t.Errorf("%q: year %d", value, year)
		}
		if _, offset := at.Zone(); offset <= -24*3600 || offset >= 24*3600 {
			t.Errorf("%q: %d seconds east", value, offset)
		}
	})
}

func FuzzEncodedWords(f *testing.F) {
	for _, seed := range []string{
		"=?utf-8?q?=C3=A4?= =?utf-8?b?w6Q=?=", "=?utf-8?B?4w==?= =?utf-8?B?gYI=?=", "=?iso-2022-jp?b?GyRCJDM=?=", "=?x?q?a?=", "=?utf-8?q?a b?=",
		"=?utf-8*en?q?a?=", "a=?utf-8?q?b?=c", "=?=?=?", "=?big5?q?=A4=5C?=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		m, ok := withField("Subject", value)
		if !ok || m.Subject == nil {
			return
		}
		storable(t, *m.Subject)
		if !strings.Contains(value, "=?") && isASCII(value) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) &&
			*m.Subject != strings.Trim(value, " ") {
			t.Errorf("%q became %q", value, *m.Subject)
		}
	})
}
