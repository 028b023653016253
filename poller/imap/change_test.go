package imap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/imap"
)

// What servers announce that have less than Dovecot.
const (
	noMove    = "IMAP4rev1 UIDPLUS IDLE"
	noUIDPlus = "IMAP4rev1"
)

// left are the subjects of the mails in a folder, with their flags.
func left(t testing.TB, s *dovecottest.Server, name string) []string {
	t.Helper()
	var all []string
	for _, m := range s.Mails(t, dovecottest.User, name) {
		_, subject, _ := strings.Cut(string(m.Raw), "Subject: mail ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		all = append(all, strings.TrimSpace(subject+" "+m.Flags))
	}
	slices.Sort(all)
	return all
}

func TestRemove(t *testing.T) {
	for _, capability := range []string{"", noMove, noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			s.Append(t, dovecottest.User, "INBOX", mails(1200)...)
			f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
			entries, _ := list(t, f, "")
			s.Append(t, dovecottest.User, "INBOX", mail(5000)) // it comes meanwhile
			if err := f.Remove(t.Context(), entries[1:]); err != nil {
				t.Fatal(err)
			}
			if err := f.Remove(t.Context(), entries[1:3]); err != nil {
				t.Errorf("again: %v", err)
			}
			if diff := cmp.Diff([]string{"0", "5000"}, left(t, s, "INBOX")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever a server can, mail that somebody else has marked stays.
func TestOthersDeletedMailStays(t *testing.T) {
	remove := func(ctx context.Context, f *imap.Folder, entries []poller.Entry) error {
		return f.Remove(ctx, entries)
	}
	archive := func(ctx context.Context, f *imap.Folder, entries []poller.Entry) error {
		return f.Archive(ctx, entries, "Done")
	}
	for _, test := range []struct {
		name       string
		capability string
		change     func(context.Context, *imap.Folder, []poller.Entry) error
		archived   []string
	}{
		{"remove", "", remove, nil},
		{"remove without MOVE", noMove, remove, nil},
		{"remove without UIDPLUS", noUIDPlus, remove, nil},
		{"archive", "", archive, []string{"2", "3"}},
		{"archive without MOVE", noMove, archive, []string{"2", "3"}},
		{"archive without UIDPLUS", noUIDPlus, archive, []string{"2", "3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: test.capability})
			x := s.Session(t, dovecottest.User)
			x.Do("CREATE Done")
			x.Append("INBOX", mails(4)...)
			x.Do("SELECT INBOX")
			x.Do(`STORE 2 +FLAGS (\Deleted)`)
			f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
			entries, _ := list(t, f, "")
			err := test.change(t.Context(), f, entries[2:])
			if test.capability == noUIDPlus {
				var marked *imap.MarkedError
				if !errors.As(err, &marked) || *marked != (imap.MarkedError{Count: 2, Others: 1}) {
					t.Errorf("%v", err)
				}
				if got := len(s.Mails(t, dovecottest.User, "INBOX")); got != 4 {
					t.Errorf("%d of 4 mails are left", got)
				}
				x.Do(`STORE 2 -FLAGS (\Deleted)`) // nothing is in the way any more
				err = test.change(t.Context(), f, entries[2:])
				x.Do(`STORE 2 +FLAGS (\Deleted)`)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"0", `1 \Deleted`}, left(t, s, "INBOX")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.archived, left(t, s, "Done")); diff != "" {
				t.Errorf("archive: %s", diff)
			}
		})
	}
}

func TestArchive(t *testing.T) {
	for _, capability := range []string{"", noMove, noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			s.Append(t, dovecottest.User, "INBOX", mails(8)...)
			src := open(t, at(t, s.IMAP))
			f := folder(t, src, "INBOX")
			entries, _ := list(t, f, "")
			const name = "Archiv/für immer"
			if err := f.Archive(t.Context(), entries[:3], name); err != nil {
				t.Fatal(err)
			}
			if got := read(t, f, entries[5]); got != string(mail(5)) {
				t.Errorf("then mail 5 is %q", got)
			}
			if err := f.Archive(t.Context(), entries[:5], name); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"5", "6", "7"}, left(t, s, "INBOX")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, left(t, s, "Archiv/f&APw-r immer")); diff != "" {
				t.Errorf("archive: %s", diff)
			}
			s.Doveadm(t, nil, "mailbox", "delete", "-u", dovecottest.User, name)
			if err := f.Archive(t.Context(), entries[5:6], name); err != nil {
				t.Fatalf("to a folder that somebody has removed: %v", err)
			}
			if diff := cmp.Diff([]string{"5"}, left(t, s, "Archiv/f&APw-r immer")); diff != "" {
				t.Errorf("archive made again: %s", diff)
			}
			if names, err := src.Folders(t.Context(), []string{name}); err != nil || !slices.Equal(names, []string{name}) {
				t.Errorf("folders %q, %v", names, err)
			}
			if err := f.Archive(t.Context(), entries[5:], "INBOX"); err == nil {
				t.Error("mail is archived where it is")
			}
		})
	}
}

