package mailfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mailrow/internal/scratch"
	"mailrow/internal/smalldisk"
	"mailrow/poller"
	"mailrow/poller/mailfile"
)

// onlyBox wants no lock and no temporary file beside a mailbox.
func onlyBox(t *testing.T, path string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if name := e.Name(); strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, ".part-") {
			t.Errorf("left behind: %s", name)
		}
	}
}

// On a full disk a mailbox can be listed and read, and its last mails removed, which
// takes no room. What takes some fails, changes nothing, and can be done later.
func TestDiskFull(t *testing.T) {
	f := forms["mbox"]
	dir := smalldisk.New(t, 256<<10)
	path := filepath.Join(dir, "mail", "box")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, f.file(1, 2, 3))
	makeRoom := smalldisk.Fill(t, dir)
	folder := openFolder(t, f, path, mailfile.Options{})
	entries, _ := list(t, folder, "")
	if raw, err := open(folder, entries[0]); err != nil || raw != mailOf(1) {
		t.Errorf("read: %q, %v", raw, err)
	}
	for what, change := range map[string]func() error{
		"remove the first": func() error { return folder.(poller.Remover).Remove(t.Context(), entries[:1]) },
		"mark the first":   func() error { return folder.(poller.Marker).MarkSeen(t.Context(), entries[:1]) },
		"archive into a new folder": func() error {
			return folder.(poller.Archiver).Archive(t.Context(), entries[:1], "New")
		},
	} {
		if err := change(); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v", what, err)
		}
		check(t, what, path, f.file(1, 2, 3))
		onlyBox(t, path)
	}
	if err := folder.(poller.Remover).Remove(t.Context(), entries[2:]); err != nil {
		t.Errorf("remove the last: %v", err)
	}
	check(t, "without the last", path, f.file(1, 2))
	makeRoom()
	if err := folder.(poller.Remover).Remove(t.Context(), entries[:1]); err != nil {
		t.Errorf("remove the first: %v", err)
	}
	check(t, "without the first", path, f.file(2))
	onlyBox(t, path)
}

// An archive that cannot take a mail whole has none of it.
func TestArchiveOnFullDisk(t *testing.T) {
	f := forms["mbox"]
	small := smalldisk.New(t, 64<<10)
	dir := scratch.ForTest(t)
	path, archive := filepath.Join(dir, "box"), filepath.Join(dir, "Done")
	large := strings.Repeat("text\n", 3000)
	mails := f.wrap("Subject: large\n\n"+large, false) + f.wrap("Subject: larger\n\n"+large+large, false)
	write(t, path, mails)
	write(t, filepath.Join(small, "Done"), f.file(7))
	if err := os.Symlink(filepath.Join(small, "Done"), archive); err != nil {
		t.Fatal(err)
	}
	// Room is left for the first of them, and a part of the other.
	room := filepath.Join(small, "room")
	write(t, room, strings.Repeat("x", 20<<10))
	makeRoom := smalldisk.Fill(t, small)
	if err := os.Remove(room); err != nil {
		t.Fatal(err)
	}
	folder := openFolder(t, f, path, mailfile.Options{})
	entries, _ := list(t, folder, "")
	if err := folder.(poller.Archiver).Archive(t.Context(), entries, "Done"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("archive: %v", err)
	}
	check(t, "nothing is moved", path, mails)
	check(t, "nothing is in the archive", archive, f.file(7))
	makeRoom()
	if err := folder.(poller.Archiver).Archive(t.Context(), entries, "Done"); err != nil {
		t.Errorf("archive: %v", err)
	}
	check(t, "all is moved", path, "")
	check(t, "all is in the archive", archive, f.file(7)+mails)
}

// Where not even an empty .lock can be made, nothing is done without it.
func TestNoLockOnFullDisk(t *testing.T) {
	f := forms["mbox"]
	dir := filepath.Join(scratch.ForTest(t), smalldisk.Prefix+"small")
	smalldisk.Mount(t, dir, 1<<20, "nr_inodes=10")
	path := filepath.Join(dir, "box")
	write(t, path, f.file(1, 2))
	folder := openFolder(t, f, path, mailfile.Options{})
	entries, _ := list(t, folder, "")
	var ballast []string
	for err := error(nil); err == nil; {
		name := filepath.Join(dir, strings.Repeat("x", len(ballast)+1))
		if err = os.WriteFile(name, nil, 0o600); err == nil {
			ballast = append(ballast, name)
		} else if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	if _, err := folder.List(t.Context(), ""); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("list: %v", err)
	}
	if err := folder.(poller.Remover).Remove(t.Context(), entries); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("remove: %v", err)
	}
	check(t, "all is there", path, f.file(1, 2))
	for _, name := range ballast {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := folder.(poller.Remover).Remove(t.Context(), entries); err != nil {
		t.Errorf("remove: %v", err)
	}
	check(t, "all is removed", path, "")
}
