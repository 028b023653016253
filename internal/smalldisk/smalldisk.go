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
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to mount", needs.Root)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,%s", bytes, options)); err != nil {
		// A container without the capability, also as root.
		needs.Missing(t, "the right to mount ("+err.Error()+")", "run in a privileged container")
	}
	t.Cleanup(func() {
		// Detached: a stopped or stuck server may still hold files.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// New gives the folder of one.
func New(t testing.TB, bytes int) (dir string) {
	t.Helper()
	dir = filepath.Join(scratch.ForTest(t), Prefix+"small")
	Mount(t, dir, bytes, "mode=0755")
	return dir
}

// Fill fills the file system of a folder up. What it gives makes room again.
func Fill(t testing.TB, dir string) (makeRoom func()) {
	t.Helper()
	path := filepath.Join(dir, ".ballast")
	f, err := os.Create(path)
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
