package imap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/scripttest"
	"mailrow/poller"
	"mailrow/poller/dial"
	"mailrow/poller/imap"
	"mailrow/poller/imap/client"
)

// What scripts begin with: logged in, and a folder of three mails.
const (
	begin = `
S: * PREAUTH [CAPABILITY IMAP4rev1 UIDPLUS IDLE LITERAL+] hello
C: a LIST "" ""
S: * LIST (\Noselect) "/" ""
S: a OK
`
	examine = begin + `
C: a EXAMINE "INBOX"
S: * 3 EXISTS
S: * OK [UIDVALIDITY 7] valid
S: * OK [UIDNEXT 10] next
S: a OK [READ-ONLY] opened
`
	three = examine + `
C: a FETCH 1:3
S: * 1 FETCH (UID 4 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: * 2 FETCH (UID 5 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: * 3 FETCH (UID 9 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: a OK
`
	// The first of four mails has been read, and the next two are asked for.
	pair = begin + `
C: a EXAMINE "INBOX"
S: * 4 EXISTS
S: * OK [UIDVALIDITY 7] valid
S: * OK [UIDNEXT 10] next
S: a OK [READ-ONLY] opened
C: a FETCH 1:4
S: * 1 FETCH (UID 3 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: * 2 FETCH (UID 4 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: * 3 FETCH (UID 5 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: * 4 FETCH (UID 9 FLAGS () RFC822.SIZE 5 INTERNALDATE "01-May-2026 10:00:00 +0000")
S: a OK
C: a UID FETCH 3 
S: * 1 FETCH (UID 3 BODY[] {5}
S: mail3)
S: a OK
C: a UID FETCH 4:5
`
)

// played is what came of a script: the UIDs, the mails or their errors, and the
// error of the folder.
type played struct {
	listed []string
	mails  []string
	err    error
	warned string
}

// play lists INBOX and reads every mail of it.
func play(t *testing.T, conf imap.Config, scripts ...string) (p played) {
	t.Helper()
	s := scripttest.Start(t, nil, scripts...)
	conf.Server = at(t, s.Addr()).Server
	conf.Server.Timeouts = dial.Timeouts{Greeting: 500 * time.Millisecond, Read: 500 * time.Millisecond}
	conf.Server.Warn = func(text string) { p.warned += text }
	ctx := t.Context()
	src, err := imap.Open(ctx, conf)
	if err != nil {
		p.err = err
		return p
	}
	defer src.Close()
	f, err := src.Folder(ctx, "INBOX")
	if err != nil {
		p.err = err
		return p
	}
	l, err := f.List(ctx, "")
	if err != nil {
		p.err = err
		return p
	}
	var entries []poller.Entry
	for e, err := range l.Entries {
		if err != nil {
			p.err = err
			return p
		}
		entries = append(entries, e)
	}
	p.listed = uids(entries)
	for _, e := range entries {
		raw, err := tryRead(ctx, f, e)
		if err != nil {
			raw = "error"
			p.err = err
		}
		p.mails = append(p.mails, raw)
		var broken *poller.BrokenError
		if errors.As(err, &broken) {
			break
		}
	}
	return p
}

