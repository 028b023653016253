package mh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/poller/dotlock"
	"mailrow/poller/files"
)

// patience is for how long a lock of another program is waited for. Theirs last
// for milliseconds.
const (
	patience = 10 * time.Second
	between  = 20 * time.Millisecond
)

// errLocked says that another program holds a lock for too long.
var errLocked = errors.New("locked by another program: if none runs, remove the lock")

// readMarks reads the sequences of a folder, not in the middle of a change where
// that can be known.
func readMarks(ctx context.Context, path string) (marks, error) {
	file, err := openSequences(path, os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer file.Close()
	// Flags that may be wrong are better than no mail.
	if err := lockFile(ctx, file, unix.F_RDLCK); err != nil && ctx.Err() != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	return parseMarks(string(text)), err
}

func openSequences(path string, mode int) (*os.File, error) {
	file, err := files.OpenRegular(path, mode|unix.O_NOFOLLOW)
	if errors.Is(err, files.ErrIrregular) || errors.Is(err, unix.ELOOP) {
		err = fmt.Errorf("%w: remove it: MH programs keep there what was read", err)
	}
	return file, err
}

// change rewrites the sequences of a folder under both locks that programs know:
// of the file itself, and beside it. It writes in place, as they do: who waits for
// the lock of the file would otherwise write to what was replaced. A file that is
// missing stays so.
func change(ctx context.Context, path string, edit func(text string) string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	file, err := openSequences(path, os.O_RDWR)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	defer file.Close()
	beside, err := lockBeside(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, beside.Release()) }()
	if err := lockFile(ctx, file, unix.F_WRLCK); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("change %s: replaced meanwhile: %w", path, errLocked)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	return rewrite(file, string(text), edit(string(text)))
}

// rewrite writes in one call, so that a crash of this program leaves the old text
// or the new one. Room for what is longer is taken before: where there is none, the
// old text stays.
func rewrite(file *os.File, old, text string) error {
	if text == old {
		return nil
	}
	shorter, longer := max(0, len(old)-len(text)), max(0, len(text)-len(old))
	if _, err := file.WriteAt([]byte(blank(longer)), int64(len(old))); err != nil {
		return errors.Join(err, file.Truncate(int64(len(old))))
	}
	if _, err := file.WriteAt([]byte(text+blank(shorter)), 0); err != nil {
		_, back := file.WriteAt([]byte(old), 0) // a file system that never writes in place
		return errors.Join(err, back, file.Truncate(int64(len(old))))
	}
	if err := file.Truncate(int64(len(text))); err != nil {
		return err
	}
	return file.Sync()
}

// blank is so many empty lines, which mean nothing.
func blank(n int) string { return strings.Repeat("\n", n) }

// lockFile locks by fcntl, as nmh does, but for this open file: a lock of the
// process would end when it closes the file anywhere else.
func lockFile(ctx context.Context, file *os.File, how int16) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: how})
		if err != unix.EAGAIN && err != unix.EACCES {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// lockBeside makes the file .mh_sequences.lock.
func lockBeside(ctx context.Context, path string) (*dotlock.Lock, error) {
	for {
		lock, who, err := dotlock.Take(path, 0o600, func(string, ...any) {})
		if lock != nil || err != nil {
			return lock, err
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("lock %s: %s: %w", path, who, err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return errors.Join(errLocked, ctx.Err())
	case <-time.After(between):
		return nil
	}
}
