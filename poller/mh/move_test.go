package mh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mailrow/internal/needs"
	"mailrow/poller"
)

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
