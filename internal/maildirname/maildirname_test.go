package maildirname

import (
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// What Dovecot and Courier write for the same mailboxes.
func TestFolder(t *testing.T) {
	tests := []struct{ mailbox, folder string }{
		{"Sent", ".Sent"},
		{"Archive/2026/Q1", ".Archive.2026.Q1"},
		{"Entwürfe", ".Entw&APw-rfe"},
		{"~peter/mail/台北/日本語", ".~peter.mail.&U,BTFw-.&ZeVnLIqe-"}, // RFC 3501 5.1.3
		{"😀", ".&2D3eAA-"},
		{"A&B", ".A&-B"},
		{"v1.2", `.v1\2e2`},
		{`C:\mail`, `.C:\5cmail`},
		{`\2e`, `.\5c2e`},
		{"a//b", `.a.\2f.b`},
		{"/", `.\2f.\2f`},
	}
	for _, test := range tests {
		if got := Folder(test.mailbox); got != test.folder {
			t.Errorf("Folder(%q) = %q, want %q", test.mailbox, got, test.folder)
		}
		if got := Mailbox(test.folder); got != test.mailbox {
			t.Errorf("Mailbox(%q) = %q, want %q", test.folder, got, test.mailbox)
		}
	}
}

func TestMailboxOfOtherPrograms(t *testing.T) {
	tests := []struct{ folder, want string }{
		{".Tom & Jerry", "Tom & Jerry"},
		{".Entwürfe", "Entwürfe"},
		{".caf\xe9", `caf\e9`},
		{".&AGE-", "&AGE-"},
		{`.a\2fb`, `a\2fb`},
		{".a..b", "a//b"},
	}
	for _, test := range tests {
		if got := Mailbox(test.folder); got != test.want {
			t.Errorf("Mailbox(%q) = %q, want %q", test.folder, got, test.want)
		}
	}
}

func FuzzFolder(f *testing.F) {
	for _, s := range []string{"INBOX", "a/b", "a//b", `\2e`, "ü.&", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if text := Mailbox(s); !utf8.ValidString(text) {
			t.Errorf("Mailbox(%q) = %q is not text", s, text)
		}
		if utf8.ValidString(s) {
			if got := Mailbox(Folder(s)); got != s {
				t.Errorf("Mailbox(Folder(%q)) = %q", s, got)
			}
		}
	})
}

func TestFlags(t *testing.T) {
	keywords := [26]string{0: "project-x", 3: "$Junk", 4: `\Seen`}
	tests := []struct {
		letters string
		want    []string
	}{
		{"", nil},
		{"S", []string{`\Seen`}},
		{"DFPRST", []string{`\Draft`, `\Flagged`, `$Forwarded`, `\Answered`, `\Seen`, `\Deleted`}},
		{"TSa", []string{`\Seen`, `\Deleted`, "project-x"}},
		{"SSbcXd9", []string{`\Seen`, "$Junk"}},
		{"Se", []string{`\Seen`}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, Flags(test.letters, &keywords)); diff != "" {
			t.Errorf("Flags(%q): %s", test.letters, diff)
		}
	}
	if got, want := Letters([]string{`\seen`, "$Junk", `\Draft`, `\SEEN`, `$forwarded`}), "DPS"; got != want {
		t.Errorf("Letters = %q, want %q", got, want)
	}
}
