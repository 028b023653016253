// Package newfile writes files that appear whole under their name, or not at all.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Prefix begins the names of files that are not whole yet. Only a program that
// was killed leaves one behind.
const Prefix = ".part-"

// File is a file without its final name.
type File struct {
	*os.File
	named bool
}

// Create makes a file in a folder, readable to its owner only.
func Create(dir string) (*File, error) {
	f, err := os.CreateTemp(dir, Prefix+"*")
	if err != nil {
		return nil, err
	}
	return &File{File: f}, nil
}

// Rename closes the file and gives it its name, in the same file system. What
// has the name already is overwritten, or the error is fs.ErrExist: even of
// two at once only one gets it.
func (f *File) Rename(name string, overwrite bool) error {
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	rename := RenameKeeping
	if overwrite {
		rename = os.Rename
	}
	if err := rename(f.Name(), name); err != nil {
		return err
	}
	f.named = true
	return nil
}

// RenameKeeping is os.Rename that never overwrites.
func RenameKeeping(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch err {
	case nil:
		return nil
	case unix.EINVAL, unix.ENOSYS, unix.ENOTSUP: // not known to every file system: NFS
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}

// Discard removes the file unless it has got its name. It may be deferred.
func (f *File) Discard() {
	if f.named {
		return
	}
	f.Close()
	os.Remove(f.Name())
}

// Sync makes sure that a folder remembers the names of its files, where the
// file system can.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// RenameNumbered is Rename that never overwrites: where there is such a name it
// adds " (2)" and so on before the ending, and gives the name it found.
func (f *File) RenameNumbered(name string) (string, error) {
	ending := filepath.Ext(name)
	stem := name[:len(name)-len(ending)]
	if filepath.Base(name) == ending { // .profile
		stem, ending = name, ""
	}
	for n := 1; ; n++ {
		path := name
		if n > 1 {
			path = fmt.Sprintf("%s (%d)%s", stem, n, ending)
		}
		// Looking first spares a try for each of many.
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		switch err := f.Rename(path, false); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrExist):
			return "", err
		}
	}
}
