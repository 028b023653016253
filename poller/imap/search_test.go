package imap_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/dovecottest"
	"mailrow/poller/imap"
)

func TestConditions(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	x := s.Session(t, dovecottest.User)
	x.Append("INBOX", mails(4)...)
	x.Append("INBOX", []byte("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n"))
	x.Do(`APPEND INBOX "01-Feb-2020 10:00:00 +0000" {4+}` + "\r\n\r\n\r\n")
	x.Do("SELECT INBOX")
	x.Do(`STORE 1:2 +FLAGS (\Seen)`)
	for _, test := range []struct {
		change func(*imap.Config)
		want   []string
	}{
		{func(c *imap.Config) { c.Search = "UNSEEN" }, []string{"3", "4", "5", "6"}},
		{func(c *imap.Config) { c.Search = `UNSEEN SUBJECT "mail 3"` }, []string{"4"}},
		{func(c *imap.Config) { c.Search = `SUBJECT "Grüße"` }, []string{"5"}},
		{func(c *imap.Config) { c.Search = `SUBJECT Grüße` }, []string{"5"}},
		{func(c *imap.Config) { c.SinceUID = 5 }, []string{"5", "6"}},
		{func(c *imap.Config) { c.SinceUID = 100 }, nil},
		{func(c *imap.Config) { c.Since = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC) }, []string{"1", "2", "3", "4", "5"}},
		{func(c *imap.Config) { c.Since, c.Search = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC), "SEEN" }, []string{"1", "2"}},
	} {
		conf := at(t, s.IMAP)
		test.change(&conf)
		src := open(t, conf)
		entries, l := list(t, folder(t, src, "INBOX"), "")
		if diff := cmp.Diff(test.want, uids(entries)); diff != "" || !l.Partial {
			t.Errorf("%q %d %v: %s", conf.Search, conf.SinceUID, conf.Since, diff)
		}
		again, _ := list(t, folder(t, src, "INBOX"), l.Revision)
		if len(again) != 0 {
			t.Errorf("%q %d %v: unchanged, and %v are listed", conf.Search, conf.SinceUID, conf.Since, uids(again))
		}
		if whole, _ := list(t, folder(t, open(t, at(t, s.IMAP)), "INBOX"), l.Revision); len(whole) != 6 {
			t.Errorf("%q: without the condition %d mails are listed", conf.Search, len(whole))
		}
	}
	conf := at(t, s.IMAP)
	conf.Search = `SUBJECT "open`
	if _, err := imap.Open(t.Context(), conf); err == nil {
		t.Error("a quotation mark without a partner is taken")
	}
}

// What matches a search may be older than what did not.
func TestSearchFindsWhatMatchesLater(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(3)...)
	x := s.Session(t, dovecottest.User)
	x.Do("SELECT INBOX")
	conf := at(t, s.IMAP)
	conf.Search = "FLAGGED"
	src := open(t, conf)
	_, l := list(t, folder(t, src, "INBOX"), "")
	x.Do(`STORE 2 +FLAGS (\Flagged)`)
	found, _ := list(t, folder(t, src, "INBOX"), l.Revision)
	if diff := cmp.Diff([]string{"2"}, uids(found)); diff != "" {
		t.Error(diff)
	}
}
