// Package dotlock locks a mailbox by a file beside it with .lock after its name,
// as Postfix local(8), Exim, procmail, mutt, nmh and Debian's policy (11.6) do.
//
// Its law: the lock of another program is never broken before it is stale. Ours
// says which process made it; when that is known to have died, the lock is taken
// over at once.
package dotlock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// StaleAfter is how long nobody has touched the lock of a program that has died,
	// as Postfix has it (stale_lock_time).
	StaleAfter = 500 * time.Second

	touchEvery = time.Minute
	maxContent = 512
)

// Lock is a lock that we hold.
type Lock struct {
	path string
	made fs.FileInfo
	at   time.Time // when it was touched last
}

// Path is that of the lock of a mailbox.
func Path(mailbox string) string { return mailbox + ".lock" }

// Take makes the lock of a mailbox. It does not wait: who says why there is none
// now, and that it may be tried again; lock is nil then. The error is
// fs.ErrPermission or EROFS where no file can be made. note is told of a dead
// program's lock that was removed.
func Take(mailbox string, mode fs.FileMode, note func(format string, args ...any)) (lock *Lock, who string, err error) {
	l := &Lock{path: Path(mailbox), at: time.Now()}
	f, err := create(l.path, mode)
	if errors.Is(err, fs.ErrExist) {
		who, err = breakDead(l.path, note)
		return nil, who, err
	}
	if err != nil {
		return nil, "", fmt.Errorf("lock: %w", err)
	}
	l.made, err = f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, "", errors.Join(fmt.Errorf("lock: %w", err), os.Remove(l.path))
	}
	return l, "", nil
}

// create makes the file of a lock, with whose it is in it from the first moment: if we
// were killed in between, nobody could tell.
func create(path string, mode fs.FileMode) (*os.File, error) {
	fd, err := unix.Open(filepath.Dir(path), unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err != nil { // not every file system has files without a name: NFS has none
		return createEmpty(path, mode)
	}
	f := os.NewFile(uintptr(fd), path)
	if err = sign(f); err == nil {
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, fs.ErrExist):
		return nil, errors.Join(err, f.Close())
	}
	f.Close() // it is gone with this
	return createEmpty(path, mode)
}

// createEmpty makes the file first, and says then whose it is.
func createEmpty(path string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if err := sign(f); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// sign says whose a lock is. On a full disk an empty file locks as well.
func sign(f *os.File) error {
	_, err := io.WriteString(f, self())
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = f.Truncate(0)
	}
	return err
}

// breakDead removes the lock of a program that has died. Until that is certain it
// says who has it.
func breakDead(path string, note func(string, ...any)) (who string, err error) {
	const givenBack = "somebody has just given it back"
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return givenBack, nil
	}
	text := ""
	if err == nil {
		defer f.Close()
		// Of several that would remove it one does, and none removes the next lock.
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK {
			return "somebody is removing a dead program's lock", nil
		}
		text = content(f)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return givenBack, nil
	case err != nil:
		return "", fmt.Errorf("lock: %w", err)
	}
	if f != nil {
		if opened, err := f.Stat(); err != nil || !os.SameFile(opened, info) {
			return "somebody has just made it", nil
		}
	}
	made := info.ModTime().Format(time.RFC3339)
	owner := parse(text)
	dead, alive := false, false
	if owner != nil {
		dead, alive = owner.state()
	}
	switch {
	case dead:
		note("%s is of process %d of mailrow, which has died: it is removed", path, owner.pid)
	case time.Since(info.ModTime()) >= StaleAfter && !alive:
		note("%s is of %s: whoever made it has died, it is removed", path, made)
	case owner != nil:
		return fmt.Sprintf("%s is there, made %s by process %d of mailrow", path, made, owner.pid), nil
	default:
		return fmt.Sprintf("%s is there, made %s", path, made), nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("lock: remove old %s: %w", path, err)
	}
	return "a dead program's lock was just removed", nil
}

// content reads a lock; "" where it is no regular file.
func content(f *os.File) string {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text := make([]byte, maxContent)
	n, _ := f.ReadAt(text, 0)
	return string(text[:n])
}

// Touch keeps the lock from looking stale. It may be called as often as one likes.
func (l *Lock) Touch() error {
	if time.Since(l.at) < touchEvery {
		return nil
	}
	l.at = time.Now()
	return os.Chtimes(l.path, l.at, l.at)
}

// Release gives the mailbox back. What has become another's lock stays.
func (l *Lock) Release() error {
	if info, err := os.Lstat(l.path); err != nil || !os.SameFile(info, l.made) {
		return nil
	}
	return os.Remove(l.path)
}
