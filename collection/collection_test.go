package collection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// found is a visitor that keeps what it is told.
type found struct {
	mails     []*Mail
	failures  []string // path: reason
	skipped   []string
	left      map[string]string // revision of each unit that was read
	unchanged []string
	known     int
	advanced  int64

	past map[string]Past // by path and folder
}

func (f *found) Enter(_ context.Context, u *Unit) (Past, error) { return f.past[unitName(u)], nil }

func unitName(u *Unit) string {
	return fmt.Sprintf("%s %s %s", u.Kind, filepath.Base(u.Path), u.Folder)
}

func (f *found) Reserve(context.Context, int64) error { return nil }

func (f *found) Mail(_ context.Context, m *Mail) error {
	f.mails = append(f.mails, m)
	return nil
}
func (f *found) Known(*Unit, int64) { f.known++ }
func (f *found) Unchanged(u *Unit)  { f.unchanged = append(f.unchanged, unitName(u)) }
func (f *found) Leave(u *Unit, revision string) {
	if f.left == nil {
		f.left = map[string]string{}
	}
	f.left[unitName(u)] = revision
}
func (f *found) Skipped(path string) { f.skipped = append(f.skipped, path) }
func (f *found) Failed(_ *Unit, path string, err error) {
	f.failures = append(f.failures, filepath.Base(path)+": "+err.Error())
}
func (f *found) Advance(n int64) { f.advanced += n }

// lines are folder, flags and subject of the mails, in order.
func (f *found) lines() (lines []string) {
	for _, m := range f.mails {
		subject, _, _ := strings.Cut(string(m.Raw), "\n")
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", m.Folder, strings.TrimPrefix(subject, "Subject: "), strings.Join(m.Flags, ","))))
	}
	slices.Sort(lines)
	return lines
}

const maxSize = 1 << 20

func read(t *testing.T, path string) *found {
	t.Helper()
	f := &found{}
	f.read(t, path)
	return f
}

func (f *found) read(t *testing.T, path string) {
	t.Helper()
	if err := NewReader(f, Options{MaxSize: maxSize}).Read(context.Background(), path); err != nil {
		t.Fatal(err)
	}
}

