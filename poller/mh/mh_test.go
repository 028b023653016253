package mh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mailrow/internal/corpus"
	"mailrow/internal/needs"
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

func TestRemove(t *testing.T) {
	dir := folderOf(t, map[string]string{
		"1": "a", "2": "b", "3": "c", "4": "d", sequences: "cur: 1\nunseen: 1-4\nwork: 2\nkeep me\nflagged: 3\n",
	})
	f := open(t, dir, inbox)
	list := entries(t, f)
	// A number that another mail has got must not be its end.
	must(t, os.Remove(dir+"/1"))
	must(t, os.Rename(dir+"/4", dir+"/1"))
	for range 2 {
		must(t, f.(poller.Remover).Remove(t.Context(), list[:2]))
		want := map[string]string{"1": "d", "3": "c", sequences: "cur: 1\nunseen: 1 3-4\nkeep me\nflagged: 3\n"}
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMarkSeen(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"from the middle of a range", "cur: 1\nunseen: 1-5\n", "cur: 1\nunseen: 1 3 5\n"},
		{"the last ones", "unseen: 2 4\nwork: 2\n", "work: 2\n"},
		{"folded", "unseen: 1\n 2-4\n 9\nx\n", "unseen: 1 3 9\nx\n"},
		{"what nobody understands", "unseen: 2 all x-y 5-3\n", "unseen: all x-y 5-3\n"},
		{"no such sequence", "work: 2\n\n\n", "work: 2\n\n\n"},
		{"no line end", "unseen: 2-3", "unseen: 3\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := folderOf(t, map[string]string{"2": "b", "4": "d", sequences: test.before})
			f := open(t, dir, inbox)
			for range 2 {
				must(t, f.(poller.Marker).MarkSeen(t.Context(), entries(t, f)))
				if got := tree(t, dir)[sequences]; got != test.after {
					t.Errorf("got %q, want %q", got, test.after)
				}
			}
			for _, m := range read(t, f) {
				if !slices.Contains(m.Flags, `\Seen`) {
					t.Errorf("marked: %+v", m)
				}
			}
		})
	}
}