func TestOddAnswers(t *testing.T) {
	rest := "C: b UID FETCH 9\nS: * 4 FETCH (UID 9 BODY[] {5}\nS: mail9)\nS: b OK\nsilence\n"
	all := []string{"mail3", "mail4", "mail5", "mail9"}
	for _, test := range []struct {
		name, script string
		mails        []string
	}{
		{"as it should be", pair + "S: * 2 FETCH (UID 4 BODY[] {5}\nS: mail4)\nS: * 3 FETCH (UID 5 BODY[] {5}\nS: mail5)\nS: a OK\n" + rest, all},
		{"garbage in between", pair + `
S: 
S: garbage
S: + stray
S: * XFOO {3}
S: abc and more
S: * XBAR "unbalanced (
S: * LSUB () "/" x
S: * VANISHED 1:4294967296
S: * ID ("version" NIL)
S: * OK [X-UNKNOWN ] strange]] {5}
S: z99 OK nobody asked
S: * 4294967296 EXISTS
S: * 2 FETCH (X-GM-MSGID 1278455344230334865 EMAILID (M6d99ac3275bb4e) FLAGS (\Seen odd] x) UID 4 BODY[] {5}
S: mail4)
S: * 3 FETCH (FLAGS (NIL "quoted") UID 5 MODSEQ (12345) BODY[] {5}
S: mail5 X-GM-LABELS (\Inbox "Grüße" {2}
S: ab))
S: a OK
` + rest, all},
		{"UID after the literal", pair + "S: * 2 FETCH (BODY[] {5}\nS: mail4 UID 4)\nS: * 3 FETCH (BODY[] {5}\nS: mail5 FLAGS (\\Seen) UID 5)\nS: a OK\n" + rest, all},
		{"the other order", pair + "S: * 3 FETCH (UID 5 BODY[] {5}\nS: mail5)\nS: * 2 FETCH (UID 4 BODY[] {5}\nS: mail4)\nS: a OK\n" + rest, all},
		{"duplicate UIDs", pair + "S: * 2 FETCH (UID 4 BODY[] {5}\nS: mail4)\nS: * 3 FETCH (UID 4 BODY[] {5}\nS: other)\nS: * 3 FETCH (UID 5 BODY[] {5}\nS: mail5)\nS: a OK\n" + rest, all},
		{"quoted text", pair + "S: * 2 FETCH (UID 4 BODY[] \"ma\\\"l4\")\nS: * 3 FETCH (UID 5 BODY[] ~{5}\nS: mail5)\nS: a OK\n" + rest, []string{"mail3", `ma"l4`, "mail5", "mail9"}},
		{"wrong RFC822.SIZE", pair + "S: * 2 FETCH (UID 4 BODY[] {9}\nS: long mail)\nS: * 3 FETCH (UID 5 BODY[] {1}\nS: m)\nS: a OK\n" + rest, []string{"mail3", "long mail", "m", "mail9"}},
		{"slow bytes", pair + "S> * 1 FE\nS> TCH (UID 4 BO\nS> DY[] {5}\\r\nS> \\n\nS> ma\nS> il4\nS> )\\r\\n\nS: * 3 FETCH (UID 5 BODY[] {5}\nS: mail5)\nS: a OK\n" + rest, all},
		{"missing UID", pair + `
S: * 2 FETCH (BODY[] {5}
S: mail4)
S: * 3 FETCH (UID 5 BODY[] {5}
S: mail5)
S: a OK
C: b UID FETCH 4 
S: * 2 FETCH (BODY[] {5}
S: mail4)
S: b OK
C: b UID FETCH 4 (UID RFC822.SIZE)
S: * 2 FETCH (UID 4 RFC822.SIZE 5)
S: b OK
` + rest, []string{"mail3", "error", "mail5", "mail9"}},
		{"no text", pair + `
S: * 2 FETCH (UID 4 BODY[] NIL)
S: * 3 FETCH (UID 5 BODY[] {5}
S: mail5)
S: a OK
C: b UID FETCH 4 
S: b NO [SERVERBUG] it is broken
C: b UID FETCH 4 (UID RFC822.SIZE)
S: * 2 FETCH (UID 4 RFC822.SIZE 5)
S: b OK
` + rest, []string{"mail3", "error", "mail5", "mail9"}},
		{"empty text", pair + "S: * 2 FETCH (UID 4 BODY[] \"\")\nS: * 3 FETCH (UID 5 BODY[] {0}\nS: )\nS: a OK\n" + rest, []string{"mail3", "error", "error", "mail9"}},
		{"truncated literal", pair + "S> * 2 FETCH (UID 4 BODY[] {5}\\r\\nma\nclose\n", []string{"mail3", "error"}},
		{"cut after the literal", pair + "S> * 2 FETCH (UID 4 BODY[] {5}\\r\\nmail4\nclose\n", []string{"mail3", "error"}},
		{"literal announced too short", pair + "S: * 2 FETCH (UID 4 BODY[] {3}\nS: mail4)\nS: a OK\n", []string{"mail3", "error", "error"}},
		{"literal announced too long", pair + "S: * 2 FETCH (UID 4 BODY[] {8}\nS: mail4)\nS: a OK\n", []string{"mail3", "error", "error"}},
		{"silent", pair + "S: * 2 FETCH (UID 4 BODY[] {5}\nsilence\n", []string{"mail3", "error"}},
		{"BYE", pair + "S: * BYE [ALERT] maintenance\nclose\n", []string{"mail3", "error"}},
		{"closed", pair + "close\n", []string{"mail3", "error"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, imap.Config{}, test.script)
			if diff := cmp.Diff(test.mails, p.mails); diff != "" {
				t.Errorf("%v %s", p.err, diff)
			}
			var broken *poller.BrokenError
			if lost := len(test.mails) < 4; errors.As(p.err, &broken) != lost {
				t.Errorf("error %v, lost connection %v", p.err, lost)
			}
			if p.err != nil && !strings.Contains(p.err.Error(), `folder "INBOX" of 127.0.0.1:`) {
				t.Errorf("the error does not say where: %v", p.err)
			}
		})
	}
}

