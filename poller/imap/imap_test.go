package imap_test

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
	"mailrow/poller/imap"
	"mailrow/poller/pollertest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// at is the source at an address, in clear.
func at(t testing.TB, addr string) imap.Config {
	t.Helper()
	return imap.Config{
		Server:      pollertest.Server(t, addr),
		Credentials: pollertest.Credentials(),
	}
}

func open(t testing.TB, conf imap.Config) *imap.Source {
	t.Helper()
	s, err := imap.Open(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func folder(t testing.TB, s *imap.Source, name string) *imap.Folder {
	t.Helper()
	f, err := s.Folder(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return f.(*imap.Folder)
}

// list reads a listing to its end.
func list(t testing.TB, f *imap.Folder, since string) ([]poller.Entry, *poller.Listing) {
	t.Helper()
	l, err := f.List(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	var entries []poller.Entry
	for e, err := range l.Entries {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries, l
}

func read(t testing.TB, f *imap.Folder, e poller.Entry) string {
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

// uids are the UIDs of entries.
func uids(entries []poller.Entry) (all []string) {
	for _, e := range entries {
		_, uid, _ := strings.Cut(e.ID, ".")
		all = append(all, uid)
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
		[]byte("Subject: =\r\n\r\n8 bit: \xff\xfe\x80, dots\r\n.\r\n..\r\nlast line without end"),
		[]byte("Subject: large\r\n\r\n"+strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\r\n", 200_000)))
	s.Append(t, dovecottest.User, "INBOX", all...)
	f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
	entries, l := list(t, f, "")
	if len(entries) != len(all) || l.Partial || l.Revision == "" {
		t.Fatalf("%d entries, want %d: %+v", len(entries), len(all), l)
	}
	if e := entries[0]; e.Size != int64(len(all[0])) || time.Since(e.ReceivedAt) > time.Minute || len(e.Flags) != 0 {
		t.Errorf("entry %+v", e)
	}
	for i, e := range entries {
		if got := read(t, f, e); got != string(all[i]) {
			t.Errorf("mail %d is %.80q", i, got)
		}
	}
	for _, i := range []int{200, 3, 301, 4, 199, 0} {
		if got := read(t, f, entries[i]); got != string(all[i]) {
			t.Errorf("out of order: mail %d is %.80q", i, got)
		}
	}
	for _, m := range s.Mails(t, dovecottest.User, "INBOX") {
		if m.Flags != "" {
			t.Errorf("looking left flags %s", m.Flags)
		}
	}
}

func TestMailIsOpenedWhileListing(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	all := mails(2500)
	s.Append(t, dovecottest.User, "INBOX", all...)
	f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
	l, err := f.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range l.Entries {
		if err != nil {
			t.Fatal(err)
		}
		// Every third mail, and sometimes only a part, as when the loop knows the rest.
		if n%3 == 0 {
			r, err := f.Open(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, all[n]) {
					t.Fatalf("mail %d: %.80q, %v", n, got, err)
				}
			} else if _, err := r.Read(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			if n%5 != 0 { // a reader that nobody closes does no harm
				r.Close()
			}
		}
		n++
	}
	if n != len(all) {
		t.Errorf("%d entries, want %d", n, len(all))
	}
}

func TestTwoReadersAtOnce(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	all := mails(40)
	s.Append(t, dovecottest.User, "INBOX", all...)
	f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
	entries, _ := list(t, f, "")
	var readers []io.ReadCloser
	for _, e := range entries {
		r, err := f.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	for i, r := range readers {
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, all[i]) {
			t.Errorf("mail %d: %.80q, %v", i, got, err)
		}
	}
}

func TestOnlyNewMailIsListed(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	const n = 1005
	s.Append(t, dovecottest.User, "INBOX", mails(n)...)
	src := open(t, at(t, s.IMAP))
	_, first := list(t, folder(t, src, "INBOX"), "")

	same, l := list(t, folder(t, src, "INBOX"), first.Revision)
	if len(same) != 0 || !l.Partial || l.Revision != first.Revision {
		t.Errorf("unchanged: %v, %+v", uids(same), l)
	}
	s.Append(t, dovecottest.User, "INBOX", mail(5), mail(6))
	f := folder(t, src, "INBOX")
	fresh, l := list(t, f, first.Revision)
	if diff := cmp.Diff([]string{"1006", "1007"}, uids(fresh)); diff != "" || !l.Partial || l.Revision == first.Revision {
		t.Errorf("new mail: %s, %+v", diff, l)
	}
	if got := read(t, f, fresh[1]); got != string(mail(6)) {
		t.Errorf("the last mail is %q", got)
	}
	again, l := list(t, f, l.Revision)
	if len(again) != 0 || !l.Partial {
		t.Errorf("the same folder again: %v, %+v", uids(again), l)
	}
	whole, l := list(t, f, "nonsense")
	if len(whole) != n+2 || l.Partial {
		t.Errorf("no revision of ours: %v, %+v", uids(whole), l)
	}
}

// A small folder is listed whole, so that what is gone can be told.
func TestSmallFolderIsListedWhole(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(5)...)
	src := open(t, at(t, s.IMAP))
	_, l := list(t, folder(t, src, "INBOX"), "")
	s.Doveadm(t, nil, "expunge", "-u", dovecottest.User, "mailbox", "INBOX", "uid", "2")
	rest, l := list(t, folder(t, src, "INBOX"), l.Revision)
	if diff := cmp.Diff([]string{"1", "3", "4", "5"}, uids(rest)); diff != "" || l.Partial {
		t.Errorf("%s, %+v", diff, l)
	}
}

func TestChangedUIDValidityListsAll(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(3)...)
	src := open(t, at(t, s.IMAP))
	f := folder(t, src, "INBOX")
	before, first := list(t, f, "")
	s.Doveadm(t, nil, "mailbox", "update", "-u", dovecottest.User, "--uid-validity", "77", "INBOX")
	src.Close()
	f = folder(t, open(t, at(t, s.IMAP)), "INBOX")
	after, l := list(t, f, first.Revision)
	if len(after) != 3 || l.Partial || after[0].ID != "77.1" {
		t.Errorf("%v, %+v", after, l)
	}
	if _, err := tryRead(t.Context(), f, before[0]); err == nil || errors.Is(err, poller.ErrGone) {
		t.Errorf("a mail of another UIDVALIDITY: %v", err)
	}
}

func TestListingWhileOthersRemove(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	const n = 3500
	s.Append(t, dovecottest.User, "INBOX", mails(n)...)
	other := s.Session(t, dovecottest.User)
	other.Do("SELECT INBOX")
	f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
	l, err := f.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range l.Entries {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, uids([]poller.Entry{e})...)
		switch len(got) {
		case 10: // behind the reader and in front of it
			other.Do(`UID STORE 1:5,1100:1199,3300:3310 +FLAGS.SILENT (\Deleted)`)
			other.Do("EXPUNGE")
		case 1500: // the folder is opened again: nobody tells that numbers have changed
			other.Do(`UID STORE 100:900 +FLAGS.SILENT (\Deleted)`)
			other.Do("EXPUNGE")
			if err := f.MarkSeen(t.Context(), []poller.Entry{e}); err != nil {
				t.Fatal(err)
			}
		}
		if len(got)%7 == 0 {
			if _, err := tryRead(t.Context(), f, e); err != nil && !errors.Is(err, poller.ErrGone) {
				t.Fatal(err)
			}
		}
	}
	there := map[string]bool{}
	for _, uid := range got {
		if there[uid] {
			t.Errorf("UID %s twice", uid)
		}
		there[uid] = true
	}
	for _, m := range s.Mails(t, dovecottest.User, "INBOX") {
		if !there[fmt.Sprint(m.UID)] {
			t.Errorf("UID %d was not listed", m.UID)
		}
	}
}

func TestGoneMail(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(5)...)
	f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
	entries, _ := list(t, f, "")
	s.Doveadm(t, nil, "expunge", "-u", dovecottest.User, "mailbox", "INBOX", "uid", "2:3")
	for i, e := range entries {
		_, err := tryRead(t.Context(), f, e)
		if gone := errors.Is(err, poller.ErrGone); gone != (i == 1 || i == 2) || !gone && err != nil {
			t.Errorf("mail %d: %v", i, err)
		}
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(20)...)
	before := runtime.NumGoroutine()
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		src, err := imap.Open(ctx, at(t, s.IMAP))
		if err != nil {
			t.Fatal(err)
		}
		f := folder(t, src, "INBOX")
		entries, _ := list(t, f, "")
		if _, err := f.Open(ctx, entries[3]); err != nil {
			t.Fatal(err)
		}
		go cancel()
		if err := f.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("wait: %v", err)
		}
		src.Close()
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines, and %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}
