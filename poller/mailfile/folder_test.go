package mailfile_test

import (
	"context"
	"errors"
	"fmt"
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
	"mailrow/poller/babyl"
	"mailrow/poller/mailfile"
	"mailrow/poller/mbox"
	"mailrow/poller/mmdf"
)

// form is how a test writes and opens files.
type form struct {
	head string
	wrap func(mail string, seen bool) string
	open func(path string, o mailfile.Options) (poller.Source, error)
}

const fromLine = "From ann@a.test Tue Mar  3 10:00:00 2026\n"

// withStatus adds the notes that a mail of mbox or MMDF has.
func withStatus(mail string, seen bool) string {
	if !seen {
		return mail
	}
	return strings.Replace(mail, "\n\n", "\nStatus: RO\n\n", 1)
}

var forms = map[string]form{
	"mbox": {
		wrap: func(mail string, seen bool) string { return fromLine + withStatus(mail, seen) + "\n" },
		open: func(path string, o mailfile.Options) (poller.Source, error) {
			return mbox.Open(path, mbox.Options{Options: o})
		},
	},
	"mboxrd": {
		wrap: func(mail string, seen bool) string {
			return fromLine + strings.NewReplacer("\nFrom ", "\n>From ", "\n>From ", "\n>>From ").Replace(withStatus(mail, seen)) + "\n"
		},
		open: func(path string, o mailfile.Options) (poller.Source, error) {
			return mbox.Open(path, mbox.Options{Dialect: mbox.RD, Options: o})
		},
	},
	"MMDF": {
		wrap: func(mail string, seen bool) string {
			return "\x01\x01\x01\x01\n" + withStatus(mail, seen) + "\x01\x01\x01\x01\n"
		},
		open: mmdf.Open,
	},
	"Babyl": {
		head: "BABYL OPTIONS: -*- rmail -*-\nVersion: 5\n\x1f",
		wrap: func(mail string, seen bool) string {
			if seen {
				return "\f\n0,,\n*** EOOH ***\n" + mail + "\x1f"
			}
			return "\f\n0, unseen,,\n*** EOOH ***\n" + mail + "\x1f"
		},
		open: babyl.Open,
	},
}

func mailOf(i int) string {
	return fmt.Sprintf("Subject: %d\nDate: Tue, 03 Mar 2026 10:00:00 +0000\n\nFirst line\n\nFrom here on: %d\n>From there\n", i, i)
}

func (f form) file(mails ...int) string {
	text := f.head
	for _, i := range mails {
		text += f.wrap(mailOf(i), false)
	}
	return text
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// age makes a file look as if nobody had touched it for some time, by waiting.
func age(t *testing.T) {
	t.Helper()
	time.Sleep(2100 * time.Millisecond)
}

func openFolder(t *testing.T, f form, path string, o mailfile.Options) poller.Folder {
	t.Helper()
	source, err := f.open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := source.Folder(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(folder.Close(), source.Close()); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func list(t *testing.T, folder poller.Folder, since string) (entries []poller.Entry, l *poller.Listing) {
	t.Helper()
	l, err := folder.List(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range l.Entries {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries, l
}

func open(folder poller.Folder, e poller.Entry) (string, error) {
	r, err := folder.Open(context.Background(), e)
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(r)
	return string(raw), errors.Join(err, r.Close())
}

func check(t *testing.T, what, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
	others, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range others {
		if strings.HasPrefix(o.Name(), ".") || strings.HasSuffix(o.Name(), ".lock") {
			t.Errorf("%s: %s is left over", what, o.Name())
		}
	}
}

func eachForm(t *testing.T, test func(t *testing.T, f form, path string)) {
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, f, filepath.Join(t.TempDir(), "box"))
		})
	}
}

func TestListAndOpen(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		write(t, path, f.file(1, 2)+f.wrap(mailOf(3), true))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		if len(entries) != 3 {
			t.Fatalf("%d mails", len(entries))
		}
		for i, e := range entries {
			want := mailOf(i + 1)
			if i == 2 && f.head == "" {
				want = withStatus(want, true)
			}
			if raw, err := open(folder, e); err != nil || raw != want || e.Size != int64(len(want)) {
				t.Errorf("mail %d: size %d, %v\n%s", i, e.Size, err, cmp.Diff(want, raw))
			}
			if seen := slices.Contains(e.Flags, `\Seen`); seen != (i == 2) {
				t.Errorf("mail %d: flags %v", i, e.Flags)
			}
		}
		check(t, "after reading", path, f.file(1, 2)+f.wrap(mailOf(3), true))
	})
}

