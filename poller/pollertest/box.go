package pollertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"mailrow/internal/scratch"
)

// Box is a mailbox that others use while it is polled.
type Box interface {
	URI() string
	Add(t testing.TB, mails ...[]byte)
	// Remove removes a mail, as somebody else would who reads it.
	Remove(t testing.TB, mail []byte)
	// Mails are those that are there, in any order.
	Mails(t testing.TB) [][]byte
}

// Maildir makes an empty Maildir.
func Maildir(t testing.TB) Box {
	t.Helper()
	b := maildirBox{filepath.Join(scratch.ForTest(t), "Maildir")}
	for _, dir := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.path, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

type maildirBox struct{ path string }

func (b maildirBox) URI() string { return "maildir://" + b.path }

var serial atomic.Int64

func (b maildirBox) Add(t testing.TB, mails ...[]byte) {
	t.Helper()
	for _, mail := range mails {
		name := fmt.Sprintf("%d.M%dP1.host", 1_700_000_000+serial.Add(1), serial.Load())
		tmp := filepath.Join(b.path, "tmp", name)
		if err := os.WriteFile(tmp, mail, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(b.path, "new", name)); err != nil {
			t.Fatal(err)
		}
	}
}

func (b maildirBox) files(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{"new", "cur"} {
		names, err := filepath.Glob(filepath.Join(b.path, dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, names...)
	}
	return files
}

func (b maildirBox) Mails(t testing.TB) [][]byte { return read(t, b.files(t)) }

func (b maildirBox) Remove(t testing.TB, mail []byte) { remove(t, b.files(t), mail) }

func read(t testing.TB, files []string) (mails [][]byte) {
	t.Helper()
	for _, file := range files {
		mail, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil {
			mails = append(mails, mail)
		}
	}
	return mails
}

// remove removes the first file that is the mail.
func remove(t testing.TB, files []string, mail []byte) {
	t.Helper()
	at := slices.IndexFunc(files, func(file string) bool {
		found, _ := os.ReadFile(file)
		return bytes.Equal(found, mail)
	})
	if at < 0 {
		t.Fatalf("no mail to remove: %q", mail)
	}
	if err := os.Remove(files[at]); err != nil {
		t.Fatal(err)
	}
}
