package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/newfile"
)

// Put gives the file of a stamp the name to as well; what has that name already
// stays, and the error is fs.ErrExist. Where a file cannot have two such names,
// its copy gets it, which is made in directory tmp. The directory of the new name
// is not synced.
func Put(from string, want Stamp, to, tmp string) error {
	err := unix.Link(from, to)
	switch err {
	case nil:
		// from may have got another file just before.
		if err := Check(to, want); err != nil {
			return errors.Join(err, os.Remove(to))
		}
		return nil
	case unix.EXDEV, unix.EPERM, unix.EMLINK, unix.ENOTSUP, unix.ENOSYS:
		return copyTo(from, want, to, tmp)
	}
	return &os.LinkError{Op: "link", Old: from, New: to, Err: err}
}

func copyTo(from string, want Stamp, to, tmp string) error {
	source, err := Open(from, want)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := newfile.Create(tmp)
	if err != nil {
		return err
	}
	defer file.Discard()
	if _, err := io.Copy(file, source); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := own(file.Name(), from); err != nil {
		return err
	}
	if err := os.Chtimes(file.Name(), time.Time{}, want.Time()); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Rename(to, false)
}

// MakeDir makes a directory that belongs to whom another one belongs to. One
// that is there is no error.
func MakeDir(path, like string) error {
	err := os.Mkdir(path, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return own(path, like)
}

// MakeFile makes an empty file that belongs to whom a directory belongs to. One that
// is there is no error.
func MakeFile(path, like string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(own(path, like), file.Close())
}

// own gives path the owner and the permissions of like; a file none to execute.
// Only root can give what is not his own.
func own(path, like string) error {
	var stat unix.Stat_t
	if err := unix.Stat(like, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: like, Err: err}
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(path, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
	}
	mode := fs.FileMode(stat.Mode & 0o777)
	if info, err := os.Lstat(path); err != nil {
		return err
	} else if !info.IsDir() {
		mode &= 0o666
	}
	return os.Chmod(path, mode)
}

// SameBytes compares two files. One that cannot be read is like no other.
func SameBytes(a, b string) bool {
	files := [2]*os.File{}
	for i, path := range []string{a, b} {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return false
		}
		defer f.Close()
		files[i] = f
	}
	var blocks [2][32 << 10]byte
	for {
		n, errA := io.ReadFull(files[0], blocks[0][:])
		m, errB := io.ReadFull(files[1], blocks[1][:])
		if !bytes.Equal(blocks[0][:n], blocks[1][:m]) {
			return false
		}
		if errA != nil || errB != nil {
			atEnd := []error{io.EOF, io.ErrUnexpectedEOF}
			return slices.Contains(atEnd, errA) && slices.Contains(atEnd, errB)
		}
	}
}
