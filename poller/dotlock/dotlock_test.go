package dotlock

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A child takes the lock and waits to be killed.
func TestMain(m *testing.M) {
	if box := os.Getenv("DOTLOCK_TAKE"); box != "" {
		if lock, who, err := Take(box, 0o644, quiet); lock == nil {
			fmt.Println(who, err)
			os.Exit(1)
		}
		fmt.Println("taken")
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

func quiet(string, ...any) {}

// child is another process that has the lock of a mailbox.
func child(t *testing.T, box string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DOTLOCK_TAKE="+box)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := make([]byte, 100)
	if n, _ := out.Read(said); string(said[:n]) != "taken\n" {
		t.Fatalf("the child said %q", said[:n])
	}
	return cmd
}

func TestTakeAndRelease(t *testing.T) {
	box := filepath.Join(t.TempDir(), "box")
	lock, who, err := Take(box, 0o644, quiet)
	if lock == nil || err != nil {
		t.Fatal(who, err)
	}
	if again, who, err := Take(box, 0o644, quiet); again != nil || err != nil || !strings.Contains(who, fmt.Sprintf("by process %d of mailrow", os.Getpid())) {
		t.Errorf("twice: %q, %v", who, err)
	}
	if err := errors.Join(lock.Touch(), lock.Release()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(box + "*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// The lock of a poller that was killed is taken over at once, be it that its parent
// has not asked for its status yet.
func TestLockOfKilledProcess(t *testing.T) {
	for _, reaped := range []bool{true, false} {
		box := filepath.Join(t.TempDir(), "box")
		cmd := child(t, box)
		if lock, who, err := Take(box, 0o644, quiet); lock != nil || err != nil || !strings.Contains(who, fmt.Sprint(cmd.Process.Pid)) {
			t.Fatalf("while it lives: %q, %v", who, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if reaped {
			_ = cmd.Wait()
		}
		var note string
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			lock, who, err := Take(box, 0o644, func(format string, args ...any) { note = fmt.Sprintf(format, args...) })
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%q, %v", who, err)
			}
			if lock != nil {
				break
			}
		}
		if !strings.Contains(note, fmt.Sprintf("process %d of mailrow, which has died", cmd.Process.Pid)) {
			t.Errorf("noted %q", note)
		}
	}
}

// What is not certainly a dead lock of ours is left alone until it is stale, and that
// of a process that lives always.
func TestLocksOfOthers(t *testing.T) {
	o, known := me()
	if !known {
		t.Fatal("this process does not know itself")
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	gone := dead.Process.Pid
	line := func(pid int, boot, space, began string) string {
		return fmt.Sprintf("%d\nmailrow %s %s %s\n", pid, boot, space, began)
	}
	for what, test := range map[string]struct {
		content string
		broken  bool
	}{
		"nothing":                         {"", false},
		"another program's":               {fmt.Sprintln(gone), false},
		"Dovecot's":                       {fmt.Sprintf("%d:host\n", gone), false},
		"of another machine":              {line(gone, "00000000-0000-0000-0000-000000000000", o.space, o.began), false},
		"of another container":            {line(gone, o.boot, "pid:[1]", o.began), false},
		"not written to its end":          {strings.TrimSuffix(line(gone, o.boot, o.space, o.began), "\n"), false},
		"of this process":                 {self(), false},
		"of a dead process":               {line(gone, o.boot, o.space, o.began), true},
		"of the former owner of a number": {line(os.Getpid(), o.boot, o.space, "1"), true},
	} {
		box := filepath.Join(t.TempDir(), "box")
		if err := os.WriteFile(Path(box), []byte(test.content), 0o644); err != nil {
			t.Fatal(err)
		}
		lock, who, err := Take(box, 0o644, quiet)
		if lock != nil || err != nil || strings.Contains(who, "removed") != test.broken {
			t.Errorf("%s: %q, %v", what, who, err)
		}
		if _, err := os.Stat(Path(box)); errors.Is(err, os.ErrNotExist) != test.broken {
			t.Errorf("%s: %v", what, err)
		}
		if test.broken {
			continue
		}
		old := time.Now().Add(-StaleAfter - time.Second)
		if err := os.Chtimes(Path(box), old, old); err != nil {
			t.Fatal(err)
		}
		if _, who, err := Take(box, 0o644, quiet); err != nil || strings.Contains(who, "removed") == (what == "of this process") {
			t.Errorf("%s, stale: %q, %v", what, who, err)
		}
	}
}

// Of many that find a dead lock only one has the mailbox at a time.
func TestManyTakeOver(t *testing.T) {
	box := filepath.Join(t.TempDir(), "box")
	o, _ := me()
	o.began = "1"
	var all sync.WaitGroup
	var holders, taken atomic.Int64
	for range 8 {
		all.Go(func() {
			for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
				lock, _, err := Take(box, 0o644, quiet)
				if err != nil {
					t.Error(err)
					return
				}
				if lock == nil {
					continue
				}
				if holders.Add(1) > 1 {
					t.Error("two have it")
				}
				taken.Add(1)
				holders.Add(-1)
				// It dies with the lock.
				text := fmt.Sprintf("%d\nmailrow %s %s 1\n", o.pid, o.boot, o.space)
				if err := os.WriteFile(Path(box), []byte(text), 0o644); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() < 10 {
		t.Errorf("taken %d times", taken.Load())
	}
}

// Whoever sees a lock sees whose it is: one that was killed while it made its lock would
// leave one that nobody can take over.
func TestLockIsNeverSeenEmpty(t *testing.T) {
	box := filepath.Join(t.TempDir(), "box")
	if f, err := unix.Open(filepath.Dir(box), unix.O_WRONLY|unix.O_TMPFILE, 0o600); err != nil {
		t.Skip("this file system has no files without a name: ", err)
	} else {
		unix.Close(f)
	}
	var done atomic.Bool
	seen := make(chan int)
	go func() {
		count := 0
		for !done.Load() {
			f, err := os.Open(Path(box))
			if err != nil {
				continue
			}
			if content(f) == "" {
				t.Error("an empty lock")
				done.Store(true)
			}
			f.Close()
			count++
		}
		seen <- count
	}()
	for range 5000 {
		lock, who, err := Take(box, 0o644, quiet)
		if lock == nil {
			t.Fatal(who, err)
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	if <-seen == 0 {
		t.Error("no lock was seen")
	}
}
