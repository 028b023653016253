// Package files is what Maildir and MH share: folders of files that are one mail
// each, which other programs rename and remove while we look.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Stamp tells a file from any other, and from itself before it was written to.
// Its name is no part of it: that changes.
type Stamp struct {
	Dev, Inode uint64
	Size       int64
	Modified   int64 // in nanoseconds since 1970
}

// Time is when the file was written: what Dovecot gives as INTERNALDATE.
func (s Stamp) Time() time.Time { return time.Unix(0, s.Modified) }

// On says whether the file is in the file system of a directory.
func (s Stamp) On(dir string) (bool, error) {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return false, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return uint64(stat.Dev) == s.Dev, nil
}

var (
	// ErrOther says that a name is another file's than it was.
	ErrOther = errors.New("another file has its name")

	// ErrIrregular says that a name is not a regular file's. A symbolic link is
	// none: in another user's mailbox it may point to what he must not read.
	ErrIrregular = errors.New("not a regular file")
)

// Lstat gives the stamp of a regular file, and the number of its names.
func Lstat(path string) (s Stamp, links uint64, err error) {
	var stat unix.Stat_t
	for {
		if err = unix.Lstat(path, &stat); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return Stamp{}, 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	s, err = stamp(&stat)
	if err != nil {
		return Stamp{}, 0, fmt.Errorf("%s: %w", path, err)
	}
	return s, uint64(stat.Nlink), nil
}

func stamp(stat *unix.Stat_t) (Stamp, error) {
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return Stamp{}, ErrIrregular
	}
	return Stamp{Dev: uint64(stat.Dev), Inode: stat.Ino, Size: stat.Size, Modified: stat.Mtim.Nano()}, nil
}

func fstat(f *os.File) (Stamp, error) {
	var stat unix.Stat_t
	raw, err := f.SyscallConn()
	if err != nil {
		return Stamp{}, err
	}
	var statErr error
	if err := raw.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &stat) }); err != nil {
		return Stamp{}, err
	}
	if statErr != nil {
		return Stamp{}, statErr
	}
	return stamp(&stat)
}

// Check says with ErrOther that path is not the file of the stamp.
func Check(path string, want Stamp) error {
	switch got, _, err := Lstat(path); {
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("%s: %w", path, ErrOther)
	}
	return nil
}
