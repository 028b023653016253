package pollertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// namedBox is one whose mails have names.
type namedBox interface {
	AddAs(t testing.TB, name string, mail []byte)
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
		b.AddAs(t, fmt.Sprintf("%d.M%dP1.host", 1_700_000_000+serial.Add(1), serial.Load()), mail)
	}
}

// AddAs adds a mail under a name.
func (b maildirBox) AddAs(t testing.TB, name string, mail []byte) {
	t.Helper()
	tmp := filepath.Join(b.path, "tmp", name)
	if err := os.WriteFile(tmp, mail, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(b.path, "new", name)); err != nil {
		t.Fatal(err)
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

// MH makes an empty MH folder.
func MH(t testing.TB) Box {
	t.Helper()
	path := filepath.Join(scratch.ForTest(t), "Mail")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return mhBox{path}
}

type mhBox struct{ path string }

func (b mhBox) URI() string { return "mh://" + b.path }

func (b mhBox) Add(t testing.TB, mails ...[]byte) {
	t.Helper()
	last := 0
	for _, file := range b.files(t) {
		n, err := strconv.Atoi(filepath.Base(file))
		if err != nil {
			t.Fatal(err)
		}
		last = max(last, n)
	}
	for i, mail := range mails {
		if err := os.WriteFile(filepath.Join(b.path, strconv.Itoa(last+1+i)), mail, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (b mhBox) files(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(b.path, "[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.IsDir()
	})
}

func (b mhBox) Mails(t testing.TB) [][]byte { return read(t, b.files(t)) }

func (b mhBox) Remove(t testing.TB, mail []byte) { remove(t, b.files(t), mail) }

// fileBox is a file of many mails. None of them has a line that only its form has.
type fileBox struct {
	kind, path    string
	head          string // of the file
	before, after string // around each mail
	above         *regexp.Regexp
}

func newFile(t testing.TB, b fileBox) Box {
	t.Helper()
	b.path = filepath.Join(scratch.ForTest(t), "mail")
	if err := os.WriteFile(b.path, []byte(b.head), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// Mbox makes an empty mbox.
func Mbox(t testing.TB) Box {
	return newFile(t, fileBox{kind: "mbox", before: fromLine, after: "\n", above: regexp.MustCompile(`(?m)^From .*\n`)})
}

const fromLine = "From s@example.net Tue Mar  3 10:00:00 2026\n"

// MMDF makes an empty MMDF file.
func MMDF(t testing.TB) Box {
	const line = "\x01\x01\x01\x01\n"
	return newFile(t, fileBox{kind: "mmdf", before: line, after: line, above: regexp.MustCompile(line)})
}

// Babyl makes an empty Babyl file.
func Babyl(t testing.TB) Box {
	return newFile(t, fileBox{kind: "babyl", head: "BABYL OPTIONS: -*- rmail -*-\nVersion: 5\nLabels:\n\x1f",
		before: "\f\n0, unseen,,\n*** EOOH ***\n", after: "\x1f", above: regexp.MustCompile("\f\n0,.*\n[*]{3} EOOH [*]{3}\n")})
}

func (b fileBox) URI() string { return b.kind + "://" + b.path }

func (b fileBox) Add(t testing.TB, mails ...[]byte) {
	t.Helper()
	var text bytes.Buffer
	for _, mail := range mails {
		text.WriteString(b.before + string(mail) + b.after)
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(text.Bytes()); err != nil {
		t.Fatal(err)
	}
}

func (b fileBox) Mails(t testing.TB) (mails [][]byte) {
	t.Helper()
	text, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range b.above.Split(strings.TrimPrefix(string(text), b.head), -1) {
		if piece = strings.TrimSuffix(piece, b.after); piece != "" {
			mails = append(mails, []byte(piece))
		}
	}
	return mails
}

func (b fileBox) Remove(t testing.TB, mail []byte) {
	t.Helper()
	mails := b.Mails(t)
	at := slices.IndexFunc(mails, func(other []byte) bool { return bytes.Equal(mail, other) })
	if at < 0 {
		t.Fatalf("no mail to remove: %q", mail)
	}
	// As mutt does: the file is written anew.
	if err := os.WriteFile(b.path, []byte(b.head), 0); err != nil {
		t.Fatal(err)
	}
	b.Add(t, slices.Delete(mails, at, at+1)...)
}
