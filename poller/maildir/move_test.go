package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/needs"
	"mailrow/poller"
)

func TestRemove(t *testing.T) {
	dir := maildirOf(t, map[string]string{
		"new/1.a": "removed", "cur/2.b:2,S": "kept", "new/3.c": "moved", "new/4.d": "gone", "new/5.e": "replaced",
		"new/6.f": "twice", "cur/6.f:2,S": "twice",
	})
	f := open(t, dir, inbox)
	entries := list(t, f)
	must(t, os.Rename(dir+"/new/3.c", dir+"/cur/3.c:2,F"))
	must(t, os.Remove(dir+"/new/4.d"))
	put(t, dir+"/tmp/5", "other")
	must(t, os.Rename(dir+"/tmp/5", dir+"/new/5.e"))
	asked := append(entries[:1:1], entries[2:]...)
	for range 2 {
		must(t, f.(poller.Remover).Remove(t.Context(), asked))
		if diff := cmp.Diff([]string{"cur/2.b:2,S", "new/5.e"}, tree(t, dir)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMarkSeen(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"a new mail", "new/1.a", "cur/1.a:2,S"},
		{"a new mail with fields", "new/1.a,S=1", "cur/1.a,S=1:2,S"},
		{"letters are sorted", "cur/1.a:2,RTa", "cur/1.a:2,RSTa"},
		{"a seen mail", "cur/1.a:2,FS", "cur/1.a:2,FS"},
		{"flags in new", "new/1.a:2,FS", "cur/1.a:2,FS"},
		{"no information", "cur/1.a", "cur/1.a:2,S"},
		{"another separator", "cur/1.a!2,F", "cur/1.a!2,FS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := maildirOf(t, map[string]string{test.before: "x"})
			f := open(t, dir, inbox)
			before := list(t, f)
			for range 2 {
				must(t, f.(poller.Marker).MarkSeen(t.Context(), before))
				if diff := cmp.Diff([]string{test.after}, tree(t, dir)); diff != "" {
					t.Error(diff)
				}
			}
			if after := list(t, f)[0]; after.ID != before[0].ID || !strings.Contains(fmt.Sprint(after.Flags), `\Seen`) {
				t.Errorf("marked: %+v, before: %+v", after, before[0])
			}
		})
	}
}

