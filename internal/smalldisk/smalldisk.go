// Package smalldisk gives tests file systems that can be filled up without harm.
package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mailrow/internal/needs"
	"mailrow/internal/scratch"
)

// Prefix begins the names of folders that one may be mounted on. Package scratch
// knows it, and unmounts what was left.
const Prefix = scratch.MountPrefix

// Mount mounts one of some bytes, of which a file takes whole pages, on a folder
// that it makes. It is unmounted after the test.
func Mount(t testing.TB, dir string, bytes int, options string) {
	t.Helper()
	Need(t)
	Must(t, Make(dir, bytes, options))
	t.Cleanup(func() {
		if err := Unmount(dir); err != nil {
			t.Error(err)
		}
	})
}

// Need ends the test where nothing can be mounted.
func Need(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to mount", needs.Root)
	}
}

// Make is Mount where no test may end: Must looks at its error, and Unmount is to
// be called.
func Make(dir string, bytes int, options string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,%s", bytes, options)); err != nil {
		return &mountError{err}
	}
	return nil
}

// mountError is that of a container without the capability, also as root.
type mountError struct{ error }

func (e *mountError) Unwrap() error { return e.error }

// Must ends the test where err, of Make, says that nothing could be mounted, and at
// any other error.
func Must(t testing.TB, err error) {
	t.Helper()
	var mount *mountError
	switch {
	case errors.As(err, &mount):
		needs.Missing(t, "the right to mount ("+err.Error()+")", "run in a privileged container")
	case err != nil:
		t.Fatal(err)
	}
}

// Unmount undoes Make, also when a stopped or stuck server still holds files.
func Unmount(dir string) error {
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// New gives the folder of one.
func New(t testing.TB, bytes int) (dir string) {
	t.Helper()
	dir = filepath.Join(scratch.ForTest(t), Prefix+"small")
	Mount(t, dir, bytes, "mode=0755")
	return dir
}

// Fill fills the file system of a folder up, also once more. What it gives makes
// room again.
func Fill(t testing.TB, dir string) (makeRoom func()) {
	t.Helper()
	path := filepath.Join(dir, ".ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, os.Getpagesize()))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
