package mh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"mailrow/internal/newfile"
	"mailrow/poller"
	"mailrow/poller/files"
)

func (f *folder) Remove(ctx context.Context, entries []poller.Entry) error {
	places := make([]place, len(entries))
	for i, entry := range entries {
		places[i] = entry.Place.(place)
	}
	if err := f.remove(ctx, places); err != nil {
		return fmt.Errorf("remove mails from MH folder %q: %w", f.name, err)
	}
	return nil
}

func (f *folder) remove(ctx context.Context, places []place) (err error) {
	var removed []uint64
	for _, p := range places {
		if err = ctx.Err(); err != nil {
			break
		}
		var number string
		number, err = f.removeOne(p)
		if err != nil && !errors.Is(err, poller.ErrGone) {
			break
		}
		if n, parseErr := strconv.ParseUint(number, 10, 64); err == nil && parseErr == nil {
			removed = append(removed, n)
		}
		err = nil
	}
	err = errors.Join(err, newfile.Sync(f.path))
	if len(removed) == 0 {
		return err
	}
	// Or the next mail of that number would be flagged.
	return errors.Join(err, change(ctx, f.file(sequences), func(text string) string {
		return drop(text, removed, func(sequence string) bool { return sequence != "cur" })
	}))
}

// removeOne first takes the number away from the file, as rmm does, and then looks
// which file that was: between a look and a removal it could become another's. A
// crash in between leaves what MH holds for a removed mail.
func (f *folder) removeOne(p place) (number string, err error) {
	for range 3 {
		if number, err = f.current(p); err != nil {
			return "", err
		}
		aside := f.file(fmt.Sprintf(",%s.%d", number, time.Now().UnixNano()))
		switch err = newfile.RenameKeeping(f.file(number), aside); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", err
		}
		err = files.Check(aside, p.stamp)
		if err == nil {
			return number, os.Remove(aside)
		}
		if backErr := f.putBack(aside, number); backErr != nil {
			return "", errors.Join(err, backErr)
		}
	}
	return "", err
}

// putBack gives a file its number again, or the next that is free.
func (f *folder) putBack(aside, number string) error {
	for {
		err := newfile.RenameKeeping(aside, f.file(number))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		next, err := f.nextNumber()
		if err != nil {
			return fmt.Errorf("%s is a mail: give it a number: %w", aside, err)
		}
		number = strconv.FormatUint(next, 10)
	}
}

// nextNumber is above all that are there.
func (f *folder) nextNumber() (uint64, error) {
	var highest uint64
	err := files.Names(f.path, func(name string) {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil {
			highest = max(highest, n)
		}
	})
	return highest + 1, err
}

// MarkSeen takes mails out of the sequence of those that were not read.
func (f *folder) MarkSeen(ctx context.Context, entries []poller.Entry) error {
	var failed error
	err := change(ctx, f.file(sequences), func(text string) string {
		var numbers []uint64
		for _, entry := range entries {
			number, err := f.current(entry.Place.(place))
			if err == nil {
				var n uint64
				n, err = strconv.ParseUint(number, 10, 64)
				numbers = append(numbers, n)
			}
			if err != nil && !errors.Is(err, poller.ErrGone) {
				failed = err
				return text
			}
		}
		return drop(text, numbers, func(sequence string) bool { return sequence == unseen })
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("mark mails of MH folder %q as seen: %w", f.name, err)
	}
	return nil
}

// Archive gives mails a number in the other folder, syncs that, and only then
// takes the old one away.
func (f *folder) Archive(ctx context.Context, entries []poller.Entry, to string) error {
	archive, err := f.source.makeFolder(to)
	if err != nil {
		return err
	}
	if archive.path == f.path {
		return fmt.Errorf("archive mails of MH folder %q: it is the archive itself: %w", f.name, fs.ErrInvalid)
	}
	moved, err := f.putInto(ctx, archive, entries)
	if syncErr := newfile.Sync(archive.path); syncErr != nil {
		return fmt.Errorf("archive mails of MH folder %q: %w", f.name, errors.Join(err, syncErr))
	}
	if err := errors.Join(err, f.remove(ctx, moved)); err != nil {
		return fmt.Errorf("archive mails of MH folder %q: %w", f.name, err)
	}
	return nil
}

// putInto gives each mail a number in the archive.
func (f *folder) putInto(ctx context.Context, archive *folder, entries []poller.Entry) (moved []place, err error) {
	next, err := archive.nextNumber()
	if err != nil {
		return nil, err
	}
	there := &shelf{folder: archive}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return moved, err
		}
		p := entry.Place.(place)
		for range 3 {
			var number string
			if number, err = f.current(p); err != nil {
				break
			}
			if next, err = there.take(f.file(number), p.stamp, next); err == nil || !lost(err) {
				break
			}
		}
		switch {
		case errors.Is(err, poller.ErrGone):
		case err != nil:
			return moved, err
		default:
			moved = append(moved, p)
		}
	}
	return moved, nil
}

// shelf is an archive, and what was there before.
type shelf struct {
	folder *folder
	mails  map[[2]int64][]string // by size and time, which a copy keeps
}

// take gives the file of a stamp the next number that is free, unless an attempt
// that broke off has left it here.
func (s *shelf) take(path string, stamp files.Stamp, next uint64) (uint64, error) {
	_, links, err := files.Lstat(path)
	if err != nil {
		return next, err
	}
	near, err := stamp.On(s.folder.path)
	if err != nil {
		return next, err
	}
	if links > 1 || !near {
		if holds, err := s.holds(path, stamp); holds || err != nil {
			return next, err
		}
	}
	for ; ; next++ {
		err := files.Put(path, stamp, s.folder.file(strconv.FormatUint(next, 10)), s.folder.path)
		if !errors.Is(err, fs.ErrExist) {
			return next, err
		}
	}
}

func (s *shelf) holds(path string, stamp files.Stamp) (bool, error) {
	if s.mails == nil {
		numbers, _, _, err := s.folder.numbers()
		if err != nil {
			return false, err
		}
		s.mails = make(map[[2]int64][]string, len(numbers))
		for _, number := range numbers {
			if there, _, err := files.Lstat(s.folder.file(number)); err == nil {
				key := [2]int64{there.Size, there.Modified}
				s.mails[key] = append(s.mails[key], s.folder.file(number))
			}
		}
	}
	for _, other := range s.mails[[2]int64{stamp.Size, stamp.Modified}] {
		if files.Check(other, stamp) == nil || files.SameBytes(path, other) {
			return true, nil
		}
	}
	return false, nil
}