// Who waits for the next mail is not kept by one whose length is wrong.
func TestWrongLengthIsTheMailsFault(t *testing.T) {
	s := scripttest.Start(t, nil, pair+"S: * 2 FETCH (UID 4 BODY[] {3}\nS: mail4)\nS: a OK\n")
	f := folder(t, open(t, at(t, s.Addr())), "INBOX")
	entries, _ := list(t, f, "")
	if raw := read(t, f, entries[0]); raw != "mail3" {
		t.Errorf("read %q", raw)
	}
	var broken *poller.BrokenError
	if _, err := tryRead(t.Context(), f, entries[1]); !errors.Is(err, client.ErrLength) || errors.As(err, &broken) || !strings.Contains(err.Error(), "UID 4") {
		t.Errorf("read: %v", err)
	}
	if _, err := tryRead(t.Context(), f, entries[2]); !errors.As(err, &broken) {
		t.Errorf("then: %v", err)
	}
}

func TestOddListings(t *testing.T) {
	bodies := "C: a UID FETCH 4 \nS: * 1 FETCH (UID 4 BODY[] {5}\nS: mail4)\nS: a OK\nC: b UID FETCH 5\nS: * 2 FETCH (UID 5 BODY[] {5}\nS: mail5)\nS: b OK\nsilence\n"
	for _, test := range []struct {
		name, script string
		listed       []string
		failed       bool
	}{
		{"duplicate UIDs", examine + `
C: a FETCH 1:3
S: * 1 FETCH (UID 4 RFC822.SIZE 5)
S: * 2 FETCH (UID 4 RFC822.SIZE 5)
S: * 3 FETCH (UID 5 RFC822.SIZE 5)
S: a OK
C: a UID FETCH 5
S: * 1 FETCH (UID 5 BODY[] {5}
S: mail5)
S: a OK
silence
`, []string{"5"}, false},
		{"odd dates and flags", examine + `
C: a FETCH 1:3
S: * 3 FETCH (UID 5 INTERNALDATE "yesterday" RFC822.SIZE 5 FLAGS NIL)
S: * 2 FETCH (FLAGS (\Seen))
S: * 1 FETCH (RFC822.SIZE 5 UID 4 INTERNALDATE NIL FLAGS (\*))
S: a OK
` + bodies, []string{"4", "5"}, false},
		{"no UIDs", examine + `
C: a FETCH 1:3
S: * 1 FETCH (RFC822.SIZE 5)
S: a OK
C: a NOOP
S: a OK
`, nil, true},
		{"all gone", examine + `
C: a FETCH 1:3
S: a NO [EXPUNGEISSUED] gone
`, nil, true},
		{"gone in between", examine + `
C: a FETCH 1:3
S: a OK
C: a NOOP
S: * 3 EXPUNGE
S: * 2 EXPUNGE
S: * 1 EXPUNGE
S: a OK
`, nil, false},
		{"no UIDVALIDITY", begin + `
C: a EXAMINE "INBOX"
S: * 3 EXISTS
S: a OK
`, nil, true},
		{"refused", begin + `
C: a EXAMINE "INBOX"
S: a NO [NOPERM] not yours
`, nil, true},
		{"BYE at the greeting", "S: * BYE too many connections\nclose\n", nil, true},
		{"BYE after the login", "S: * PREAUTH [CAPABILITY IMAP4rev1] hello\nC: a LIST\nS: * BYE so soon\n", nil, true},
		{"BYE at EXAMINE", begin + "C: a EXAMINE\nS: * BYE later\n", nil, true},
		{"BYE while listing", examine + "C: a FETCH 1:3\nS: * 1 FETCH (UID 4 RFC822.SIZE 5)\nS: * BYE enough\n", nil, true},
		{"no greeting", "silence\n", nil, true},
		{"another protocol", "S: 220 mail.example.com ESMTP\n", nil, true},
		{"POP3", "S: +OK ready\n", nil, true},
		{"nothing but garbage", "S: * PREAUTH [CAPABILITY IMAP4rev1] hello\nC: a LIST\n" + strings.Repeat("S: garbage\n", 10_100), nil, true},
		{"a literal that is no mail", "S: * PREAUTH [CAPABILITY IMAP4rev1] hello\nC: a LIST\nS: * LIST () \"/\" {99999999999}\nsilence\n", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, imap.Config{}, test.script)
			if diff := cmp.Diff(test.listed, p.listed); diff != "" || (p.err != nil) != test.failed {
				t.Errorf("%v %s", p.err, diff)
			}
			if p.err != nil && !strings.Contains(p.err.Error(), "127.0.0.1:") {
				t.Errorf("the error does not say where: %v", p.err)
			}
		})
	}
}

