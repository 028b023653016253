package mailfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/newfile"
)

// rewrite writes the file anew with edits and gives it its name. Everything else
// stays byte for byte, what came since the mails were listed included.
func (f *folder) rewrite(l *lock, info fs.FileInfo, edits []Edit) error {
	if err := rewritable(l, info); err != nil {
		return err
	}
	out, err := newfile.Create(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer out.Discard()
	at := int64(0)
	for _, e := range append(edits, Edit{Start: info.Size()}) {
		if err := l.copy(out.File, at, e.Start); err != nil {
			return err
		}
		if _, err := out.Write(e.Text); err != nil {
			return err
		}
		at = e.End
	}
	if err := own(out.File, info); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return f.replace(l, info.Size(), out)
}

// own gives a file the owner and the permissions of another.
func own(f *os.File, like fs.FileInfo) error {
	want := like.Sys().(*syscall.Stat_t)
	is, err := f.Stat()
	if err != nil {
		return err
	}
	if got := is.Sys().(*syscall.Stat_t); got.Uid != want.Uid || got.Gid != want.Gid {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("keep its owner and group: %w", err)
		}
	}
	return unix.Fchmod(int(f.Fd()), want.Mode&0o7777)
}

// copy copies bytes of the mailbox.
func (l *lock) copy(to *os.File, start, end int64) error {
	const step = 64 << 20
	if _, err := l.file.Seek(start, io.SeekStart); err != nil {
		return err
	}
	for start < end {
		n, err := io.CopyN(to, l.file, min(step, end-start))
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		start += n
		if err := l.touch(); err != nil {
			return err
		}
	}
	return nil
}

// replace gives the new file its name. The lock goes over to it.
func (f *folder) replace(l *lock, size int64, out *newfile.File) error {
	next, err := os.OpenFile(out.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := lockFile(next, unix.F_WRLCK); err != nil {
		return errors.Join(err, next.Close())
	}
	before, err := openRegular(f.path, os.O_RDONLY)
	if err != nil {
		return errors.Join(err, next.Close())
	}
	defer before.Close()
	if !l.current() {
		return errors.Join(errors.New("somebody has replaced it in spite of the locks"), next.Close())
	}
	if err := out.Rename(f.path, true); err != nil {
		return errors.Join(err, next.Close())
	}
	// A program that waits for the lock of the file before gets it now.
	err = l.file.Close()
	l.file = next
	return errors.Join(err, newfile.Sync(filepath.Dir(f.path)), f.follow(l, before, size))
}

// lastWriter is how long a program that has the file before open for writing is
// waited for.
const lastWriter = 2 * time.Second

// follow brings over what is appended to the file that had the name before. Who
// makes a .lock does so before it opens the mailbox, and is not among them. But one
// who trusts in fcntl alone may have opened that file, and waits for our lock. A
// lease for reading (fcntl(2)) is given only when nobody has a file open for
// writing, and nobody can open one that has no name.
func (f *folder) follow(l *lock, before *os.File, size int64) error {
	start := time.Now()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		_, err := unix.FcntlInt(before.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		alone := err == nil
		if alone {
			_, err = unix.FcntlInt(before.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		}
		known := err == nil || err == unix.EAGAIN
		late := time.Since(start) > lastWriter || !known && time.Since(start) > lastWriter/10
		if alone || late {
			if !alone && known {
				f.o.note("a program keeps a former %s open for writing: what it writes there is in no mailbox", f.path)
			}
			return bringOver(l.file, before, size)
		}
		time.Sleep(wait)
	}
}

// bringOver appends what the file before has beyond size.
func bringOver(to, before *os.File, size int64) error {
	info, err := before.Stat()
	if err != nil || info.Size() <= size {
		return err
	}
	if _, err := to.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if _, err := io.Copy(to, io.NewSectionReader(before, size, info.Size()-size)); err != nil {
		return fmt.Errorf("bring over what came meanwhile: %w", err)
	}
	return to.Sync()
}
