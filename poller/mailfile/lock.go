package mailfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/poller/dotlock"
)

// A mailbox has two locks, as Postfix local(8), Exim, procmail, mutt and Debian's
// policy (11.6) have them: a file beside it (package dotlock), which is made first,
// and a lock of fcntl(2). Who cannot have the second gives the first back before it
// tries again, so that nobody waits for ever who takes them the other way round.
//
// Where the folder may not be written there is only the second.

const lockTimeout = 30 * time.Second

// lock holds a mailbox.
type lock struct {
	file *os.File // the mailbox, opened
	path string
	dot  *dotlock.Lock // nil without
}

// LockError says that somebody else keeps a mailbox locked.
type LockError struct {
	Path string
	Who  string
	Wait time.Duration
}

func (e *LockError) Error() string {
	return fmt.Sprintf("lock %s: %s, since %v or longer", e.Path, e.Who, e.Wait.Round(time.Millisecond))
}

// takeLock locks a mailbox, for writing or for reading only.
func takeLock(ctx context.Context, path string, write bool, o Options) (*lock, error) {
	timeout := o.LockTimeout
	if timeout == 0 {
		timeout = lockTimeout
	}
	start := time.Now()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		l, who, err := tryLock(path, write, o)
		if l != nil || err != nil {
			return l, err
		}
		if waited := time.Since(start); waited >= timeout {
			return nil, &LockError{path, who, waited}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// tryLock locks a mailbox, or says who does.
func tryLock(path string, write bool, o Options) (l *lock, who string, err error) {
	l = &lock{path: path}
	if who, err = l.makeDot(o); who != "" || err != nil {
		return nil, who, err
	}
	mode, kind := os.O_RDONLY, int16(unix.F_RDLCK)
	if write {
		mode, kind = os.O_RDWR, unix.F_WRLCK
	}
	if l.file, err = openRegular(path, mode); err == nil {
		who, err = lockFile(l.file, kind)
	}
	if err == nil && who == "" && !l.current() {
		who = "it is replaced again and again"
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("lock: %w", err), l.release())
	}
	if who != "" {
		return nil, who, l.release()
	}
	return l, "", nil
}

// current reports whether the file that was opened still has the name.
func (l *lock) current() bool {
	opened, err := l.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(l.path)
	return err == nil && os.SameFile(opened, named)
}

// lockFile takes the lock of fcntl(2), or says who has it. It belongs to the open
// file (F_OFD_SETLK), not to the process: another file of ours that is closed must
// not end it. Both kinds respect each other.
func lockFile(f *os.File, kind int16) (who string, err error) {
	lk := unix.Flock_t{Type: kind, Whence: io.SeekStart}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
	if err != unix.EAGAIN && err != unix.EACCES {
		return "", err
	}
	who = "another program has it"
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk); err == nil && lk.Type != unix.F_UNLCK && lk.Pid > 0 {
		who = fmt.Sprintf("process %d has it", lk.Pid)
	}
	return who, nil
}

// makeDot makes the .lock, or says who has it. None can be made in a folder that
// may not be written.
func (l *lock) makeDot(o Options) (who string, err error) {
	l.dot, who, err = dotlock.Take(l.path, 0o644, o.note)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		o.note("%s cannot be made (%v): %s is locked by fcntl alone", dotlock.Path(l.path), cause(err), l.path)
		return "", nil
	}
	return who, err
}

// cause is an error of the file system without what was tried.
func cause(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// touch keeps the .lock from looking stale.
func (l *lock) touch() error {
	if l.dot == nil {
		return nil
	}
	return l.dot.Touch()
}

// release gives the mailbox back.
func (l *lock) release() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	if l.dot != nil {
		err = errors.Join(err, l.dot.Release())
	}
	return err
}

// keepOpen gives the mailbox back, and its file to read on.
func (l *lock) keepOpen() (*os.File, error) {
	file := l.file
	lk := unix.Flock_t{Type: unix.F_UNLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lk)
	l.file = nil
	if err = errors.Join(err, l.release()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