// rows are answers about mails, first to last, whose UIDs are so much higher.
func rows(first, last, higher int) string {
	var b strings.Builder
	for seq := first; seq <= last; seq++ {
		fmt.Fprintf(&b, "S: * %d FETCH (UID %d RFC822.SIZE 5)\n", seq, seq+higher)
	}
	return b.String() + "S: a OK\n"
}

// A mail that is removed without a word moves all others to lower numbers.
func TestNumbersThatChangeSilently(t *testing.T) {
	s := scripttest.Start(t, nil, strings.Replace(examine, "3 EXISTS", "2500 EXISTS", 1)+
		"C: a FETCH 1:1000 \n"+rows(1, 1000, 0)+
		"C: a FETCH 1000:2000 \n"+rows(1000, 2000, 3)+ // the first three are gone
		"C: a SEARCH UID 1001:*\nS: * SEARCH 998 999 1000\nS: a OK\n"+
		"C: a FETCH 998:1997 \n"+rows(998, 1997, 3)+
		"C: a FETCH 1997:2500 \n"+rows(1997, 2497, 3)+
		"C: a SEARCH UID 2501:*\nS: * SEARCH 2497\nS: a OK\n"+
		"C: a FETCH 2497:2500 \n"+rows(2497, 2497, 3)+
		"C: b LOGOUT\n")
	src := open(t, at(t, s.Addr()))
	entries, l := list(t, folder(t, src, "INBOX"), "")
	for i, uid := range uids(entries) {
		if uid != fmt.Sprint(i+1) {
			t.Fatalf("entry %d has UID %s", i, uid)
		}
	}
	if len(entries) != 2500 || l.Revision != "" { // the last answer had fewer than 504
		t.Errorf("%d entries, %+v", len(entries), l)
	}
	src.Close()
}

