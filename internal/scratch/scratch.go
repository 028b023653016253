// Package scratch makes the folders of test servers. Unlike t.TempDir they can
// be entered by the server's own user, have names short enough for a Unix
// socket, and those a killed test left behind are removed by a later one.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	prefix = "mailrow-test-"

	// MountPrefix begins the names of folders in it that a file system of a disk-full
	// test may still be mounted on.
	MountPrefix = "tmpfs_"

	// settling is the age below which a folder without a lock may belong to a
	// test that is just making it.
	settling = time.Minute
	// maxParent leaves room for the socket's name in sun_path (108 bytes).
	maxParent = 60
)

// Dir is a folder; its lock is held as long as the test binary lives.
type Dir struct {
	Path string
	lock *os.File
}

// New makes a folder with mode 0755 under $MAILROW_TEST_DIR or the system's
// temporary folder. The caller removes it.
func New() (*Dir, error) {
	parent := os.Getenv("MAILROW_TEST_DIR")
	if parent == "" {
		parent = os.TempDir()
	}
	if len(parent) > maxParent {
		return nil, fmt.Errorf("%s is too long for a Unix socket: set MAILROW_TEST_DIR", parent)
	}
	sweep(parent)
	path, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, fmt.Errorf("make test folder: %w", err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		return nil, fmt.Errorf("open test folder to all: %w", err)
	}
	lock, err := os.Create(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("lock test folder: %w", err)
	}
	if err := tryLock(lock); err != nil {
		return nil, fmt.Errorf("lock test folder: %w", err)
	}
	return &Dir{Path: path, lock: lock}, nil
}

// ForTest makes a folder that is removed after the test.
func ForTest(t testing.TB) string {
	t.Helper()
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	})
	return d.Path
}

// Remove deletes the folder.
func (d *Dir) Remove() error {
	err := os.RemoveAll(d.Path)
	return errors.Join(err, d.lock.Close())
}

// sweep removes what killed tests left behind, as far as it may.
func sweep(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, prefix+"*", "lock"))
	for _, name := range left {
		info, err := os.Stat(name)
		if err != nil || time.Since(info.ModTime()) < settling {
			continue
		}
		lock, err := os.Open(name)
		if err != nil {
			continue
		}
		if tryLock(lock) == nil {
			removeStale(filepath.Dir(name))
		}
		lock.Close()
	}
}

func removeStale(dir string) {
	// A file system of a disk-full test may still be mounted there.
	mounts, _ := filepath.Glob(filepath.Join(dir, MountPrefix+"*"))
	for _, m := range mounts {
		_ = syscall.Unmount(m, syscall.MNT_DETACH)
	}
	_ = os.RemoveAll(dir)
}

func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
