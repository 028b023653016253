package mh

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mailrow/poller"
)

// mail is what a test says of an entry.
type mail struct {
	Bytes string
	Flags []string
}

func TestList(t *testing.T) {
	seen := []string{`\Seen`}
	tests := []struct {
		name  string
		files map[string]string
		want  []mail
	}{
		{"in the order of numbers, with gaps", map[string]string{"10": "c", "2": "b", "1": "a", "007": "x"},
			[]mail{{"a", seen}, {"b", seen}, {"x", seen}, {"c", seen}}},
		{"no mails", map[string]string{"1": "a", ",2": "removed", "#3": "removed", "4.eml": "no", "-5": "no", "context": "no"},
			[]mail{{"a", seen}}},
		{"sequences", map[string]string{
			"1": "a", "2": "b", "3": "c", "4": "d", "5": "e",
			sequences: "cur: 3\nunseen: 2-3 5\nreplied: 1\nflagged: 3\nwork:\n 1-2\n 4\nodd words\n\\Seen: 5\n",
		}, []mail{
			{"a", []string{`\Answered`, "work", `\Seen`}}, {"b", []string{"work"}}, {"c", []string{`\Flagged`}},
			{"d", []string{"work", `\Seen`}}, {"e", nil},
		}},
		{"ranges that overlap, and nonsense", map[string]string{
			"1": "a", "2": "b", "9": "c", sequences: "unseen: 1-5 2 x 7-6 9-99999999999999999999 8-\n",
		}, []mail{{"a", nil}, {"b", nil}, {"c", seen}}},
		{"an empty one", map[string]string{"1": ""}, []mail{{"", seen}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, read(t, open(t, folderOf(t, test.files), inbox))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An id stays when the folder is packed, and a number that is used again has
// another.
func TestIDs(t *testing.T) {
	dir := folderOf(t, map[string]string{"3": "a", "7": "b"})
	ids := func() (list []string) {
		for _, entry := range entries(t, open(t, dir, inbox)) {
			list = append(list, entry.ID)
		}
		return list
	}
	before := ids()
	must(t, os.Rename(dir+"/3", dir+"/1"))
	must(t, os.Rename(dir+"/7", dir+"/2"))
	if diff := cmp.Diff(before, ids()); diff != "" {
		t.Error(diff)
	}
	must(t, os.Remove(dir+"/2"))
	put(t, dir+"/2", "c")
	if after := ids(); after[0] != before[0] || after[1] == before[1] {
		t.Errorf("before %q, after %q", before, after)
	}
}

func TestNotAMail(t *testing.T) {
	dir := folderOf(t, map[string]string{"1": "a", "secret": "secret", "5/1": "below"})
	must(t, os.Symlink(dir+"/secret", dir+"/2"))
	must(t, unix.Mkfifo(dir+"/3", 0o600))
	if got := read(t, open(t, dir, inbox)); len(got) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestBeingWritten(t *testing.T) {
	dir := folderOf(t, map[string]string{"1": "a"})
	file, err := os.Create(dir + "/2")
	must(t, err)
	_, err = file.WriteString("half")
	must(t, err)
	f := open(t, dir, inbox)
	listing, err := f.List(t.Context(), "")
	must(t, err)
	count := 0
	for _, err := range listing.Entries {
		must(t, err)
		count++
	}
	if count != 1 || listing.Revision != "" || !listing.Partial {
		t.Errorf("%d mails, revision %q, partial %v", count, listing.Revision, listing.Partial)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		_, _ = file.WriteString(" and half")
		_ = file.Close()
	}()
	for len(entries(t, f)) < 2 {
		must(t, f.(poller.Watcher).Wait(t.Context()))
	}
	if got := read(t, f)[1].Bytes; got != "half and half" {
		t.Errorf("got %q", got)
	}
}

func TestFolders(t *testing.T) {
	dir := folderOf(t, map[string]string{
		"context": "x", "inbox/1": "a", "lists/go/1": "a", "lists/2026/1": "a", ".xmhcache/1": "no", "Maildir/new/1": "no", "Maildir/cur/1": "no",
	})
	must(t, os.Symlink(dir+"/inbox", dir+"/linked"))
	must(t, os.Symlink(dir, dir+"/lists/loop"))
	s, err := Open(dir)
	must(t, err)
	got, err := s.Folders(t.Context(), []string{"*"})
	must(t, err)
	if diff := cmp.Diff([]string{"inbox", "lists", "lists/2026", "lists/go"}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Folders(t.Context(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of folders is a folder: %q, %v", got, err)
	}
	put(t, dir+"/1", "x")
	if got, err := s.Folders(t.Context(), nil); !slices.Equal(got, []string{inbox}) || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := folderOf(t, map[string]string{"mbox": "From joe\n", "Maildir/new/1": "x", "Maildir/cur/1": "x", "files/letter.txt": "x"})
	for path, want := range map[string]error{
		"missing": fs.ErrNotExist, "mbox": fs.ErrInvalid, "Maildir": fs.ErrInvalid, "files": fs.ErrInvalid,
	} {
		if _, err := Open(filepath.Join(dir, path)); !errors.Is(err, want) {
			t.Errorf("Open(%s): %v, want %v", path, err, want)
		}
	}
	if _, err := Open(t.TempDir()); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestRevision(t *testing.T) {
	dir := folderOf(t, map[string]string{"1": "a"})
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(dir, old, old))
	f := open(t, dir, inbox)
	first, err := f.List(t.Context(), "")
	must(t, err)
	for _, err := range first.Entries {
		must(t, err)
	}
	again, err := f.List(t.Context(), first.Revision)
	must(t, err)
	for entry := range again.Entries {
		t.Errorf("unchanged, but lists %+v", entry)
	}
	if first.Revision == "" || again.Revision != first.Revision || !again.Partial {
		t.Errorf("revisions %q and %q, partial %v", first.Revision, again.Revision, again.Partial)
	}
	put(t, dir+"/2", "b")
	changed, err := f.List(t.Context(), first.Revision)
	must(t, err)
	if changed.Revision == first.Revision || changed.Partial {
		t.Errorf("changed, but revision %q, partial %v", changed.Revision, changed.Partial)
	}
}

func TestOpenFinds(t *testing.T) {
	dir := folderOf(t, map[string]string{"1": "a", "2": "b", "3": "c"})
	f := open(t, dir, inbox)
	list := entries(t, f)
	must(t, os.Remove(dir+"/1"))
	must(t, os.Rename(dir+"/2", dir+"/1")) // packed
	must(t, os.Rename(dir+"/3", dir+"/2"))
	for i, want := range []string{"b", "c"} {
		if got := fetch(t, f, list[i+1]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := f.Open(t.Context(), list[0]); !errors.Is(err, poller.ErrGone) {
		t.Errorf("Open: %v, want poller.ErrGone", err)
	}
	must(t, os.RemoveAll(dir))
	if _, err := f.Open(t.Context(), list[1]); !errors.As(err, new(*poller.BrokenError)) {
		t.Errorf("Open: %v, want a BrokenError", err)
	}
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

// folderOf makes a folder of files.
func folderOf(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func open(t testing.TB, dir, name string) poller.Folder {
	t.Helper()
	s, err := Open(dir)
	must(t, err)
	f, err := s.Folder(context.Background(), name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func entries(t testing.TB, f poller.Folder) (list []poller.Entry) {
	t.Helper()
	listing, err := f.List(context.Background(), "")
	must(t, err)
	for entry, err := range listing.Entries {
		must(t, err)
		list = append(list, entry)
	}
	return list
}

func read(t testing.TB, f poller.Folder) (mails []mail) {
	t.Helper()
	for _, entry := range entries(t, f) {
		mails = append(mails, mail{fetch(t, f, entry), entry.Flags})
	}
	return mails
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

// tree gives the files below dir and their bytes.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		bytes, err := os.ReadFile(path)
		got[strings.TrimPrefix(path, dir+"/")] = string(bytes)
		return err
	}))
	return got
}
