package mh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailrow/poller"
	"mailrow/poller/files"
)

// folder is one directory.
type folder struct {
	name    string
	path    string
	source  *source
	watcher *files.Watcher

	// again is when files that were being written are to be looked at again.
	again time.Time

	// places are where the files were when they were last looked for, and state
	// how the directory was then.
	places map[files.Stamp]string
	state  files.State
}

// place is a file and the number that it had when it was listed.
type place struct {
	number string
	stamp  files.Stamp
}

func (s *source) open(name, path string) (*folder, error) {
	f := &folder{source: s, name: name, path: path}
	watcher, err := files.NewWatcher(path)
	if err != nil {
		return nil, fmt.Errorf("open MH folder %q: %w", name, err)
	}
	f.watcher = watcher
	dir, err := os.Open(path) // that it may be read is not seen by looking
	if err != nil {
		return nil, fmt.Errorf("open MH folder %q: %w", name, err)
	}
	return f, dir.Close()
}

func (f *folder) file(number string) string { return f.path + "/" + number }

// id names a mail by its file. It outlives packing and sorting, which rename, and
// a file that is written to is another mail. Restored from a backup all mails are
// new, and the store finds that it has their bytes.
func (p place) id() string {
	return strconv.FormatUint(p.stamp.Inode, 10) + "." + strconv.FormatInt(p.stamp.Modified, 36) + "." +
		strconv.FormatInt(p.stamp.Size, 10)
}

// numbers reads the names of mails, in their order. It says whether the directory
// held still.
func (f *folder) numbers() (numbers []string, state files.State, still bool, err error) {
	state, still, err = files.Still(func() error {
		numbers = numbers[:0]
		return files.Names(f.path, func(name string) {
			if isNumber(name) {
				numbers = append(numbers, name)
			}
		})
	}, f.path)
	slices.SortFunc(numbers, byNumber)
	return numbers, state, still, err
}

func byNumber(a, b string) int {
	shortA, shortB := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(shortA), len(shortB)), cmp.Compare(shortA, shortB), cmp.Compare(a, b))
}

func (f *folder) List(ctx context.Context, since string) (*poller.Listing, error) {
	state, err := files.Look(f.path)
	if err != nil {
		return nil, fmt.Errorf("list MH folder %q: %w", f.name, err)
	}
	listing := &poller.Listing{Revision: state.Revision()}
	if since != "" && since == listing.Revision {
		listing.Partial = true
		listing.Entries = func(func(poller.Entry, error) bool) {}
		return listing, nil
	}
	numbers, state, still, err := f.numbers()
	if err != nil {
		return nil, fmt.Errorf("list MH folder %q: %w", f.name, err)
	}
	marks, err := readMarks(ctx, f.file(sequences))
	if err != nil {
		return nil, fmt.Errorf("list MH folder %q: %w", f.name, err)
	}
	listing.Revision, listing.Partial = state.Revision(), !still
	f.again = time.Time{}
	listing.Entries = f.entries(ctx, listing, numbers, marks, state)
	return listing, nil
}

func (f *folder) entries(ctx context.Context, listing *poller.Listing, numbers []string, marks marks, state files.State) iter.Seq2[poller.Entry, error] {
	return func(yield func(poller.Entry, error) bool) {
		for _, number := range numbers {
			if err := ctx.Err(); err != nil {
				yield(poller.Entry{}, err)
				return
			}
			stamp, _, err := files.Lstat(f.file(number))
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, files.ErrIrregular):
				continue
			case err != nil:
				yield(poller.Entry{}, fmt.Errorf("list MH folder %q: %w", f.name, err))
				return
			}
			if !isWhole(f.file(number), stamp) {
				listing.Revision, listing.Partial = "", true
				f.again = time.Now().Add(quiet)
				continue
			}
			p := place{number, stamp}
			entry := poller.Entry{
				ID: p.id(), Size: stamp.Size, Flags: marks.flags(number), ReceivedAt: stamp.Time(), Place: p,
			}
			if !yield(entry, nil) {
				return
			}
		}
		// A mail that got a number that had been listed was not met.
		after, err := files.Look(f.path)
		listing.Partial = listing.Partial || err != nil || !after.Same(state)
	}
}

// current gives the number that a listed mail has now. Its error is poller.ErrGone
// when it has none.
func (f *folder) current(p place) (string, error) {
	if err := files.Check(f.file(p.number), p.stamp); err == nil || !lost(err) {
		return p.number, err
	}
	if number, is := f.places[p.stamp]; is && files.Check(f.file(number), p.stamp) == nil {
		return number, nil
	}
	now, err := files.Look(f.path)
	if err != nil {
		return "", &poller.BrokenError{Err: err}
	}
	if f.places != nil && now.Same(f.state) && now.Settled() {
		return "", f.gone(p)
	}
	numbers, now, still, err := f.numbers()
	if err != nil {
		return "", &poller.BrokenError{Err: err}
	}
	f.places, f.state = make(map[files.Stamp]string, len(numbers)), now
	for _, number := range numbers {
		if stamp, _, err := files.Lstat(f.file(number)); err == nil {
			f.places[stamp] = number
		}
	}
	after, err := files.Look(f.path)
	number, found := f.places[p.stamp]
	switch {
	case err != nil:
		return "", &poller.BrokenError{Err: err}
	case found:
		return number, nil
	case !still || !after.Same(now):
		return "", fmt.Errorf("mail %s of MH folder %q: numbers change too often to find it", p.number, f.name)
	}
	return "", f.gone(p)
}

func (f *folder) gone(p place) error {
	return fmt.Errorf("mail %s of MH folder %q: %w", p.number, f.name, poller.ErrGone)
}

// lost says that a number is nobody's any more, or another file's.
func lost(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrOther) || errors.Is(err, files.ErrIrregular)
}

func (f *folder) Open(_ context.Context, e poller.Entry) (io.ReadCloser, error) {
	p := e.Place.(place)
	r, err := files.Open(f.file(p.number), p.stamp)
	if err == nil || !lost(err) {
		return r, err
	}
	for range 3 { // it may be renamed again and again
		number, err := f.current(p)
		if err != nil {
			return nil, err
		}
		if r, err = files.Open(f.file(number), p.stamp); err == nil || !lost(err) {
			return r, err
		}
	}
	return nil, fmt.Errorf("mail %s of MH folder %q: its number changes too often to read it", p.number, f.name)
}

// Wait also returns when a file that was being written may be whole.
func (f *folder) Wait(ctx context.Context) error { return f.watcher.WaitUntil(ctx, f.again) }

func (f *folder) Close() error { return f.watcher.Close() }
