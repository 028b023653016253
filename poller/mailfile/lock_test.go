package mailfile_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/mtatest"
	"mailrow/internal/needs"
	"mailrow/poller"
	"mailrow/poller/mailfile"
)

func TestLocksOfOthers(t *testing.T) {
	f := forms["mbox"]
	short := mailfile.Options{LockTimeout: 50 * time.Millisecond}
	path := filepath.Join(t.TempDir(), "box")
	write(t, path, f.file(1, 2))
	folder := openFolder(t, f, path, short)
	entries, _ := list(t, folder, "")
	var busy *mailfile.LockError

	write(t, path+".lock", "")
	if _, err := folder.List(t.Context(), ""); !errors.As(err, &busy) || !strings.Contains(err.Error(), path+".lock is there") {
		t.Errorf("list with a .lock there: %v", err)
	}
	if err := folder.(poller.Remover).Remove(t.Context(), entries); !errors.As(err, &busy) {
		t.Errorf("remove with a .lock there: %v", err)
	}
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	check(t, "locked", path, f.file(1, 2))

	other, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock(t, other)
	if _, err := folder.List(t.Context(), ""); !errors.As(err, &busy) {
		t.Errorf("list with a lock of fcntl: %v", err)
	}
	check(t, "locked", path, f.file(1, 2))
}

// lock waits for the lock of fcntl(2).
func lock(t *testing.T, f *os.File) {
	t.Helper()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Error(err)
	}
}

func TestStaleLock(t *testing.T) {
	f := forms["mbox"]
	path := filepath.Join(t.TempDir(), "box")
	write(t, path, f.file(1))
	write(t, path+".lock", "")
	old := time.Now().Add(-501 * time.Second)
	if err := os.Chtimes(path+".lock", old, old); err != nil {
		t.Fatal(err)
	}
	var notes []string
	folder := openFolder(t, f, path, mailfile.Options{Note: func(text string) { notes = append(notes, text) }})
	if entries, _ := list(t, folder, ""); len(entries) != 1 {
		t.Errorf("%d mails", len(entries))
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "has died") {
		t.Errorf("notes %q", notes)
	}
	check(t, "unlocked", path, f.file(1))
}

// asNobody runs a function without the rights of root over files.
func asNobody(t *testing.T, run func()) {
	t.Helper()
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to become another user", needs.Root)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		for _, set := range []func(int) (int, error){unix.SetfsgidRetGid, unix.SetfsuidRetUid} {
			if _, err := set(nobody); err != nil {
				t.Error(err)
				return
			}
		}
		run()
	}()
	<-done
}

const nobody = 65534

// /var/mail is not writable for its users.
func TestFolderThatMayNotBeWritten(t *testing.T) {
	f := forms["mbox"]
	dir, err := os.MkdirTemp("", "mailfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "box")
	write(t, path, f.file(1, 2, 3))
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		var notes []string
		folder := openFolder(t, f, path, mailfile.Options{Note: func(text string) { notes = append(notes, text) }})
		entries, _ := list(t, folder, "")
		if err := folder.(poller.Remover).Remove(t.Context(), entries[:1]); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("remove the first: %v", err)
		}
		check(t, "nothing is removed", path, f.file(1, 2, 3))
		if err := folder.(poller.Remover).Remove(t.Context(), entries[1:]); err != nil {
			t.Errorf("remove the last: %v", err)
		}
		check(t, "the last are removed", path, f.file(1))
		if len(notes) != 1 || !strings.Contains(notes[0], "fcntl alone") {
			t.Errorf("notes %q", notes)
		}
	})
}

// taker lists, reads and removes mails until it is told that no more will come.
func taker(t *testing.T, folder poller.Folder, done <-chan struct{}) (taken map[string]int) {
	taken = map[string]int{}
	for last := false; ; {
		select {
		case <-done:
			last = true
		default:
		}
		entries, _ := list(t, folder, "")
		if last && len(entries) == 0 {
			return taken
		}
		time.Sleep(5 * time.Millisecond) // others want the locks too
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		if len(entries) > 1 {
			entries = entries[:1+rand.IntN(len(entries))]
		}
		var read []string
		for _, e := range entries {
			raw, err := open(folder, e)
			if err != nil {
				t.Error(err)
				return taken
			}
			subject, _, _ := strings.Cut(raw[strings.Index(raw, "Subject: "):], "\n")
			read = append(read, subject)
		}
		if err := folder.(poller.Remover).Remove(t.Context(), entries); err != nil {
			t.Error(err)
			return taken
		}
		for _, subject := range read {
			taken[subject]++
		}
	}
}