// Mails of one UID are left out also where two answers divide them: who removes one of
// them removes both.
func TestDuplicateUIDsInTwoAnswers(t *testing.T) {
	s := scripttest.Start(t, nil, strings.Replace(examine, "3 EXISTS", "1002 EXISTS", 1)+
		"C: a FETCH 1:1000 \n"+rows(1, 1000, 0)+
		"C: a FETCH 1000:1002 \n"+strings.TrimSuffix(rows(1000, 1000, 0), "S: a OK\n")+rows(1001, 1002, -1)+
		"C: a SEARCH UID 1001:*\nS: * SEARCH 1002\nS: a OK\n"+
		"C: a FETCH 1002:1002 \n"+rows(1002, 1002, -1)+
		"silence\n")
	entries, l := list(t, folder(t, open(t, at(t, s.Addr())), "INBOX"), "")
	listed := uids(entries)
	if len(listed) != 1000 || listed[998] != "999" || listed[999] != "1001" || l.Revision != "" {
		t.Errorf("%d entries, the last of which are %v; %+v", len(listed), listed[998:], l)
	}
}

// A server that leaves out mails is asked for all next time.
func TestIncompleteListingHasNoRevision(t *testing.T) {
	s := scripttest.Start(t, nil, examine+`
C: a FETCH 1:3
S: * 1 FETCH (UID 4 RFC822.SIZE 5)
S: * 3 FETCH (UID 9 RFC822.SIZE 5)
S: a OK
silence
`)
	entries, l := list(t, folder(t, open(t, at(t, s.Addr())), "INBOX"), "")
	if len(entries) != 2 || l.Revision != "" {
		t.Errorf("%v, %+v", uids(entries), l)
	}
}

// An unchanged folder is told by EXAMINE alone: the script has nothing more.
func TestUnchangedFolderCostsOneRoundTrip(t *testing.T) {
	s := scripttest.Start(t, nil, examine+"C: b LOGOUT\n")
	src := open(t, at(t, s.Addr()))
	entries, l := list(t, folder(t, src, "INBOX"), "7/10/0/3/0")
	if len(entries) != 0 || !l.Partial || l.Revision != "7/10/0/3/0" {
		t.Errorf("%v, %+v", uids(entries), l)
	}
	src.Close()
	for _, since := range []string{"6/10/0/3/0", "7/11/0/3/0", "7/10/0/2/0", "7/10/0/3/1", ""} {
		s := scripttest.Start(t, nil, three)
		entries, l := list(t, folder(t, open(t, at(t, s.Addr())), "INBOX"), since)
		if len(entries) != 3 || l.Partial {
			t.Errorf("%q: %v, %+v", since, uids(entries), l)
		}
	}
}

func TestCopyIsRefused(t *testing.T) {
	s := scripttest.Start(t, nil, three+findArchive+selected+`
C: a UID SEARCH KEYWORD $MailrowArchiving
S: * SEARCH
S: a OK
C: a UID STORE 4:5 +FLAGS.SILENT ($MailrowArchiving)
S: a OK
C: a UID COPY 4:5 "Done"
S: a NO [OVERQUOTA] no room
C: b LOGOUT
`)
	src := open(t, at(t, s.Addr()))
	f := folder(t, src, "INBOX")
	entries, _ := list(t, f, "")
	err := f.Archive(t.Context(), entries[:2], "Done")
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Code != "OVERQUOTA" || !strings.Contains(err.Error(), "make room") {
		t.Errorf("archive: %v", err)
	}
	src.Close()
}

func TestCanceledWhileReading(t *testing.T) {
	s := scripttest.Start(t, nil, three+"C: a UID FETCH 4\nS> * 1 FETCH (UID 4 BODY[] {5}\\r\\nma\nsilence\n")
	f := folder(t, open(t, at(t, s.Addr())), "INBOX")
	entries, _ := list(t, f, "")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := f.Open(ctx, entries[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = io.ReadAll(r)
	var broken *poller.BrokenError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &broken) {
		t.Errorf("read: %v", err)
	}
}