func TestMarkSeenAsOthersAreWritten(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a": "x", "cur/2.b;2,": "x"})
	f := open(t, dir, inbox)
	must(t, f.(poller.Marker).MarkSeen(t.Context(), list(t, f)))
	if diff := cmp.Diff([]string{"cur/1.a;2,S", "cur/2.b;2,S"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// Marking must not overwrite another mail.
func TestMarkSeenOnto(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a": "new", "cur/1.a:2,S": "another"})
	f := open(t, dir, inbox)
	if err := f.(poller.Marker).MarkSeen(t.Context(), list(t, f)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("MarkSeen: %v, want fs.ErrExist", err)
	}
	if got := read(t, f); len(got) != 2 {
		t.Errorf("left are %+v", got)
	}
}

func TestArchive(t *testing.T) {
	tests := []struct {
		name    string
		files   map[string]string
		archive string
		want    []string
	}{
		{"Maildir++", map[string]string{"new/1.a": "1", "cur/2.b:2,S": "2"}, "Archive/2026",
			[]string{".Archive.2026/cur/2.b:2,S", ".Archive.2026/maildirfolder", ".Archive.2026/new/1.a"}},
		{"a name that is escaped", map[string]string{"new/1.a": "1"}, "v1.2/Entwürfe",
			[]string{`.v1\2e2.Entw&APw-rfe/maildirfolder`, `.v1\2e2.Entw&APw-rfe/new/1.a`}},
		{"nested", map[string]string{"new/1.a": "1", "Sent/new/2.b": "2"}, "Archive/2026",
			[]string{"Archive/2026/new/1.a", "Sent/new/2.b"}},
		{"a folder that is there", map[string]string{"new/1.a": "1", "Sent/new/2.b": "2", ".Old/new/3.c": "3"}, "Old",
			[]string{".Old/maildirfolder", ".Old/new/1.a", ".Old/new/3.c", "Sent/new/2.b"}},
		{"another mail has its name there", map[string]string{"cur/1.a:2,S": "1", ".Old/cur/1.a:2,S": "another"}, "Old",
			[]string{".Old/cur/1.a:2,S", ".Old/cur/1.a_1:2,S", ".Old/maildirfolder"}},
		{"a copy has its name there", map[string]string{"cur/1.a:2,S": "1", ".Old/cur/1.a:2,S": "1"}, "Old",
			[]string{".Old/cur/1.a:2,S", ".Old/maildirfolder"}},
		{"two copies", map[string]string{"new/1.a": "1", "cur/1.a:2,S": "1"}, "Old",
			[]string{".Old/cur/1.a:2,S", ".Old/maildirfolder"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := maildirOf(t, test.files)
			f := open(t, dir, inbox)
			entries := list(t, f)
			for range 2 {
				must(t, f.(poller.Archiver).Archive(t.Context(), entries, test.archive))
				if diff := cmp.Diff(test.want, tree(t, dir)); diff != "" {
					t.Error(diff)
				}
			}
			if n := len(list(t, open(t, dir, test.archive))); n == 0 {
				t.Error("nothing is in the archive")
			}
		})
	}
}

// A crash leaves the mail in both; meanwhile somebody reads it in one of them.
func TestArchiveAgain(t *testing.T) {
	for _, link := range []bool{true, false} {
		t.Run(fmt.Sprint("linked ", link), func(t *testing.T) {
			dir := maildirOf(t, map[string]string{"new/1.a": "1", ".Old/new/2.b": "2"})
			must(t, os.MkdirAll(dir+"/.Old/cur", 0o700))
			if link {
				must(t, os.Link(dir+"/new/1.a", dir+"/.Old/cur/1.a:2,S"))
			} else {
				elsewhere(t, dir+"/.Old")
				put(t, dir+"/.Old/cur/1.a:2,S", "1")
			}
			f := open(t, dir, inbox)
			must(t, f.(poller.Archiver).Archive(t.Context(), list(t, f), "Old"))
			if got := tree(t, dir); len(got) > 0 && strings.HasPrefix(got[0], "new/") {
				t.Errorf("left behind: %q", got)
			}
			count := 0
			for _, m := range read(t, open(t, dir, "Old")) {
				count += strings.Count(m.Bytes, "1")
			}
			if count != 1 {
				t.Errorf("it is in the archive %d times", count)
			}
		})
	}
}

func TestArchiveElsewhere(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a": "1", "cur/2.b:2,S": "2"})
	elsewhere(t, dir+"/.Old")
	f := open(t, dir, inbox)
	before := list(t, f)
	must(t, f.(poller.Archiver).Archive(t.Context(), before, "Old"))
	if left := list(t, f); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
	after := list(t, open(t, dir, "Old"))
	for i := range after {
		if after[i].ID != before[i].ID || !after[i].ReceivedAt.Equal(before[i].ReceivedAt) {
			t.Errorf("archived %+v, was %+v", after[i], before[i])
		}
	}
	if left, _ := os.ReadDir(dir + "/.Old/tmp"); len(left) > 0 {
		t.Errorf("tmp holds %v", left)
	}
}

func TestArchiveRefuses(t *testing.T) {
	dir := maildirOf(t, map[string]string{"new/1.a": "1", "Sent/new/2.b": "2"})
	f := open(t, dir, inbox)
	for _, name := range []string{"INBOX", "", "a//b", "../out", "new/x", ".x"} {
		if err := f.(poller.Archiver).Archive(t.Context(), list(t, f), name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Archive to %q: %v, want fs.ErrInvalid", name, err)
		}
	}
	if diff := cmp.Diff([]string{"Sent/new/2.b", "new/1.a"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// elsewhere makes dir a Maildir in another file system.
func elsewhere(t *testing.T, dir string) {
	t.Helper()
	there, err := os.MkdirTemp("/dev/shm", "maildir-test-")
	if err != nil {
		needs.Missing(t, "/dev/shm", needs.Root)
	}
	t.Cleanup(func() { _ = os.RemoveAll(there) })
	must(t, os.RemoveAll(dir))
	must(t, os.Symlink(there, dir))
	for _, part := range parts {
		must(t, os.Mkdir(filepath.Join(there, part), 0o700))
	}
}

// tree gives the paths of all files below dir, sorted.
func tree(t *testing.T, dir string) (paths []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	}))
	return paths
}
