package collection

import "testing"

func TestFolder(t *testing.T) {
	for _, test := range []struct {
		strip        int
		dir, mailbox string
		want         string
	}{
		{0, "", "", "INBOX"},
		{0, "", "Sent.mbox", "Sent"},
		{0, "", "INBOX.mbox", "INBOX"},
		{0, "", "inbox", "INBOX"},
		{0, "lists", "go.mbox.gz", "lists/go"},
		{0, "lists", "inbox", "lists/inbox"},
		{0, "Mail/Work.sbd", "Plans", "Mail/Work/Plans"},
		{0, "Work.mbox", "mbox", "Work"},
		{0, "cur", "", "INBOX"},
		{0, "Maildir/new", "", "INBOX"},
		{0, "home/ann/Maildir/.Sent/cur", "", "home/ann/Sent"},
		{2, "home/ann/Maildir/.Sent/cur", "", "Sent"},
		{9, "home/ann/Maildir/.Sent/cur", "", "INBOX"},
		{0, ".Archive.2026.Q1/cur", "", "Archive/2026/Q1"},
		{0, ".Entw&APw-rfe/cur", "", "Entwürfe"},
		{0, ".a\\2eb/cur", "", "a.b"},
		{0, ".R&D/cur", "", "R&D"}, // no modified UTF-7
		{0, "Archive/2026/cur", "", "Archive/2026"},
		{0, ".hidden", "", ".hidden"}, // no Maildir
		{0, "R&AOQ-", "", "R&AOQ-"},
		{0, "odd\xff", "", `odd\ff`},
		{0, "", ".mbox", ".mbox"},
	} {
		r := NewReader(&found{}, Options{Strip: test.strip})
		if got := r.folder(test.dir, test.mailbox); got != test.want {
			t.Errorf("%q %q without %d: %q, want %q", test.dir, test.mailbox, test.strip, got, test.want)
		}
	}
}

func TestAppleFolder(t *testing.T) {
	for dir, want := range map[string]string{
		"INBOX.mbox/Messages": "INBOX.mbox",
		"V10/Work.mbox/0A1B2C3D-0000-1111-2222-333344445555/Data/4/2/Messages": "V10/Work.mbox",
		"Work/Messages": "Work/Messages",
	} {
		if got := appleFolder(dir); got != want {
			t.Errorf("%q: %q", dir, got)
		}
	}
}