func once(t *testing.T, taken map[string]int, n int) {
	t.Helper()
	if len(taken) != n {
		t.Errorf("%d mails came, %d were delivered", len(taken), n)
	}
	for subject, times := range taken {
		if times != 1 {
			t.Errorf("%q came %d times", subject, times)
		}
	}
}

// A program that trusts in fcntl alone has opened the file, and waits for its lock,
// when the file gets another inode.
func TestAppendedToTheFileBefore(t *testing.T) {
	f := forms["mbox"]
	path := filepath.Join(t.TempDir(), "box")
	write(t, path, f.file(1, 2))
	folder := openFolder(t, f, path, mailfile.Options{})
	entries, _ := list(t, folder, "")
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, err := writer.Stat()
	if err != nil {
		t.Fatal(err)
	}
	removed := make(chan error)
	go func() { removed <- folder.(poller.Remover).Remove(t.Context(), entries[:1]) }()
	for {
		if now, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if !os.SameFile(before, now) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	lock(t, writer)
	if _, err := writer.WriteString(f.wrap(mailOf(3), false)); err != nil {
		t.Error(err)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
	if err := <-removed; err != nil {
		t.Error(err)
	}
	check(t, "both", path, f.file(2, 3))
}

func TestPostfixDelivers(t *testing.T) {
	for _, locks := range []string{"fcntl, dotlock", "dotlock", "fcntl"} {
		t.Run(locks, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "mailfile")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			if err := os.Chmod(dir, 0o1777); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, mtatest.LocalUser)
			write(t, path, "")
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
			s := mtatest.StartPostfix(t, mtatest.Postfix{ExtraMain: "mail_spool_directory = " + dir + "\nmailbox_delivery_lock = " + locks + "\nlocal_destination_concurrency_limit = 8"})
			f := forms["mbox"]
			folder := openFolder(t, f, path, mailfile.Options{})
			const n = 60
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range n {
					s.Send(t, "s@sender.test", []string{mtatest.LocalUser + "@local.test"}, []byte(mailOf(i)))
				}
				deliver(t, s, n)
			}()
			once(t, taker(t, folder, done), n)
			check(t, "at the end", path, "")
		})
	}
}

// deliver waits until Postfix has delivered n mails. It defers one when it finds the
// locks taken too often, and where it trusts in fcntl alone it may see that the file
// it has opened is not the mailbox any more.
func deliver(t *testing.T, s *mtatest.PostfixServer, n int) {
	for n > 0 {
		deferred := 0
		for _, r := range s.WaitResults(t, n, time.Minute) {
			switch {
			case r.Status == "deferred" && r.DSN == "4.2.0":
				deferred++
			case r.Status != "sent":
				t.Errorf("%+v", r)
			}
		}
		if n = deferred; n > 0 {
			s.Flush(t)
		}
	}
}

// A mail that is written in two steps, under the lock, is seen whole or not at all.
func TestListWhileOthersWrite(t *testing.T) {
	f := forms["mbox"]
	path := filepath.Join(t.TempDir(), "box")
	write(t, path, "")
	folder := openFolder(t, f, path, mailfile.Options{})
	done := make(chan struct{})
	defer func() { <-done }()
	const n = 40
	go func() {
		defer close(done)
		for i := range n {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Error(err)
				return
			}
			lock(t, file)
			for _, half := range strings.SplitAfter(f.wrap(mailOf(i), false), "\n\n") {
				if _, err := file.WriteString(half); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		entries, _ := list(t, folder, "")
		for i, e := range entries {
			if e.Size != int64(len(mailOf(i))) {
				t.Fatalf("mail %d has %d bytes, want %d", i, e.Size, len(mailOf(i)))
			}
		}
		if last && len(entries) != n {
			t.Errorf("%d mails", len(entries))
		}
	}
}
