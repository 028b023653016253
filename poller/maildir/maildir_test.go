package maildir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mailrow/internal/needs"
	"mailrow/poller"
)

func TestNames(t *testing.T) {
	tests := []struct{ file, unique, letters, seen string }{
		{"1772532000.M0P0.host", "1772532000.M0P0.host", "", "1772532000.M0P0.host:2,S"},
		{"1.M0P0.host:2,", "1.M0P0.host", "", "1.M0P0.host:2,S"},
		{"1.M0P0.host,S=662,W=691:2,RT", "1.M0P0.host", "RT", "1.M0P0.host,S=662,W=691:2,RST"},
		{"1.M0P0.host,U=7,FMD5=7e33429f656f1e6e9d79b29c3f82c57e:2,", "1.M0P0.host", "", "1.M0P0.host,U=7,FMD5=7e33429f656f1e6e9d79b29c3f82c57e:2,S"},
		{"1.M0P0.host!2,FS", "1.M0P0.host", "FS", "1.M0P0.host!2,FS"},
		{"1.M0P0.host;2,a", "1.M0P0.host", "a", "1.M0P0.host;2,Sa"},
		{"1.M0P0.host:2,ab,more", "1.M0P0.host", "ab", "1.M0P0.host:2,Sab,more"},
		{"1.M0P0.host:1,x", "1.M0P0.host", "", "1.M0P0.host:2,S"},
		{"a!b", "a!b", "", "a!b:2,S"},
		{"a:b:2,F", "a:b", "F", "a:b:2,FS"},
		{":2,S", ":2,S", "", ":2,S:2,S"},
		{"letter,S=big", "letter,S=big", "", "letter,S=big:2,S"},
		{",S=1", ",S=1", "", ",S=1:2,S"},
	}
	for _, test := range tests {
		n := parse(test.file, true)
		if n.id() != test.unique || n.letters() != test.letters || n.seen(':') != test.seen {
			t.Errorf("%s: unique part %q, letters %q, seen %q", test.file, n.id(), n.letters(), n.seen(':'))
		}
	}
}

// mail is what a test says of an entry.
type mail struct {
	ID    string
	Flags []string
	Bytes string
}