func writeAs(t *testing.T, path, text string) string {
	t.Helper()
	write(t, path, text)
	return path
}

func TestRevision(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		write(t, path, f.file(1, 2))
		folder := openFolder(t, f, path, mailfile.Options{})
		_, young := list(t, folder, "")
		if entries, l := list(t, folder, young.Revision); len(entries) != 2 || l.Partial {
			t.Errorf("just written: %d mails, partial %v", len(entries), l.Partial)
		}
		age(t)
		_, first := list(t, folder, young.Revision)
		if entries, l := list(t, folder, first.Revision); len(entries) != 0 || !l.Partial || l.Revision != first.Revision {
			t.Errorf("unchanged: %d mails, partial %v", len(entries), l.Partial)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(f.wrap(mailOf(3), false)); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		want := 1
		if f.head != "" { // mails of Babyl share a byte
			want = 3
		}
		entries, grown := list(t, folder, first.Revision)
		if len(entries) != want || grown.Partial != (want == 1) {
			t.Fatalf("grown: %d mails, partial %v", len(entries), grown.Partial)
		}
		if raw, err := open(folder, entries[want-1]); err != nil || raw != mailOf(3) {
			t.Errorf("grown: %v, %q", err, raw)
		}
		write(t, path, f.file(1, 9, 3)) // as long as before
		if entries, l := list(t, folder, grown.Revision); len(entries) != 3 || l.Partial {
			t.Errorf("rewritten: %d mails, partial %v", len(entries), l.Partial)
		}
		for _, odd := range []string{"x", "1 2 3 4", "1 -5 3 x", "18446744073709551616 1 1 x"} {
			if entries, l := list(t, folder, odd); len(entries) != 3 || l.Partial {
				t.Errorf("revision %q: %d mails", odd, len(entries))
			}
		}
	})
}

