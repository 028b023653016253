package inotify

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSomethingComes(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   bool
	}{
		{"a new file", func(t *testing.T, dir string) { write(t, dir+"/watched/1") }, true},
		{"a file moved in", func(t *testing.T, dir string) { rename(t, dir+"/outside", dir+"/watched/1") }, true},
		{"a file linked in", func(t *testing.T, dir string) { link(t, dir+"/outside", dir+"/watched/1") }, true},
		{"a file grows", func(t *testing.T, dir string) { write(t, dir+"/watched/old") }, true},
		{"a file leaves", func(t *testing.T, dir string) { rename(t, dir+"/watched/old", dir+"/left") }, false},
		{"a file is removed", func(t *testing.T, dir string) { remove(t, dir+"/watched/old") }, false},
		{"a file is read", func(t *testing.T, dir string) { read(t, dir+"/watched/old") }, false},
		{"a change outside", func(t *testing.T, dir string) { write(t, dir+"/1") }, false},

		{"the file grows", func(t *testing.T, dir string) { write(t, dir+"/spool/joe") }, true},
		{"the file is replaced", func(t *testing.T, dir string) { rename(t, dir+"/outside", dir+"/spool/joe") }, true},
		{"the missing file comes", func(t *testing.T, dir string) { write(t, dir+"/spool/ann") }, true},
		{"another file beside it", func(t *testing.T, dir string) { write(t, dir+"/spool/joe.lock") }, false},
		{"the linked file grows", func(t *testing.T, dir string) { write(t, dir+"/far/mbox") }, true},
		{"another file beside the linked one", func(t *testing.T, dir string) { write(t, dir+"/far/link") }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"watched/old", "spool/joe", "far/mbox", "outside"} {
				write(t, filepath.Join(dir, name))
			}
			if err := os.Symlink(dir+"/far/mbox", dir+"/link"); err != nil {
				t.Fatal(err)
			}
			w := watch(t, dir+"/watched", dir+"/spool/joe", dir+"/spool/ann", dir+"/link")
			test.change(t, dir)
			if got := changed(t, w); got != test.want {
				t.Errorf("something came: %v, want %v", got, test.want)
			}
			if changed(t, w) {
				t.Error("the same was told twice")
			}
			write(t, dir+"/watched/2")
			if !changed(t, w) {
				t.Error("what came later was not told")
			}
		})
	}
}

func TestWaitWakesUp(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, dir)
	time.AfterFunc(50*time.Millisecond, func() { _ = os.WriteFile(dir+"/1", nil, 0o600) })
	if err := w.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCanceledWait waits again and again: what ends one Wait must not end the next.
func TestCanceledWait(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, dir)
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := w.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait: %v, want the error of its context", err)
		}
		cancel()
		write(t, dir+"/1")
		if err := w.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverflow(t *testing.T) {
	w := watch(t, t.TempDir())
	var event [unix.SizeofInotifyEvent]byte
	for i := range 4 {
		event[i] = 0xff // wd is -1
	}
	event[5] = unix.IN_Q_OVERFLOW >> 8
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.Write(event[:]); err != nil {
		t.Fatal(err)
	}
	inotify := w.file
	defer inotify.Close()
	w.file = r
	if !changed(t, w) {
		t.Error("an overflow was not told")
	}
}

func TestFolderGone(t *testing.T) {
	tests := []struct {
		name string
		lose func(t *testing.T, dir string)
	}{
		{"removed", remove},
		{"moved", func(t *testing.T, dir string) { rename(t, dir, dir+".old") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "gone")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			w := watch(t, dir, t.TempDir())
			test.lose(t, dir)
			for range 2 {
				if err := w.Wait(t.Context()); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("Wait: %v, want fs.ErrNotExist", err)
				}
			}
		})
	}
}

func TestNothingToWatch(t *testing.T) {
	if _, err := New(filepath.Join(t.TempDir(), "missing", "mbox")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("New: %v, want fs.ErrNotExist", err)
	}
}

func TestCloseEndsWait(t *testing.T) {
	w := watch(t, t.TempDir())
	time.AfterFunc(20*time.Millisecond, func() { _ = w.Close() })
	if err := w.Wait(t.Context()); err == nil {
		t.Error("Wait told something of a closed watch")
	}
}

func watch(t *testing.T, paths ...string) *Watch {
	t.Helper()
	w, err := New(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// changed says what Wait does, of events that are there already.
func changed(t *testing.T, w *Watch) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := w.Wait(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

func write(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) {
	t.Helper()
	if _, err := os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Link(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}
