package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/smalldisk"
	"mailrow/poller"
)

// An archive on another disk, which is full, gets nothing that is not whole, and the
// mail stays where it is.
func TestArchiveOnFullDisk(t *testing.T) {
	mail := "Subject: large\n\n" + strings.Repeat("text\n", 10_000)
	dir := maildirOf(t, map[string]string{"new/1.M1.host": mail})
	small := smalldisk.New(t, 256<<10)
	done := filepath.Join(small, "Done")
	for _, sub := range []string{"", "new", "cur", "tmp"} {
		must(t, os.Mkdir(filepath.Join(done, sub), 0o755))
	}
	must(t, os.Symlink(done, filepath.Join(dir, ".Done")))
	// For a half of it there is room.
	room := filepath.Join(small, "room")
	put(t, room, mail[:20<<10])
	makeRoom := smalldisk.Fill(t, small)
	must(t, os.Remove(room))
	f := open(t, dir, inbox)
	entries := list(t, f)
	if err := f.(poller.Archiver).Archive(t.Context(), entries, "Done"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("archive: %v", err)
	}
	for _, sub := range []string{"new", "cur", "tmp"} {
		left, err := os.ReadDir(filepath.Join(done, sub))
		if must(t, err); len(left) > 0 {
			t.Errorf("%s holds %v", sub, left)
		}
	}
	if got := fetch(t, f, entries[0]); got != mail {
		t.Errorf("%d bytes are left", len(got))
	}
	makeRoom()
	must(t, f.(poller.Archiver).Archive(t.Context(), entries, "Done"))
	if got, err := os.ReadFile(filepath.Join(done, "new", "1.M1.host")); string(got) != mail {
		t.Errorf("%d bytes are in the archive: %v", len(got), err)
	}
}

// What is no file and has the name of the keywords is named, and not waited for.
func TestKeywordsAreNoFile(t *testing.T) {
	for what, become := range map[string]func(path string) error{
		"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		dir := maildirOf(t, map[string]string{"new/1.M1.host": "a"})
		must(t, become(filepath.Join(dir, "dovecot-keywords")))
		must(t, unix.Mkfifo(filepath.Join(dir, "dovecot-uidlist"), 0o600)) // which nobody reads
		f := open(t, dir, inbox)
		done := make(chan error, 1)
		go func() {
			_, err := f.List(t.Context(), "")
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "dovecot-keywords: not a regular file: remove it") {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it waits", what)
		}
	}
}