// MarkSeen waits for both locks that programs take.
func TestLocks(t *testing.T) {
	for name, hold := range map[string]func(t *testing.T, path string) (release func()){
		"beside": func(t *testing.T, path string) func() {
			put(t, path+".lock", "")
			return func() { must(t, os.Remove(path+".lock")) }
		},
		"fcntl": func(t *testing.T, path string) func() {
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			must(t, unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
			return func() { must(t, file.Close()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folderOf(t, map[string]string{"1": "a", sequences: "unseen: 1\n"})
			f := open(t, dir, inbox)
			list := entries(t, f)
			release := hold(t, filepath.Join(dir, sequences))
			short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := f.(poller.Marker).MarkSeen(short, list); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("MarkSeen: %v, want the error of its context", err)
			}
			if got := tree(t, dir)[sequences]; got != "unseen: 1\n" {
				t.Errorf("written in spite of the lock: %q", got)
			}
			release()
			must(t, f.(poller.Marker).MarkSeen(t.Context(), list))
			if got := tree(t, dir); len(got) != 2 || got[sequences] != "" {
				t.Errorf("left are %q", got)
			}
		})
	}
}

func TestArchive(t *testing.T) {
	for _, far := range []bool{false, true} {
		t.Run(fmt.Sprint("another file system ", far), func(t *testing.T) {
			dir := folderOf(t, map[string]string{"1": "a", "2": "b", "3": "c", "old/2026/7": "z", sequences: "unseen: 1-3\n"})
			if far {
				elsewhere(t, dir+"/old/2026")
			}
			f := open(t, dir, inbox)
			list := entries(t, f)
			must(t, os.Rename(dir+"/3", dir+"/9"))
			if !far { // a crash left it in both
				must(t, os.Link(dir+"/2", dir+"/old/2026/8"))
			}
			for range 2 {
				must(t, f.(poller.Archiver).Archive(t.Context(), list, "old/2026"))
			}
			if diff := cmp.Diff([]string{"a", "b", "c", "z"}, archived(t, dir)); diff != "" {
				t.Error(diff)
			}
			if left := entries(t, f); len(left) > 0 {
				t.Errorf("left behind: %+v", left)
			}
		})
	}
}

// archived gives the mails of folder old/2026, sorted by their bytes.
func archived(t *testing.T, dir string) (texts []string) {
	t.Helper()
	for _, m := range read(t, open(t, dir, "old/2026")) {
		texts = append(texts, m.Bytes)
	}
	slices.Sort(texts)
	return texts
}

func TestArchiveAgainElsewhere(t *testing.T) {
	dir := folderOf(t, map[string]string{"1": "a", "old/2026/7": "z"})
	elsewhere(t, dir+"/old/2026")
	f := open(t, dir, inbox)
	list := entries(t, f)
	put(t, dir+"/old/2026/8", "a") // a crash left it in both
	must(t, os.Chtimes(dir+"/old/2026/8", list[0].ReceivedAt, list[0].ReceivedAt))
	must(t, f.(poller.Archiver).Archive(t.Context(), list, "old/2026"))
	if diff := cmp.Diff([]string{"a", "z"}, archived(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestArchiveMakesFolder(t *testing.T) {
	dir := folderOf(t, map[string]string{"1": "a"})
	f := open(t, dir, inbox)
	list := entries(t, f)
	for _, name := range []string{"INBOX", "", "../x", "a//b", ".a"} {
		if err := f.(poller.Archiver).Archive(t.Context(), list, name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Archive to %q: %v, want fs.ErrInvalid", name, err)
		}
	}
	must(t, f.(poller.Archiver).Archive(t.Context(), list, "Archive/2026"))
	if diff := cmp.Diff(map[string]string{"Archive/2026/1": "a", "Archive/2026/" + sequences: ""}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestCorpus(t *testing.T) {
	found, err := corpus.Find()
	if errors.Is(err, fs.ErrNotExist) {
		needs.Missing(t, "the corpus", "lay it beside the project")
	}
	must(t, err)
	generated := filepath.Join(found, "formats", "generated")
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "-xf", filepath.Join(generated, "mh.tar")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	source := func(n int) string {
		raw, err := os.ReadFile(filepath.Join(generated, "sources", fmt.Sprintf("%d.eml", n)))
		must(t, err)
		return string(raw)
	}
	want := []mail{
		{source(1), nil}, {source(2), []string{`\Answered`, `\Seen`}}, {source(3), nil}, {source(5), []string{`\Flagged`, `\Seen`}},
	}
	if diff := cmp.Diff(want, read(t, open(t, dir+"/mh", inbox))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]mail{{source(2), []string{`\Seen`}}}, read(t, open(t, dir+"/mh", "sub"))); diff != "" {
		t.Error(diff)
	}
}

// Python's mailbox module writes what we read, packs it while we remove, and
// reads what we left.
func TestPython(t *testing.T) {
	program, err := exec.LookPath("python3")
	if err != nil {
		needs.Missing(t, "python3", needs.Install)
	}
	dir := filepath.Join(t.TempDir(), "Mail")
	python := func(script string) string {
		t.Helper()
		out, err := exec.Command(program, "-c", "import mailbox, sys\n"+script, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	python(`
box = mailbox.MH(sys.argv[1], create=True)
for i in range(6):
    mail = mailbox.MHMessage("Subject: %d\n\n" % i)
    if i % 2: mail.add_sequence("unseen")
    if i == 2: mail.add_sequence("replied")
    box.add(mail)
box.remove(1)
`)
	f := open(t, dir, inbox)
	list := entries(t, f)
	flags := map[string]string{}
	for _, m := range read(t, f) {
		flags[m.Bytes] = strings.Join(m.Flags, " ")
	}
	want := map[string]string{
		"Subject: 1\n\n": "", "Subject: 2\n\n": `\Answered \Seen`, "Subject: 3\n\n": "", "Subject: 4\n\n": `\Seen`, "Subject: 5\n\n": "",
	}
	if diff := cmp.Diff(want, flags); diff != "" {
		t.Error(diff)
	}
	python(`box = mailbox.MH(sys.argv[1]); box.lock(); box.pack(); box.unlock()`)
	must(t, f.(poller.Marker).MarkSeen(t.Context(), list[2:3]))
	must(t, f.(poller.Remover).Remove(t.Context(), list[:2]))
	must(t, f.(poller.Archiver).Archive(t.Context(), list[4:], "Old"))
	got := python(`
box = mailbox.MH(sys.argv[1])
print([(m["subject"], m.get_sequences()) for m in box], [m["subject"] for m in box.get_folder("Old")])
`)
	if want := "[('3', []), ('4', [])] ['5']"; got != want {
		t.Errorf("Python sees %s, want %s", got, want)
	}
}

// TestBusyFolder removes what it has read while another program packs and adds:
// nothing is removed that was not read.
func TestBusyFolder(t *testing.T) {
	dir := folderOf(t, nil)
	const mails = 1500
	done := make(chan error)
	go func() { done <- churn(dir, mails) }()
	got := map[string]bool{}
	for busy, left := true, 1; busy || left > 0; {
		select {
		case err := <-done:
			must(t, err)
			busy = false
		default:
		}
		f := open(t, dir, inbox)
		listing, err := f.List(t.Context(), "")
		must(t, err)
		var batch []poller.Entry
		for entry, err := range listing.Entries {
			must(t, err)
			r, err := f.Open(t.Context(), entry)
			if err != nil {
				continue // next time
			}
			text, err := io.ReadAll(r)
			must(t, errors.Join(err, r.Close()))
			got[string(text)] = true
			batch = append(batch, entry)
		}
		left = len(batch)
		if err := f.(poller.Remover).Remove(t.Context(), batch); err != nil && !busy {
			t.Fatal(err)
		}
		must(t, f.Close())
	}
	if left := tree(t, dir); len(got) != mails || len(left) > 0 {
		t.Errorf("%d mails came, %d were got, left are %q", mails, len(got), left)
	}
}

// churn adds mails, and packs the folder all the time.
func churn(dir string, mails int) error {
	for i := range mails {
		tmp := filepath.Join(dir, ".new")
		if err := os.WriteFile(tmp, fmt.Append(nil, i), 0o600); err != nil {
			return err
		}
		names, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		numbers := slices.DeleteFunc(slices.Collect(func(yield func(string) bool) {
			for _, name := range names {
				yield(name.Name())
			}
		}), func(name string) bool { return !isNumber(name) })
		slices.SortFunc(numbers, byNumber)
		for to, from := range append(numbers, ".new") {
			for ; ; to++ {
				err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, from), unix.AT_FDCWD, filepath.Join(dir, fmt.Sprint(to+1)), unix.RENAME_NOREPLACE)
				if err == unix.EEXIST && from == ".new" {
					continue
				}
				if err != nil && err != unix.EEXIST && err != unix.ENOENT {
					return err
				}
				break
			}
		}
	}
	return nil
}

func BenchmarkList(b *testing.B) {
	const mails = 100_000
	dir := folderOf(b, nil)
	old := time.Now().Add(-2 * time.Hour)
	for i := range mails {
		put(b, fmt.Sprint(dir, "/", i+1), "mail")
		must(b, os.Chtimes(fmt.Sprint(dir, "/", i+1), old, old))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(entries(b, open(b, dir, inbox))); got != mails {
			b.Fatalf("%d mails", got)
		}
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

// elsewhere moves a directory to another file system.
func elsewhere(t *testing.T, dir string) {
	t.Helper()
	there, err := os.MkdirTemp("/dev/shm", "mh-test-")
	if err != nil {
		needs.Missing(t, "/dev/shm", needs.Root)
	}
	t.Cleanup(func() { _ = os.RemoveAll(there) })
	must(t, os.CopyFS(there, os.DirFS(dir)))
	must(t, os.RemoveAll(dir))
	must(t, os.Symlink(there, dir))
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