// A crash between COPY and what follows it leaves mail in both folders.
func TestArchiveAfterACrash(t *testing.T) {
	for _, capability := range []string{noMove, noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			x := s.Session(t, dovecottest.User)
			x.Append("INBOX", append(mails(6), mail(2))...) // one twice
			x.Do("CREATE Done")
			x.Append("Done", mail(5)) // it was archived before, as another mail
			x.Do("SELECT INBOX")
			x.Do("STORE 1:3,7 +FLAGS ($MailrowArchiving)")
			x.Do("COPY 2:3 Done")
			f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
			entries, _ := list(t, f, "")
			for range 2 {
				if err := f.Archive(t.Context(), entries, "Done"); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff([]string(nil), left(t, s, "INBOX")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"0", "1", "2", "2", "3", "4", "5", "5"}, left(t, s, "Done")); diff != "" {
				t.Errorf("archive: %s", diff)
			}
		})
	}
}

func TestMarkSeen(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(3)...)
	f := folder(t, open(t, at(t, s.IMAP)), "INBOX")
	entries, _ := list(t, f, "")
	if err := f.MarkSeen(t.Context(), entries[:2]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`0 \Seen`, `1 \Seen`, "2"}, left(t, s, "INBOX")); diff != "" {
		t.Error(diff)
	}
	entries, _ = list(t, f, "")
	if !slices.Equal(entries[0].Flags, []string{`\Seen`}) {
		t.Errorf("flags %q", entries[0].Flags)
	}
}

func TestReadOnlyFolderSaysSo(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{Extra: `
mail_plugins = acl
protocol imap {
  mail_plugins = acl imap_acl
}
plugin {
  acl = vfile
}
namespace inbox {
  inbox = yes
}
`})
	x := s.Session(t, dovecottest.User)
	x.Append("INBOX", mails(1)...)
	x.Do("CREATE Shut")
	x.Append("Shut", mails(1)...)
	x.Do("SETACL Shut " + dovecottest.User + " lra")
	f := folder(t, open(t, at(t, s.IMAP)), "Shut")
	entries, _ := list(t, f, "")
	if got := read(t, f, entries[0]); got != string(mail(0)) {
		t.Errorf("mail %q", got)
	}
	err := f.Remove(t.Context(), entries)
	if err == nil || !strings.Contains(err.Error(), `"Shut"`) {
		t.Errorf("remove: %v", err)
	}
	if diff := cmp.Diff([]string{"0"}, left(t, s, "Shut")); diff != "" {
		t.Error(diff)
	}
}

func TestWaitTellsOfNewMail(t *testing.T) {
	for _, capability := range []string{"", noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			s.Append(t, dovecottest.User, "INBOX", mail(0))
			conf := at(t, s.IMAP)
			conf.Poll = 50 * time.Millisecond
			conf.Idle = 300 * time.Millisecond // renewed a few times
			f := folder(t, open(t, conf), "INBOX")
			list(t, f, "")
			told := make(chan error)
			go func() { told <- f.Wait(t.Context()) }()
			select {
			case err := <-told:
				t.Fatalf("nothing has come, and: %v", err)
			case <-time.After(time.Second):
			}
			s.Append(t, dovecottest.User, "INBOX", mail(1))
			came := time.Now()
			if err := <-told; err != nil {
				t.Fatal(err)
			}
			if late := time.Since(came); late > time.Second {
				t.Errorf("told after %v", late)
			}
			entries, l := list(t, f, "")
			if len(entries) != 2 {
				t.Errorf("%v", uids(entries))
			}
			// What comes between List and Wait is told of as well.
			s.Append(t, dovecottest.User, "INBOX", mail(2))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := f.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			// The connection outlives a Wait that is given up.
			brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := f.Wait(brief); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("wait: %v", err)
			}
			if entries, _ = list(t, f, l.Revision); len(entries) != 3 {
				t.Errorf("%v", uids(entries))
			}
		})
	}
}

func TestLostConnectionIsBroken(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	s.Append(t, dovecottest.User, "INBOX", mails(3)...)
	src := open(t, at(t, s.IMAP))
	f := folder(t, src, "INBOX")
	entries, _ := list(t, f, "")
	s.Kick(t, dovecottest.User)
	var err error
	for range 20 { // what was asked ahead may have come already
		if _, err = tryRead(t.Context(), f, entries[0]); err != nil {
			break
		}
	}
	var broken *poller.BrokenError
	if !errors.As(err, &broken) || !strings.Contains(fmt.Sprint(err), "127.0.0.1") {
		t.Errorf("read: %v", err)
	}
	f = folder(t, src, "INBOX") // connects anew
	if got := read(t, f, entries[1]); got != string(mail(1)) {
		t.Errorf("mail %q", got)
	}
	s.Kick(t, dovecottest.User)
	f = folder(t, src, "INBOX") // nobody has to know
	read(t, f, entries[2])
	s.Kick(t, dovecottest.User)
	if err := f.Wait(t.Context()); !errors.As(err, &broken) {
		t.Errorf("wait: %v", err)
	}
}
