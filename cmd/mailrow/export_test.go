package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/newfile"
	"mailrow/store/archive/archivetest"
)

// However an export ends, what has its final name is whole, and the next one
// goes on.
func TestExportIsKilled(t *testing.T) {
	dsn := deliverytest.Database(t)
	mails := map[string]string{}
	for i := range 400 {
		raw := fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat(fmt.Sprintln(i), 5000))
		mails[fmt.Sprint(archivetest.Deliver(t, dsn, "ann@example.com", raw))+".eml"] = raw
	}
	export := func(args ...string) *exec.Cmd {
		cmd := exec.Command("mailrow", append([]string{"export"}, args...)...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
		return cmd
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd := export("--format", "eml", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); len(files(t, dir)) < 5 && time.Since(begun) < time.Minute; {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Logf("it had ended: %v", err)
		}
		cmd.Wait()
		for name, raw := range files(t, dir) {
			if strings.HasPrefix(name, newfile.Prefix) {
				if signal == syscall.SIGTERM {
					t.Errorf("left behind: %s", name)
				}
			} else if raw != mails[name] {
				t.Errorf("%v: %s has %d bytes of %d", signal, name, len(raw), len(mails[name]))
			}
		}
		if out, err := export("--format", "eml", dir).CombinedOutput(); err != nil {
			t.Errorf("again: %v: %s", err, out)
		}
		got := files(t, dir)
		for name, raw := range mails {
			if got[name] != raw {
				t.Errorf("%v and again: %s has %d bytes of %d", signal, name, len(got[name]), len(raw))
			}
		}
	}
}

// files are those below a folder, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return skipGone(err)
		}
		raw, err := os.ReadFile(path)
		found[entry.Name()] = string(raw)
		return skipGone(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// skipGone forgives that a file got another name meanwhile.
func skipGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func TestMboxIsKilled(t *testing.T) {
	dsn := deliverytest.Database(t)
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: x\n\nx\n")
	// The export waits for a lock in the midst of its work.
	conn := archivetest.Connect(t, dsn)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table mailrow.messages in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("mailrow", "export", "--format", "mbox", filepath.Join(dir, "mbox"))
	cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); len(files(t, dir)) == 0 && time.Since(begun) < time.Minute; {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it succeeded")
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
