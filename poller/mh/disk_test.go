package mh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/smalldisk"
	"mailrow/poller"
)

// On a full disk no mark is lost: what becomes longer is not written at all.
func TestSequencesOnFullDisk(t *testing.T) {
	small := smalldisk.New(t, 256<<10)
	dir := filepath.Join(small, "Mail")
	must(t, os.Mkdir(dir, 0o755))
	put(t, filepath.Join(dir, "5"), "Subject: 5\n\n")
	// A number less in the midst makes it two bytes longer, and over the end of a page.
	text := "unseen: 1-100\nwork: " + strings.Repeat("7 ", 1+os.Getpagesize()/2)
	text = text[:os.Getpagesize()-2] + "\n"
	put(t, filepath.Join(dir, sequences), text)
	makeRoom := smalldisk.Fill(t, small)
	f := open(t, dir, inbox)
	list := entries(t, f)
	if len(list) != 1 {
		t.Fatalf("%d mails", len(list))
	}
	if err := f.(poller.Marker).MarkSeen(t.Context(), list); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("mark: %v", err)
	}
	if got := tree(t, dir); got[sequences] != text || len(got) != 2 {
		t.Errorf("%d files, marks %.100q", len(got), got[sequences])
	}
	makeRoom()
	must(t, f.(poller.Marker).MarkSeen(t.Context(), list))
	if got, want := tree(t, dir)[sequences], strings.Replace(text, "1-100", "1-4 6-100", 1); got != want {
		t.Errorf("marks %.100q", got)
	}
}

// What is no file and has the name of the sequences is named, and not waited for.
func TestSequencesAreNoFile(t *testing.T) {
	for what, become := range map[string]func(path string) error{
		"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		dir := folderOf(t, map[string]string{"1": "a"})
		f := open(t, dir, inbox)
		list := entries(t, f)
		must(t, become(filepath.Join(dir, sequences)))
		for did, do := range map[string]func() error{
			"list": func() error { _, err := f.List(t.Context(), ""); return err },
			"mark": func() error { return f.(poller.Marker).MarkSeen(t.Context(), list) },
		} {
			done := make(chan error, 1)
			go func() { done <- do() }()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), sequences+": not a regular file: remove it") {
					t.Errorf("%s, %s: %v", what, did, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s, %s: it waits", what, did)
			}
		}
	}
}

// The lock of a mailrow that was killed is no other program's.
func TestLockOfKilledPoller(t *testing.T) {
	dir := folderOf(t, map[string]string{"2": "b", sequences: "unseen: 2\n"})
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	must(t, err)
	space, err := os.Readlink("/proc/self/ns/pid")
	must(t, err)
	put(t, filepath.Join(dir, sequences+".lock"), fmt.Sprintf("%d\nmailrow %s %s 1\n", os.Getpid(), strings.TrimSpace(string(boot)), space))
	f := open(t, dir, inbox)
	must(t, f.(poller.Marker).MarkSeen(t.Context(), entries(t, f)))
	if got := tree(t, dir); got[sequences] != "" || len(got) != 2 {
		t.Errorf("%q", got)
	}
}