func readStream(t *testing.T, content []byte) *found {
	t.Helper()
	f := &found{}
	if err := NewReader(f, Options{MaxSize: maxSize}).ReadStream(context.Background(), "stdin", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func aMail(subject string) string {
	return "Subject: " + subject + "\nFrom: ann@example.com\n\nbody of " + subject + "\n"
}

func mailbox(subjects ...string) string {
	var b strings.Builder
	for _, subject := range subjects {
		b.WriteString("From ann@example.com Tue Mar  3 10:00:00 2026\n" + aMail(subject) + "\n")
	}
	return b.String()
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	for path, content := range map[string]string{
		"a.eml":                         aMail("a"),
		"notes.txt":                     "buy milk\n",
		".DS_Store":                     "\x00\x00\x00\x01Bud1",
		"Sent.mbox":                     mailbox("s1", "s2"),
		"lists/go":                      mailbox("g1", "g2"),
		"lists/empty":                   "",
		"Inbox":                         mailbox("i1"),
		"Inbox.msf":                     "// <!-- <mdb:mork:z v=\"1.4\"/> -->\n",
		"Work.sbd/Plans":                mailbox("p1"),
		"x.eml/y.eml":                   aMail("y"), // a folder with the name of a mail
		"ann/Maildir/cur/1.M1.h:2,FS":   aMail("m1"),
		"ann/Maildir/new/2.M1.h":        aMail("m2"),
		"ann/Maildir/tmp/3.M1.h":        aMail("m3"),
		"ann/Maildir/.A.B/cur/4.M:2,RS": aMail("m4"),
		"ann/Maildir/.A.B/cur/.hidden":  aMail("hidden"),
		"ann/Maildir/dovecot.index.log": "\x01\x00",
		"ann/Maildir/maildirsize":       "1000S\n10 1\n",
		"ann/Maildir/subscriptions":     "A.B\n",
		"odd\xff\n/z.eml":               aMail("z"),
		"mh/.mh_sequences":              "unseen: 2\nreplied: 1\n",
		"mh/1":                          aMail("h1"),
		"mh/2":                          aMail("h2"),
		"mh/,3":                         aMail("removed"),
		"mh/sub/7":                      aMail("h7"),
	} {
		write(t, filepath.Join(dir, path), content)
	}
	f := read(t, dir)
	want := []string{
		"INBOX a", "INBOX i1", "Sent s1", "Sent s2", "Work/Plans p1", "ann m1 \\Flagged,\\Seen", "ann m2",
		"ann/A/B m4 \\Answered,\\Seen", "lists/go g1", "lists/go g2", `mh h1 \Answered,\Seen`, "mh h2", "mh/sub h7", "odd\\ff\n z", "x.eml y",
	}
	if diff := cmp.Diff(want, f.lines()); diff != "" {
		t.Error(diff)
	}
	if len(f.failures) > 0 {
		t.Errorf("failures: %q", f.failures)
	}
}

// Nothing that one could wait for is opened, and no link leads round or to what
// its owner may not read.
func TestTreeOfTraps(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a.eml"), aMail("a"))
	write(t, filepath.Join(dir, "sub/b.eml"), aMail("b"))
	write(t, filepath.Join(elsewhere, "c.eml"), aMail("c"))
	write(t, filepath.Join(dir, "empty.eml"), "")
	for name, target := range map[string]string{
		"sub/up": "..", "self": ".", "loop": "loop", "nowhere.eml": "/does/not/exist", "sub/again": "../sub",
		"there": elsewhere, "kmsg.eml": "/proc/kmsg", "null.eml": "/dev/null", "zero.eml": "/dev/zero",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.eml"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := read(t, dir)
	if diff := cmp.Diff([]string{"INBOX a", "sub b", "there c"}, f.lines()); diff != "" {
		t.Error(diff)
	}
	if os.Getuid() == 0 {
		if err := os.Lchown(filepath.Join(dir, "there"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
		f = read(t, dir)
		if diff := cmp.Diff([]string{"INBOX a", "sub b"}, f.lines()); diff != "" {
			t.Error(diff)
		}
		if !slices.Contains(f.failures, "there: "+errForeign.Error()) {
			t.Errorf("failures: %q", f.failures)
		}
	}
	if !slices.Contains(f.failures, "empty.eml: it is empty") {
		t.Errorf("failures: %q", f.failures)
	}
}

func TestNamedAlone(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		content string
		want    []string
		failure string
	}{
		"x.eml":       {aMail("x"), []string{"INBOX x"}, ""},
		"draft.txt":   {"Subject: draft\n\nhello\n", []string{"INBOX draft"}, ""},
		"Sent.mbox":   {mailbox("a", "b"), []string{"Sent a", "Sent b"}, ""},
		"inbox.mbox":  {mailbox("a"), []string{"INBOX a"}, ""},
		"mbox":        {mailbox("a"), []string{"INBOX a"}, ""},
		"ann":         {mailbox("a"), []string{"INBOX a"}, ""},
		"bob":         {mailbox("a"), []string{"bob a"}, ""},
		"0001.7c":     {mailbox("a"), []string{"INBOX a"}, ""},
		"2024":        {mailbox("a", "b"), []string{"2024 a", "2024 b"}, ""},
		"picture.png": {"\x89PNG\r\n\x1a\n", nil, errNotMail.Error()},
		"prose":       {"From here to eternity\n", nil, errNotMail.Error()},
		"nothing":     {"", nil, errEmpty.Error()},
		"m.xz":        {"\xfd7zXZ\x00...", nil, "it is compressed by xz: xz -dc FILE | mailrow import -"},
		"m.pst":       {"!BDN...", nil, "it is a store of Outlook: readpst -r -o FOLDER FILE makes mboxes of it"},
		"1.emlx": {fmt.Sprintf("%-10d\n%s<plist><dict><key>date-received</key><integer>1772532000</integer>\n"+
			"<key>flags</key>\n<integer>8590195857</integer></dict></plist>", len(aMail("e")), aMail("e")), []string{`INBOX e \Seen,\Flagged`}, ""},
		"2.emlx": {"100\n" + aMail("cut"), nil, "it is cut off: copy it anew"},
	} {
		path := filepath.Join(dir, name)
		write(t, path, test.content)
		f := &found{}
		if err := NewReader(f, Options{MaxSize: maxSize, Owner: "ann"}).Read(context.Background(), path); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, f.lines()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var failures []string
		if test.failure != "" {
			failures = []string{name + ": " + test.failure}
		}
		if diff := cmp.Diff(failures, f.failures); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", filepath.Join(dir, "missing")} {
		if err := NewReader(&found{}, Options{MaxSize: maxSize}).Read(context.Background(), path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

func TestEmlxTimes(t *testing.T) {
	f := readStream(t, fmt.Appendf(nil, "%d\n%s<key>date-received</key>\n<integer>1772532000</integer>", len(aMail("e")), aMail("e")))
	if len(f.mails) != 1 || string(f.mails[0].Raw) != aMail("e") || !f.mails[0].ReceivedAt.Equal(time.Unix(1772532000, 0)) {
		t.Errorf("%+v %q", f.mails, f.failures)
	}
}

// What has not changed is not read again, and of what has only the new.
func TestSecondTime(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	write(t, filepath.Join(dir, "a.eml"), aMail("a"))
	write(t, filepath.Join(dir, "b.eml"), aMail("b"))
	write(t, filepath.Join(dir, "box"), mailbox("m1", "m2"))
	write(t, filepath.Join(dir, "md/cur/1.M:2,S"), aMail("c"))
	write(t, filepath.Join(dir, "md/new/2.M"), aMail("d"))
	for _, sub := range []string{"md/cur", "md/new"} {
		if err := os.Chtimes(filepath.Join(dir, sub), old, old); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(settled + 100*time.Millisecond) // the clock of the file system cannot be set
	first := read(t, dir)
	past := map[string]Past{}
	for unit, revision := range first.left {
		if revision == "" {
			t.Errorf("unit %s has no revision", unit)
		}
		ids := map[string]bool{}
		for _, m := range first.mails {
			if unitName(m.Unit) == unit {
				ids[m.ID] = true
			}
		}
		past[unit] = Past{Revision: revision, Has: func(id string) bool { return ids[id] }}
	}
	second := &found{past: past}
	second.read(t, dir)
	if len(second.mails) > 0 || len(second.unchanged) != len(first.left) {
		t.Errorf("read again: %q, unchanged: %q of %q", second.lines(), second.unchanged, first.left)
	}
	if second.advanced != first.advanced {
		t.Logf("bytes: %d, then %d", first.advanced, second.advanced)
	}
	write(t, filepath.Join(dir, "e.eml"), aMail("e"))
	write(t, filepath.Join(dir, "b.eml"), aMail("bb"))
	if err := os.Rename(filepath.Join(dir, "md/new/2.M"), filepath.Join(dir, "md/cur/2.M:2,S")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "md/new/3.M"), aMail("f"))
	third := &found{past: past}
	third.read(t, dir)
	if diff := cmp.Diff([]string{"INBOX bb", "INBOX e", "md f"}, third.lines()); diff != "" {
		t.Error(diff)
	}
	for unit, revision := range third.left {
		if revision != "" && revision == first.left[unit] {
			t.Errorf("unit %s changed a moment ago, its revision did not", unit)
		}
	}
}

// An error of the visitor ends the reading, and comes back as it is.
func TestVisitorEndsIt(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "box"), mailbox("a", "b", "c"))
	enough := errors.New("enough")
	v := &stopping{err: enough}
	if err := NewReader(v, Options{MaxSize: maxSize}).Read(context.Background(), dir); !errors.Is(err, enough) || v.count != 1 {
		t.Errorf("got %v after %d mails", err, v.count)
	}
}

type stopping struct {
	found
	err   error
	count int
}

func (s *stopping) Mail(context.Context, *Mail) error {
	s.count++
	return s.err
}
