package imap_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/scripttest"
	"mailrow/poller"
	"mailrow/poller/imap"
	"mailrow/poller/pollertest"
)

// A server that was restored from a backup may give the UIDs of mails that came after
// it to others, under the same UIDVALIDITY.
func TestUIDsOfOtherMails(t *testing.T) {
	session := func(uid int, day, rest string) string {
		return fmt.Sprintf(strings.Replace(examine, "3 EXISTS", "1 EXISTS", 1)+`
C: a FETCH 1:1
S: * 1 FETCH (UID %d FLAGS () RFC822.SIZE 14 INTERNALDATE "%s-May-2026 10:00:00 +0000")
S: a OK
`, uid, day) + rest + "silence\n"
	}
	body := func(text string) string {
		return fmt.Sprintf("C: a UID FETCH 4 \nS: * 1 FETCH (UID 4 BODY[] {14}\nS: Subject: %s\nS: \nS: )\nS: a OK\n", text)
	}
	const removed = "C: a SELECT \"INBOX\"\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 7] valid\nS: * OK [UIDNEXT 10] next\nS: a OK [READ-WRITE] opened\n" +
		"C: a UID STORE 4 +FLAGS.SILENT (\\Deleted)\nS: a OK\nC: a UID EXPUNGE 4\nS: a OK\n"
	s := scripttest.Start(t, nil,
		session(4, "01", body("a")),
		session(4, "02", body("b")), // it came later
		session(4, "02", ""),
		session(4, "03", body("c")+removed),
	)
	p := newPolled(t, s.Addr())
	for i, want := range [][]string{{"a"}, {"a", "b"}, {"a", "b"}, {"a", "b", "c"}} {
		// What is listed in part is not at stake here.
		deliverytest.Rows(t, p.DSN, `update mailrow.source_folders set revision = null returning 1`)
		after := "keep"
		if i == 3 {
			after = "delete"
		}
		p.Poll(t, "?after="+after)
		if diff := cmp.Diff(want, p.Stored(t, "subject")); diff != "" {
			t.Errorf("run %d: %s", i+1, diff)
		}
	}
}

// When a server gives its mails other UIDs, they are read once more and stored once,
// and what is to become of them does.
func TestOtherUIDVALIDITY(t *testing.T) {
	for _, after := range []string{"after=delete", "archive=Done"} {
		t.Run(after, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{})
			p := newPolled(t, s.IMAP)
			s.Append(t, dovecottest.User, "INBOX", mails(3)...)
			p.Poll(t, "?after=keep")
			s.Doveadm(t, nil, "mailbox", "update", "-u", dovecottest.User, "--uid-validity", "77", "INBOX")
			s.Append(t, dovecottest.User, "INBOX", mails(4)[3:]...)
			if count := p.Poll(t, "?"+after); count.Stored != 1 || count.Duplicate != 3 || count.Done != 4 {
				t.Errorf("%+v", count)
			}
			want := []string{"mail 0", "mail 1", "mail 2", "mail 3"}
			if diff := cmp.Diff(want, p.Stored(t, "subject")); diff != "" {
				t.Errorf("stored: %s", diff)
			}
			if got := left(t, s, "INBOX"); got != nil {
				t.Errorf("left: %v", got)
			}
			if after == "archive=Done" {
				if diff := cmp.Diff([]string{"0", "1", "2", "3"}, left(t, s, "Done")); diff != "" {
					t.Errorf("archived: %s", diff)
				}
			}
		})
	}
}

func newPolled(t *testing.T, addr string) *pollertest.Polled {
	t.Helper()
	return pollertest.NewPolled(t, deliverytest.Database(t), "imap://u1@127.0.0.1", func(ctx context.Context) (poller.Source, error) {
		return imap.Open(ctx, at(t, addr))
	})
}