func TestNotOpened(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		dir := filepath.Dir(path)
		write(t, filepath.Join(dir, "program"), "\x7fELF\x00\x01")
		write(t, filepath.Join(dir, "empty"), "")
		if err := os.MkdirAll(filepath.Join(dir, "Maildir", "cur"), 0o700); err != nil {
			t.Fatal(err)
		}
		var not *mailfile.NotOneError
		if _, err := f.open(filepath.Join(dir, "nowhere"), mailfile.Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing: %v", err)
		}
		if _, err := f.open(filepath.Join(dir, "program"), mailfile.Options{}); !errors.As(err, &not) {
			t.Errorf("program: %v", err)
		}
		if _, err := f.open(filepath.Join(dir, "Maildir"), mailfile.Options{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Maildir: %v", err)
		}
		if _, err := f.open("/dev/null", mailfile.Options{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("device: %v", err)
		}
		if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() {
			_, err := f.open(filepath.Join(dir, "pipe"), mailfile.Options{})
			opened <- err
		}()
		select {
		case err := <-opened:
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("pipe: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("pipe: a writer is waited for")
		}
		folder := openFolder(t, f, filepath.Join(dir, "empty"), mailfile.Options{})
		if entries, _ := list(t, folder, ""); len(entries) != 0 {
			t.Errorf("empty: %v", entries)
		}
	})
}

func TestFolders(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		dir := filepath.Dir(path)
		for name, text := range map[string]string{
			"inbox": f.file(1), "Work/2026": f.file(2), "Work/empty": "", "Local.sbd/Sub": f.file(3), "Entw&APw-rfe": f.file(4),
			".subscriptions": f.file(1), "inbox.lock": "", "Local.msf": "// <!-- <mdb:mork", "notes.txt": "Hello\n", ".imap/inbox/x": f.file(1),
		} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, name), text)
		}
		if err := os.Remove(filepath.Join(dir, "inbox.lock")); err != nil {
			t.Fatal(err)
		}
		source, err := f.open(dir, mailfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for pattern, want := range map[string][]string{
			"*": {"Entwürfe", "INBOX", "Local/Sub", "Work/2026", "Work/empty"}, "%": {"Entwürfe", "INBOX"}, "Work/%": {"Work/2026", "Work/empty"}, "Inbox": {"INBOX"},
		} {
			if got, err := source.Folders(t.Context(), []string{pattern}); err != nil || !cmp.Equal(want, got) {
				t.Errorf("%s: %v, %v", pattern, got, err)
			}
		}
		if got, err := source.Folders(t.Context(), nil); err != nil || !cmp.Equal(got, []string{"INBOX"}) {
			t.Errorf("nothing said: %v, %v", got, err)
		}
		for name, i := range map[string]int{"INBOX": 1, "Work/2026": 2, "Local/Sub": 3, "Entwürfe": 4} {
			folder, err := source.Folder(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			entries, _ := list(t, folder, "")
			if raw, err := open(folder, entries[0]); len(entries) != 1 || raw != mailOf(i) {
				t.Errorf("%s: %q, %v", name, raw, err)
			}
		}
		for _, name := range []string{"nowhere", "notes.txt", "../x", ""} {
			if _, err := source.Folder(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestLinks(t *testing.T) {
	f := forms["mbox"]
	dir := t.TempDir()
	path, link := filepath.Join(dir, "spool", "box"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	write(t, path, f.file(1, 2))
	folder := openFolder(t, f, link, mailfile.Options{})
	entries, _ := list(t, folder, "")
	if err := folder.(poller.Remover).Remove(t.Context(), entries[:1]); err != nil {
		t.Fatal(err)
	}
	check(t, "through a link", path, f.file(2))
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("link: %v, %v", to, err)
	}

	write(t, path, f.file(1, 2))
	if err := os.Link(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if err := folder.(poller.Remover).Remove(t.Context(), entries[:1]); err == nil || !strings.Contains(err.Error(), "hard links") {
		t.Errorf("hard link: %v", err)
	}
	check(t, "hard link", path, f.file(1, 2))
}

func TestWait(t *testing.T) {
	f := forms["mbox"]
	path := filepath.Join(t.TempDir(), "box")
	write(t, path, f.file(1))
	age(t)
	folder := openFolder(t, f, path, mailfile.Options{}).(poller.Watcher)
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := folder.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing came: %v", err)
	}
	for range 3 {
		write(t, path, f.file(1, 2))
		if err := folder.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	late := openFolder(t, f, path, mailfile.Options{}).(poller.Watcher)
	write(t, path, f.file(1, 2, 3))
	if err := late.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// A mail that does not fit into memory is read twice, and fails at its end when
// somebody writes to it in between.
func TestLargeMail(t *testing.T) {
	eachForm(t, func(t *testing.T, f form, path string) {
		large := mailOf(1) + strings.Repeat("A line of a large mail\n", 300_000)
		write(t, path, f.head+f.wrap(large, false)+f.wrap(mailOf(2), false))
		folder := openFolder(t, f, path, mailfile.Options{})
		entries, _ := list(t, folder, "")
		if raw, err := open(folder, entries[0]); err != nil || raw != large {
			t.Errorf("%d bytes of %d: %v", len(raw), len(large), err)
		}
		r, err := folder.Open(t.Context(), entries[0])
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
			t.Fatal(err)
		}
		write(t, path, f.head+f.wrap(strings.ReplaceAll(large, "large", "LARGE"), false))
		var broken *poller.BrokenError
		if _, err := io.Copy(io.Discard, r); !errors.As(err, &broken) {
			t.Errorf("rewritten amid reading: %v", err)
		}
	})
}

func TestCutOffAmidListing(t *testing.T) {
	f := forms["mbox"]
	path := filepath.Join(t.TempDir(), "box")
	write(t, path, f.file(1)+f.wrap(mailOf(2)+strings.Repeat("x\n", 1<<20), false))
	folder := openFolder(t, f, path, mailfile.Options{})
	l, err := folder.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var broken *poller.BrokenError
	for e, err := range l.Entries {
		if err == nil && e.Size != int64(len(mailOf(1))) {
			t.Errorf("a mail of %d bytes", e.Size)
		}
		errors.As(err, &broken)
		if err := os.Truncate(path, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if broken == nil {
		t.Error("nobody has noticed")
	}
}
