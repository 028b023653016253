package mailfile_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/scratch"
	"mailrow/poller"
	"mailrow/poller/mailfile"
)

// What has got the name of a mailbox and is no file is named as such, and never
// waited for.
func TestNoFile(t *testing.T) {
	f := forms["mbox"]
	for what, become := range map[string]func(path string) error{
		"pipe": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"socket": func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		},
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := filepath.Join(scratch.ForTest(t), "box")
		write(t, path, f.file(1))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		if err := errors.Join(os.Remove(path), become(path)); err != nil {
			t.Fatal(err)
		}
		for did, do := range map[string]func() error{
			"list":   func() error { _, err := folder.List(t.Context(), ""); return err },
			"read":   func() error { _, err := open(folder, entries[0]); return err },
			"remove": func() error { return folder.(poller.Remover).Remove(t.Context(), entries) },
			"open": func() error {
				source, err := f.open(path, mailfile.Options{})
				if what == "folder" { // one of mailboxes
					_, err = source.Folder(t.Context(), "INBOX")
				}
				return err
			},
		} {
			done := make(chan error, 1)
			go func() { done <- do() }()
			select {
			case err := <-done:
				if err == nil || what != "folder" && !strings.Contains(err.Error(), "it is a pipe, a socket, a device or a folder: name a file") {
					t.Errorf("%s, %s: %v", what, did, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s, %s: it waits", what, did)
			}
		}
		onlyBox(t, path)
	}
}