func TestList(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  []mail
	}{
		{"new and cur in the order of arrival", map[string]string{
			"cur/20.b.host:2,S": "second", "new/3.a.host": "first", "new/100.c.host": "third", "tmp/4.d.host": "not yet",
		}, []mail{{"3.a.host,S=5", nil, "first"}, {"20.b.host,S=6", []string{`\Seen`}, "second"}, {"100.c.host,S=5", nil, "third"}}},
		{"keywords of Dovecot, and letters without a name", map[string]string{
			"cur/1.a.host:2,DFPRSTabcz": "x", "dovecot-keywords": "0 project-x\n2 $Junk\nnonsense\n3\n99 far\n",
		}, []mail{{"1.a.host,S=1", []string{`\Draft`, `\Flagged`, "$Forwarded", `\Answered`, `\Seen`, `\Deleted`, "project-x", "$Junk"}, "x"}}},
		{"names without a time", map[string]string{
			"new/letter.eml": "1", "cur/a:b": "2", "cur/:2,S": "3", "new/.hidden": "no", "cur/!": "4", "cur/x y\xff": "5",
		}, []mail{{"!,S=1", nil, "4"}, {":2,S,S=1", nil, "3"}, {"a,S=1", nil, "2"}, {"letter.eml,S=1", nil, "1"}, {`x y\ff,S=1`, nil, "5"}}},
		{"two copies of one name, left by a move", map[string]string{
			"new/1.a.host": "same", "cur/1.a.host:2,S": "same",
		}, []mail{{"1.a.host,S=4", []string{`\Seen`}, "same"}}},
		{"two mails of one name", map[string]string{
			"new/1.a.host": "short", "cur/1.a.host:2,S": "longer",
		}, []mail{{"1.a.host,S=6", []string{`\Seen`}, "longer"}, {"1.a.host,S=5", nil, "short"}}},
		{"an empty one", map[string]string{"new/1.a.host": ""}, []mail{{"1.a.host,S=0", nil, ""}}},
		{"fields that are wrong", map[string]string{"new/1.a.host,S=99": "x"}, []mail{{"1.a.host,S=1", nil, "x"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := maildirOf(t, test.files)
			got := read(t, open(t, dir, inbox))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Two mails of one name and one size must have two ids, as long as they are two.
func TestSameNameSameSize(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a.host": "one", "cur/1.a.host:2,S": "two"})
	got := read(t, open(t, dir, inbox))
	if len(got) != 2 || got[0].ID == got[1].ID {
		t.Errorf("got %+v, want two mails of different ids", got)
	}
	if again := read(t, open(t, dir, inbox)); !cmp.Equal(got, again) {
		t.Errorf("listed again: %s", cmp.Diff(got, again))
	}
}

func TestNotAMail(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.mail": "x", "secret": "secret"})
	must(t, os.Symlink(dir+"/secret", dir+"/new/2.link"))
	must(t, os.Mkdir(dir+"/new/3.dir", 0o700))
	must(t, unix.Mkfifo(dir+"/new/4.pipe", 0o600))
	if diff := cmp.Diff([]mail{{"1.mail,S=1", nil, "x"}}, read(t, open(t, dir, inbox))); diff != "" {
		t.Error(diff)
	}
}

func TestReceivedAt(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.mail": "x"})
	at := time.Unix(1772532000, 123456789)
	must(t, os.Chtimes(dir+"/new/1.mail", at, at))
	if got := list(t, open(t, dir, inbox))[0]; !got.ReceivedAt.Equal(at) || got.Size != 1 {
		t.Errorf("received at %v, %d bytes", got.ReceivedAt, got.Size)
	}
}

// An id must not change with flags, folders or the fields that others add.
func TestIDsAreKept(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a.host": "x"})
	want := list(t, open(t, dir, inbox))[0].ID
	last := "new/1.a.host"
	for _, next := range []string{"cur/1.a.host:2,", "cur/1.a.host:2,Sa", "cur/1.a.host,U=5:2,S", "cur/1.a.host,S=1,W=1:2,S", "new/1.a.host,U=6"} {
		must(t, os.Rename(filepath.Join(dir, last), filepath.Join(dir, next)))
		if got := list(t, open(t, dir, inbox))[0].ID; got != want {
			t.Errorf("%s has id %q, want %q", next, got, want)
		}
		last = next
	}
}

func TestFolders(t *testing.T) {
	tests := []struct {
		name string
		dirs []string
		want []string
	}{
		{"Maildir++", []string{".", ".Sent", ".Archive.2026.Q1", ".Entw&APw-rfe", ".&ZeVnLIqe-", `.v1\2e2`},
			[]string{"Archive/2026/Q1", "Entwürfe", "INBOX", "Sent", "v1.2", "日本語"}},
		{"nested", []string{"INBOX", "Archive/2026", "Entw&APw-rfe", "a.b"}, []string{"Archive/2026", "Entwürfe", "INBOX", "a.b"}},
		{"both", []string{".", ".Sent", "Archive", "Archive/2026", "joe", "joe/.Sent", ".Lists/go"},
			[]string{"Archive", "Archive/2026", "INBOX", "Sent", "joe", "joe/Sent"}},
		{"names that decode to nothing", []string{".", ".Tom & Jerry", ".caf\xe9"}, []string{"INBOX", "Tom & Jerry", `caf\e9`}},
		{"two of one name", []string{".", ".a.b", "a/b", "INBOX", ".INBOX"}, []string{"./INBOX", ".INBOX", "INBOX", "a/b", "./a/b"}},
		{"a folder named new", []string{".", "new", "cur/old"}, []string{"INBOX", "new"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for i, sub := range test.dirs {
				put(t, filepath.Join(dir, sub, "new", "1.mail"), strings.Repeat("x", i))
				must(t, os.MkdirAll(filepath.Join(dir, sub, "cur"), 0o700))
			}
			s := sourceOf(t, dir)
			got, err := s.Folders(t.Context(), []string{"*"})
			must(t, err)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			sizes := map[int64]bool{}
			for _, name := range got {
				f, err := s.Folder(t.Context(), name)
				must(t, err)
				for _, entry := range list(t, f) {
					sizes[entry.Size] = true
				}
			}
			if len(sizes) != len(got) {
				t.Errorf("%d folders are %d directories", len(got), len(sizes))
			}
		})
	}
}

func TestLinkedFolders(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.mail": "x", ".Sent/new/1.mail": "x", ".Sent/cur/2.mail": "x"})
	elsewhere := maildirOf(t, map[string]string{"new/1.mail": "x"})
	for name, target := range map[string]string{
		".Aliased": dir + "/.Sent", ".Loop": dir, "Old": elsewhere, "Older": elsewhere, ".Nowhere": dir + "/missing",
	} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	must(t, os.Symlink(dir, elsewhere+"/back"))
	got, err := sourceOf(t, dir).Folders(t.Context(), []string{"*"})
	must(t, err)
	if diff := cmp.Diff([]string{"INBOX", "Old", "Sent"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFoldersWithoutPatterns(t *testing.T) {
	dir := maildirOf(t, map[string]string{".Sent/new/1": "x", "cur/1": "x"})
	got, err := sourceOf(t, dir).Folders(t.Context(), nil)
	if diff := cmp.Diff([]string{"INBOX"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	dir = maildirOf(t, map[string]string{"Sent/new/1": "x"})
	must(t, os.RemoveAll(dir+"/new"))
	must(t, os.RemoveAll(dir+"/cur"))
	if got, err := sourceOf(t, dir).Folders(t.Context(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q, %v, want fs.ErrNotExist", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/mbox", "From joe\n")
	must(t, os.Mkdir(dir+"/empty", 0o755))
	put(t, dir+"/closed/new/1", "x")
	put(t, dir+"/Mail/new/1", "x")
	put(t, dir+"/Mail/.Closed/new/1", "x")
	must(t, os.Chmod(dir+"/closed", 0))
	must(t, os.Chmod(dir+"/Mail/.Closed", 0))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(dir+"/Mail", 0o755))
	must(t, os.Chmod(dir+"/Mail/new", 0o755))
	asNobody(t)

	for path, want := range map[string]error{
		"missing": fs.ErrNotExist, "mbox": fs.ErrInvalid, "empty": fs.ErrNotExist, "closed": fs.ErrPermission,
	} {
		if _, err := Open(filepath.Join(dir, path), Options{}); !errors.Is(err, want) {
			t.Errorf("Open(%s): %v, want %v", path, err, want)
		}
	}
	s := sourceOf(t, dir+"/Mail")
	names, err := s.Folders(t.Context(), []string{"*"})
	if diff := cmp.Diff([]string{"Closed", "INBOX"}, names); diff != "" || err != nil {
		t.Errorf("a folder that may not be read is overlooked: %v %s", err, diff)
	}
	if _, err := s.Folder(t.Context(), "Closed"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Folder: %v, want fs.ErrPermission", err)
	}
	if _, err := s.Folder(t.Context(), "Missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Folder: %v, want fs.ErrNotExist", err)
	}
}

func TestOpenEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v, want fs.ErrNotExist", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("Open made %v", left)
	}
	if _, err := Open(dir, Options{Separator: 'x'}); err == nil {
		t.Error("a separator that nobody knows was taken")
	}
}

func TestRevision(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a": "x", "cur/2.b:2,S": "y"})
	revision := func(since string) (entries int, revision string, partial bool) {
		t.Helper()
		f := open(t, dir, inbox)
		listing, err := f.List(t.Context(), since)
		must(t, err)
		for _, err := range listing.Entries {
			must(t, err)
			entries++
		}
		return entries, listing.Revision, listing.Partial
	}
	if n, r, _ := revision(""); n != 2 || r != "" {
		t.Errorf("just changed: %d mails of revision %q, want 2 of none", n, r)
	}
	age(t, dir)
	_, first, _ := revision("")
	if n, r, partial := revision(first); first == "" || n != 0 || r != first || !partial {
		t.Errorf("unchanged: %d mails of revision %q, partial %v", n, r, partial)
	}
	for _, change := range []func(){
		func() { put(t, dir+"/new/3.c", "z") },
		func() { must(t, os.Rename(dir+"/cur/2.b:2,S", dir+"/cur/2.b:2,")) },
		func() { must(t, os.Remove(dir+"/new/1.a")) },
	} {
		change()
		if n, r, partial := revision(first); n == 0 || r == first || partial {
			t.Errorf("changed: %d mails of revision %q, partial %v", n, r, partial)
		}
	}
}

func TestOpenFinds(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   error
	}{
		{"a mail that moved", func(t *testing.T, dir string) { must(t, os.Rename(dir+"/new/1.a", dir+"/cur/1.a,U=3:2,FS")) }, nil},
		{"no mail that was removed", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/new/1.a")) }, poller.ErrGone},
		{"no other mail of that name", func(t *testing.T, dir string) {
			put(t, dir+"/tmp/1", "other")
			must(t, os.Rename(dir+"/tmp/1", dir+"/new/1.a"))
		}, poller.ErrGone},
		{"no mail in a Maildir that is gone", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, fs.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := maildirOf(t, map[string]string{"new/1.a": "mail"})
			f := open(t, dir, inbox)
			entry := list(t, f)[0]
			test.change(t, dir)
			r, err := f.Open(t.Context(), entry)
			if !errors.Is(err, test.want) {
				t.Fatalf("Open: %v, want %v", err, test.want)
			}
			if err == nil {
				defer r.Close()
				if got, err := io.ReadAll(r); string(got) != "mail" || err != nil {
					t.Errorf("read %q, %v", got, err)
				}
			}
		})
	}
}

func TestChangedWhileRead(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"cut off": func(path string) error { return os.Truncate(path, 10) },
		"longer": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := maildirOf(t, map[string]string{"new/1.a": strings.Repeat("x", 100)})
			f := open(t, dir, inbox)
			r, err := f.Open(t.Context(), list(t, f)[0])
			must(t, err)
			defer r.Close()
			_, err = io.ReadFull(r, make([]byte, 5))
			must(t, err)
			must(t, change(dir+"/new/1.a"))
			if _, err := io.ReadAll(r); err == nil {
				t.Error("the end was reached without an error")
			}
		})
	}
}

func TestWait(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a": "x"})
	age(t, dir)
	f := open(t, dir, inbox).(poller.Watcher)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v, want the error of its context", err)
	}
	for _, path := range []string{"/new/2.b", "/cur/3.c:2,S"} {
		put(t, dir+"/tmp/1", "x")
		must(t, os.Rename(dir+"/tmp/1", dir+path))
		must(t, f.Wait(t.Context()))
	}
	late := open(t, dir, inbox).(poller.Watcher)
	put(t, dir+"/new/4.d", "x")
	must(t, late.Wait(t.Context())) // of what came before it began to wait
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// maildirOf makes a Maildir of files.
func maildirOf(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range parts {
		must(t, os.Mkdir(filepath.Join(dir, part), 0o755))
	}
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

// age makes new and cur look as if they had not changed for a while.
func age(t testing.TB, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(dir+"/new", old, old))
	must(t, os.Chtimes(dir+"/cur", old, old))
}

func sourceOf(t testing.TB, dir string) poller.Source {
	t.Helper()
	s, err := Open(dir, Options{})
	must(t, err)
	return s
}

func open(t testing.TB, dir, name string) poller.Folder {
	t.Helper()
	f, err := sourceOf(t, dir).Folder(context.Background(), name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func list(t testing.TB, f poller.Folder) (entries []poller.Entry) {
	t.Helper()
	listing, err := f.List(context.Background(), "")
	must(t, err)
	for entry, err := range listing.Entries {
		must(t, err)
		entries = append(entries, entry)
	}
	if listing.Partial {
		t.Error("a whole listing says that it is not")
	}
	return entries
}

func read(t testing.TB, f poller.Folder) (mails []mail) {
	t.Helper()
	for _, entry := range list(t, f) {
		mails = append(mails, mail{writtenAt.ReplaceAllString(entry.ID, ""), entry.Flags, fetch(t, f, entry)})
	}
	return mails
}

// writtenAt is the part of an id that no two runs of a test have in common.
var writtenAt = regexp.MustCompile(`,T=[0-9a-z]+`)

// A file that is written anew in its place is another mail, though it is as long.
func TestWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "cur"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "new"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "tmp"), 0o700))
	path := filepath.Join(dir, "new", "1.a.host")
	must(t, os.WriteFile(path, []byte("one"), 0o600))
	before := list(t, open(t, dir, inbox))[0].ID
	time.Sleep(20 * time.Millisecond)
	must(t, os.WriteFile(path, []byte("two"), 0o600))
	if after := list(t, open(t, dir, inbox))[0].ID; after == before {
		t.Errorf("both are %s", after)
	}
}

func fetch(t testing.TB, f poller.Folder, entry poller.Entry) string {
	t.Helper()
	r, err := f.Open(context.Background(), entry)
	must(t, err)
	defer r.Close()
	bytes, err := io.ReadAll(r)
	must(t, err)
	return string(bytes)
}

// asNobody has the rest of the test read files as a user that owns none.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		needs.Missing(t, "another user", needs.Root)
	}
	runtime.LockOSThread()
	t.Cleanup(func() {
		_, err := unix.SetfsuidRetUid(0)
		must(t, err)
		runtime.UnlockOSThread()
	})
	_, err := unix.SetfsuidRetUid(65534)
	must(t, err)
}
