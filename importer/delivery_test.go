package importer

import (
	"testing"
	"time"

	"mailrow/collection"
)

func TestDelivery(t *testing.T) {
	at := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		found, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	sender := func(s string) *string { return &s }
	const (
		received = "Received: from a by b id 1; Tue, 3 Mar 2026 10:00:00 +0000\n"
		date     = "Date: Mon, 2 Mar 2026 10:00:00 +0000\n"
	)
	for _, test := range []struct {
		name, raw         string
		mailbox, file     string // times
		fromLine          *string
		wantAt            string
		wantFrom, wantFor string
	}{
		{"mailbox knows best", received + date, "2026-03-03T10:00:05Z", "2026-11-01T00:00:00Z", nil, "2026-03-03T10:00:05Z", "", ""},
		{"mailbox copied", received + date, "2026-11-01T00:00:00Z", "", nil, "2026-03-03T10:00:00Z", "", ""},
		{"sent mail copied", date, "2026-11-01T00:00:00Z", "", nil, "2026-03-02T10:00:00Z", "", ""},
		{"mailbox without time", received, "1970-01-01T00:00:00Z", "2026-11-01T00:00:00Z", nil, "2026-03-03T10:00:00Z", "", ""},
		{"single mail", received, "", "2026-11-01T00:00:00Z", nil, "2026-03-03T10:00:00Z", "", ""},
		{"only the file", "Subject: x\n", "", "2026-11-01T00:00:00Z", nil, "2026-11-01T00:00:00Z", "", ""},
		{"date of the future", "Date: Mon, 2 Mar 2099 10:00:00 +0000\n", "", "2026-11-01T00:00:00Z", nil, "2026-11-01T00:00:00Z", "", ""},
		{"nothing", "Subject: x\n", "", "", nil, "", "", ""},
		{"return path over From_ line", "Return-Path: <r@x>\nX-Original-To: info@d\n" + received, "", "", sender("f@x"), "2026-03-03T10:00:00Z", "r@x", "info@d"},
		{"From_ line", "Delivered-To: ann@d\n" + received, "", "", sender("f@x"), "2026-03-03T10:00:00Z", "f@x", "ann@d"},
		{"forged below", received + "Return-Path: <r@x>\nDelivered-To: forged@d\n", "", "", nil, "2026-03-03T10:00:00Z", "", ""},
	} {
		i := New(Options{Account: "ann", Recipient: "ann@example.com"})
		d := i.delivery(&collection.Mail{
			Raw: []byte(test.raw + "\nbody\n"), Folder: "Sent", Flags: []string{`\Seen`},
			ReceivedAt: at(test.mailbox), ModTime: at(test.file), Sender: test.fromLine,
		})
		from := ""
		if d.Envelope.Sender != nil {
			from = *d.Envelope.Sender
		}
		to := d.Envelope.Recipients[0]
		if !d.Envelope.ReceivedAt.Equal(at(test.wantAt)) || from != test.wantFrom || to.Original != test.wantFor || to.Address != "ann@example.com" {
			t.Errorf("%s: %v, from %q, %+v", test.name, d.Envelope.ReceivedAt, from, to)
		}
	}
}

func TestMailbox(t *testing.T) {
	for _, test := range []struct{ above, inbox, folder, want string }{
		{"", "", "INBOX", "INBOX"},
		{"", "", "Sent", "Sent"},
		{"", "Info", "INBOX", "Info"},
		{"", "Info", "Sent", "Sent"},
		{"Old", "Info", "INBOX", "Old"},
		{"Old", "", "Lists/go", "Old/Lists/go"},
	} {
		i := New(Options{Mailbox: test.above, Inbox: test.inbox})
		if got := i.mailbox(test.folder); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

// What waits for room gets it when there is, and one that is larger than all of
// it is alone.
func TestRoom(t *testing.T) {
	r := newRoom(10)
	ctx := t.Context()
	if err := r.take(ctx, 4); err != nil {
		t.Fatal(err)
	}
	entered := make(chan bool)
	go func() {
		entered <- r.take(ctx, 100) == nil
	}()
	select {
	case <-entered:
		t.Error("it did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	r.give(4)
	if !<-entered {
		t.Error("no room")
	}
	r.give(100)
	if r.free != 10 {
		t.Errorf("%d free", r.free)
	}
}
