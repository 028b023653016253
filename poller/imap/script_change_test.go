package imap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailrow/internal/scripttest"
	"mailrow/poller"
	"mailrow/poller/imap"
)

// What is said to remove, move and mark mail, by a server with MOVE and UIDPLUS, with
// neither, and with UIDPLUS alone; each line of the client's is one at which the
// connection may end.
const (
	selected = `
C: a SELECT "INBOX"
S: * 3 EXISTS
S: * OK [UIDVALIDITY 7] valid
S: * OK [UIDNEXT 10] next
S: * OK [PERMANENTFLAGS (\Deleted \Seen \*)] flags
S: a OK [READ-WRITE] opened
`
	findArchive = `
C: a LIST "" "Done"
S: * LIST () "/" "Done"
S: a OK
`
	expunged = `
C: a UID STORE 4:5 +FLAGS.SILENT (\Deleted)
S: a OK
C: a UID EXPUNGE 4:5
S: * 1 EXPUNGE
S: * 1 EXPUNGE
S: a OK
`
	expungedAll = `
C: a UID STORE 4:5 +FLAGS.SILENT (\Deleted)
S: a OK
C: a UID SEARCH DELETED
S: * SEARCH 4 5
S: a OK
C: a EXPUNGE
S: * 1 EXPUNGE
S: * 1 EXPUNGE
S: a OK
`
	copied = `
C: a UID SEARCH KEYWORD $MailrowArchiving
S: * SEARCH
S: a OK
C: a UID STORE 4:5 +FLAGS.SILENT ($MailrowArchiving)
S: a OK
C: a UID COPY 4:5 "Done"
S: a OK
`
	unmarked = `
C: a SELECT "Done"
S: * 2 EXISTS
S: * OK [UIDVALIDITY 8] valid
S: a OK
C: a UID SEARCH KEYWORD $MailrowArchiving
S: * SEARCH 1 2
S: a OK
C: a UID STORE 1:2 -FLAGS.SILENT ($MailrowArchiving)
S: a OK
` + selected
	moved = `
C: a UID MOVE 4:5 "Done"
S: * OK [COPYUID 8 4:5 1:2] moved
S: * 1 EXPUNGE
S: * 1 EXPUNGE
S: a OK
`
)

// A server may leave at any moment. What was not answered counts as not done, and the
// connection as lost.
func TestServerLeavesAtEveryState(t *testing.T) {
	with := func(capability string) string { return strings.Replace(three, "UIDPLUS", capability, 1) }
	remove := func(t *testing.T, f *imap.Folder, entries []poller.Entry) error {
		return f.Remove(t.Context(), entries)
	}
	archive := func(t *testing.T, f *imap.Folder, entries []poller.Entry) error {
		return f.Archive(t.Context(), entries, "Done")
	}
	seen := func(t *testing.T, f *imap.Folder, entries []poller.Entry) error {
		return f.MarkSeen(t.Context(), entries)
	}
	for _, test := range []struct {
		name, listed, change string
		do                   func(*testing.T, *imap.Folder, []poller.Entry) error
	}{
		{"remove", three, selected + expunged, remove},
		{"remove without UIDPLUS", with("CHILDREN"), selected + expungedAll, remove},
		{"archive", with("UIDPLUS MOVE"), findArchive + selected + moved, archive},
		{"archive without MOVE", three, findArchive + selected + copied + expunged + unmarked, archive},
		{"archive without UIDPLUS", with("CHILDREN"), findArchive + selected + copied + expungedAll + unmarked, archive},
		{"seen", three, selected + "C: a UID STORE 4:5 +FLAGS.SILENT (\\Seen)\nS: a OK\n", seen},
	} {
		lines := strings.SplitAfter(test.change, "\n")
		for _, end := range []string{"", "S: * BYE maintenance\nclose\n", "close\n", "S> * 1 FE\nclose\n"} {
			for i, line := range lines {
				if end != "" && !strings.HasPrefix(line, "C: ") || end == "" && i < len(lines)-1 {
					continue
				}
				t.Run(fmt.Sprintf("%s: %d %q", test.name, i, end), func(t *testing.T) {
					s := scripttest.Start(t, nil, test.listed+strings.Join(lines[:i+1], "")+end+"silence\n")
					src := open(t, at(t, s.Addr()))
					f := folder(t, src, "INBOX")
					entries, _ := list(t, f, "")
					err := test.do(t, f, entries[:2])
					var broken *poller.BrokenError
					if end == "" && err != nil || end != "" && !errors.As(err, &broken) {
						t.Errorf("%v", err)
					}
				})
			}
		}
	}
}

// A MOVE of which the server has done a part moves the rest when it is repeated.
func TestMoveThatWasDoneInPart(t *testing.T) {
	can := strings.NewReplacer("UIDPLUS", "UIDPLUS MOVE")
	two := strings.NewReplacer("UIDPLUS", "UIDPLUS MOVE", "3 EXISTS", "2 EXISTS")
	for name, end := range map[string]string{
		"cut":     "S: * 1 EXPUNGE\nclose\n",
		"refused": "S: * 1 EXPUNGE\nS: a NO [OVERQUOTA] no room\nC: b LOGOUT\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := scripttest.Start(t, nil,
				can.Replace(three)+findArchive+selected+"C: a UID MOVE 4:5 \"Done\"\n"+end,
				two.Replace(examine)+"C: a FETCH 1:2\nS: * 1 FETCH (UID 5 RFC822.SIZE 5)\nS: * 2 FETCH (UID 9 RFC822.SIZE 5)\nS: a OK\n"+
					findArchive+two.Replace(selected)+"C: a UID MOVE 5 \"Done\"\nS: * 1 EXPUNGE\nS: a OK\nC: b LOGOUT\n",
			)
			src := open(t, at(t, s.Addr()))
			f := folder(t, src, "INBOX")
			entries, _ := list(t, f, "")
			if err := f.Archive(t.Context(), entries[:2], "Done"); err == nil {
				t.Error("a MOVE that has not come to its end is done")
			}
			src.Close()
			src = open(t, at(t, s.Addr()))
			f = folder(t, src, "INBOX")
			left, _ := list(t, f, "")
			if err := f.Archive(t.Context(), left[:1], "Done"); err != nil {
				t.Errorf("again: %v", err)
			}
			src.Close()
		})
	}
}
