package pop3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/dovecottest"
	"mailrow/internal/pgtest"
	"mailrow/poller"
	"mailrow/poller/identity"
	"mailrow/poller/pollertest"
	"mailrow/poller/pop3"
	"mailrow/poller/pop3/client"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// at is the source at an address, in clear.
func at(t testing.TB, addr string) pop3.Config {
	t.Helper()
	return pop3.Config{
		Server:      pollertest.Server(t, addr),
		Credentials: pollertest.Credentials(),
	}
}

func open(t testing.TB, conf pop3.Config) *pop3.Source {
	t.Helper()
	s, err := pop3.Open(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func folder(t testing.TB, s *pop3.Source) *pop3.Folder {
	t.Helper()
	f, err := s.Folder(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return f.(*pop3.Folder)
}

func tryList(ctx context.Context, f poller.Folder) ([]poller.Entry, *poller.Listing, error) {
	l, err := f.List(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	var entries []poller.Entry
	for e, err := range l.Entries {
		if err != nil {
			return entries, l, err
		}
		entries = append(entries, e)
	}
	return entries, l, nil
}

func list(t testing.TB, f poller.Folder) []poller.Entry {
	t.Helper()
	entries, l, err := tryList(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if l.Partial || l.Revision != "" {
		t.Errorf("listing %+v", l)
	}
	return entries
}

func read(t testing.TB, f poller.Folder, e poller.Entry) string {
	t.Helper()
	raw, err := tryRead(t.Context(), f, e)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func tryRead(ctx context.Context, f poller.Folder, e poller.Entry) (string, error) {
	r, err := f.Open(ctx, e)
	if err != nil {
		return "", err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	return string(raw), err
}

// stored lists the mails and reads them all, as who has stored them.
func stored(t testing.TB, f poller.Folder) []poller.Entry {
	t.Helper()
	entries := list(t, f)
	for i, e := range entries {
		content := identity.Of([]byte(read(t, f, e)))
		entries[i].Content = content[:16]
	}
	return entries
}

func ids(entries []poller.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.ID)
	}
	return all
}

func mail(n int) []byte {
	return fmt.Appendf(nil, "From: a@b.test\r\nMessage-ID: <%d@b.test>\r\nSubject: mail %d\r\n\r\n%s", n, n, strings.Repeat("text\r\n", n%50))
}

func mails(n int) (all [][]byte) {
	for i := range n {
		all = append(all, mail(i))
	}
	return all
}

func TestMailIsFetchedByteForByte(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	all := append(mails(300),
		[]byte("Subject: =\r\n\r\n8 bit: \xff\xfe\x80, dots\r\n.\r\n..\r\n...\r\n.x\r\n\r\n.\r\n"),
		[]byte("Subject: long line\r\n\r\n"+strings.Repeat("0123456789", 100_000)+"\r\n"),
		[]byte("Subject: large\r\n\r\n"+strings.Repeat(".123456789abcdefghijklmnopqrstuvwxyz\r\n", 200_000)))
	s.Append(t, dovecottest.User, "INBOX", all...)
	f := folder(t, open(t, at(t, s.POP3)))
	entries := list(t, f)
	if len(entries) != len(all) {
		t.Fatalf("%d entries, want %d", len(entries), len(all))
	}
	if e := entries[0]; e.Size != int64(len(all[0])) || !e.ReceivedAt.IsZero() || e.Flags != nil || e.Sender != nil {
		t.Errorf("entry %+v", e)
	}
	for i, e := range entries {
		if got := read(t, f, e); got != string(all[i]) {
			t.Errorf("mail %d is %.80q", i, got)
		}
	}
	for _, i := range []int{200, 3, 302, 4, 5, 6, 199, 0} {
		if got := read(t, f, entries[i]); got != string(all[i]) {
			t.Errorf("out of order: mail %d is %.80q", i, got)
		}
	}
	if diff := cmp.Diff(ids(entries), ids(list(t, f))); diff != "" {
		t.Errorf("listed again: %s", diff)
	}
}

// A session sees what came before it began.
func TestListingSeesNewMail(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	src := open(t, at(t, s.POP3))
	f := folder(t, src)
	if entries := list(t, f); entries != nil {
		t.Errorf("%v", ids(entries))
	}
	for n := range 3 {
		s.Append(t, dovecottest.User, "INBOX", mail(n))
		entries := list(t, f)
		if len(entries) != n+1 || read(t, f, entries[n]) != string(mail(n)) {
			t.Fatalf("after mail %d: %v", n, ids(entries))
		}
	}
}

func TestPartOfAMailIsSkipped(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	all := append(mails(40), []byte("Subject: large\r\n\r\n"+strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\r\n", 100_000)), mail(41))
	s.Append(t, dovecottest.User, "INBOX", all...)
	f := folder(t, open(t, at(t, s.POP3)))
	entries := list(t, f)
	for i, e := range entries {
		r, err := f.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 || i == 40 {
			if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		} else if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, all[i]) {
			t.Fatalf("mail %d: %.80q, %v", i, got, err)
		}
		r.Close()
	}
	lost, err := f.Open(t.Context(), entries[0])
	if err != nil {
		t.Fatal(err)
	}
	read(t, f, entries[1])
	if _, err := lost.Read(make([]byte, 10)); err == nil || err == io.EOF {
		t.Errorf("a mail goes on after another one has come: %v", err)
	}
}

func TestRemove(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(250)...)
	f := folder(t, open(t, at(t, s.POP3)))
	entries := stored(t, f)
	left := func(want ...int) {
		t.Helper()
		var got, all []string
		for _, m := range s.Mails(t, dovecottest.User, "INBOX") {
			got = append(got, string(m.Raw))
		}
		for _, n := range want {
			all = append(all, string(mail(n)))
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("left: %s", diff)
		}
	}
	if err := f.Remove(t.Context(), entries[5:]); err != nil {
		t.Fatal(err)
	}
	left(0, 1, 2, 3, 4) // at once, while the source is open
	// In another session than they were listed in, some gone already.
	if err := f.Remove(t.Context(), entries[3:8]); err != nil {
		t.Fatal(err)
	}
	left(0, 1, 2)
	if err := f.Remove(t.Context(), entries[3:8]); err != nil {
		t.Errorf("removed again: %v", err)
	}
	entries = stored(t, f)
	s.Doveadm(t, nil, "expunge", "-u", dovecottest.User, "mailbox", "INBOX", "uid", "1")
	if err := f.Remove(t.Context(), []poller.Entry{entries[0], entries[2], entries[2]}); err != nil {
		t.Errorf("what somebody else has removed: %v", err)
	}
	left(1)
	// Another session has begun since they were listed, in which numbers are others.
	s.Append(t, dovecottest.User, "INBOX", mail(300), mail(301))
	old := stored(t, f)
	s.Doveadm(t, nil, "expunge", "-u", dovecottest.User, "mailbox", "INBOX", "uid", "2")
	list(t, f)
	if err := f.Remove(t.Context(), old[:2]); err != nil {
		t.Error(err)
	}
	left(301)
	entries = stored(t, f)
	s.Kick(t, dovecottest.User)
	if err := f.Remove(t.Context(), entries); err != nil {
		// The server may end the session at any moment, QUIT included.
		var broken *poller.BrokenError
		var refused *client.RefusedError
		if !errors.As(err, &broken) && !errors.As(err, &refused) {
			t.Errorf("after a lost connection: %v", err)
		}
		if err := f.Remove(t.Context(), entries); err != nil {
			t.Errorf("again after a lost connection: %v", err)
		}
	}
	left()
}

func TestOnlyInbox(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	src := open(t, at(t, s.POP3))
	for _, patterns := range [][]string{nil, {"inbox"}, {"*"}, {"INBOX", "%"}} {
		got, err := src.Folders(t.Context(), patterns)
		if diff := cmp.Diff([]string{"INBOX"}, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", patterns, err, diff)
		}
	}
	if _, err := src.Folders(t.Context(), []string{"Done"}); err == nil || !strings.Contains(err.Error(), "POP3 has no other folders") {
		t.Errorf("another folder: %v", err)
	}
	if _, err := src.Folder(t.Context(), "Done"); err == nil {
		t.Error("another folder is opened")
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(20)...)
	before := runtime.NumGoroutine()
	for range 5 {
		src, err := pop3.Open(t.Context(), at(t, s.POP3))
		if err != nil {
			t.Fatal(err)
		}
		f := folder(t, src)
		if _, err := f.Open(t.Context(), list(t, f)[3]); err != nil {
			t.Fatal(err)
		}
		src.Close()
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
}
