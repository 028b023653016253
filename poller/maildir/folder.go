package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailrow/internal/maildirname"
	"mailrow/poller"
	"mailrow/poller/files"
)

// folder is one Maildir.
type folder struct {
	source    *source
	name      string
	path      string
	separator byte
	keywords  [26]string
	watcher   *files.Watcher

	// names are those that were found last, sorted, and state how new and cur were then.
	names []name
	state files.State
}

func (s *source) open(title, path string) (*folder, error) {
	f := &folder{source: s, name: title, path: path, separator: s.options.Separator}
	watcher, err := files.NewWatcher(f.subs()...)
	if err != nil {
		return nil, fmt.Errorf("open folder %q: %w", title, err)
	}
	f.watcher = watcher
	for _, sub := range f.subs() { // that it may be read is not seen by looking
		if dir, err := os.Open(sub); err == nil {
			_ = dir.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open folder %q: %w", title, err)
		}
	}
	return f, nil
}

func (f *folder) subs() []string {
	return []string{filepath.Join(f.path, "new"), filepath.Join(f.path, "cur")}
}

func (f *folder) file(n name) string {
	if n.cur {
		return f.path + "/cur/" + n.file
	}
	return f.path + "/new/" + n.file
}

// read reads the names. It says whether they held still.
func (f *folder) read() (still bool, err error) {
	var names []name // a listing may still be at those of before
	state, still, err := files.Still(func() error {
		names = names[:0]
		// new first: what moves to cur meanwhile is met twice, not never.
		for i, sub := range f.subs() {
			err := files.Names(sub, func(file string) {
				if !strings.HasPrefix(file, ".") {
					names = append(names, parse(file, i == 1))
				}
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}, f.subs()...)
	if err != nil {
		return false, err
	}
	slices.SortFunc(names, byArrival)
	f.names, f.state = names, state
	return still, nil
}

// place is where a mail is. Another of its names, and its copies, are there after
// a crash in the middle of a move.
type place struct {
	stamp files.Stamp
	name  name
	twins []place
}

func (f *folder) List(ctx context.Context, since string) (*poller.Listing, error) {
	state, err := files.Look(f.subs()...)
	if err != nil {
		return nil, fmt.Errorf("list folder %q: %w", f.name, err)
	}
	listing := &poller.Listing{Revision: state.Revision()}
	if since != "" && since == listing.Revision {
		listing.Partial = true
		listing.Entries = func(func(poller.Entry, error) bool) {}
		return listing, nil
	}
	still, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("list folder %q: %w", f.name, err)
	}
	listing.Revision, listing.Partial = f.state.Revision(), !still
	if err := f.readKeywords(); err != nil {
		return nil, fmt.Errorf("list folder %q: %w", f.name, err)
	}
	f.learnSeparator()
	listing.Entries = f.entries(ctx, listing, f.names)
	return listing, nil
}

// entries gives the mails of names. Those whose names are there no more come last,
// if they have others now.
func (f *folder) entries(ctx context.Context, listing *poller.Listing, names []name) iter.Seq2[poller.Entry, error] {
	return func(yield func(poller.Entry, error) bool) {
		var missed []string
		for len(names) > 0 {
			if err := ctx.Err(); err != nil {
				yield(poller.Entry{}, err)
				return
			}
			one := sameMail(names)
			names = names[len(one):]
			mails, gone, err := f.mails(one)
			if err != nil {
				yield(poller.Entry{}, fmt.Errorf("list folder %q: %w", f.name, err))
				return
			}
			if gone {
				missed = append(missed, one[0].id())
				continue
			}
			if !each(mails, yield) {
				return
			}
		}
		f.again(listing, missed, yield)
	}
}

func each(mails []poller.Entry, yield func(poller.Entry, error) bool) bool {
	return !slices.ContainsFunc(mails, func(e poller.Entry) bool { return !yield(e, nil) })
}

// again gives mails whose names changed while they were listed.
func (f *folder) again(listing *poller.Listing, missed []string, yield func(poller.Entry, error) bool) {
	for range 3 {
		if len(missed) == 0 {
			return
		}
		still, err := f.read()
		if err != nil {
			yield(poller.Entry{}, fmt.Errorf("list folder %q: %w", f.name, err))
			return
		}
		listing.Partial = listing.Partial || !still
		var more []string
		for _, unique := range missed {
			mails, gone, err := f.mails(f.find(unique))
			if err != nil {
				yield(poller.Entry{}, fmt.Errorf("list folder %q: %w", f.name, err))
				return
			}
			if gone {
				more = append(more, unique)
			} else if !each(mails, yield) {
				return
			}
		}
		missed = more
	}
	listing.Partial = listing.Partial || len(missed) > 0
}

// sameMail gives those names at the beginning of a sorted list that have the
// unique part of the first.
func sameMail(names []name) []name {
	for i, n := range names {
		if n.id() != names[0].id() {
			return names[:i]
		}
	}
	return names
}

// find gives the names with a unique part.
func (f *folder) find(unique string) []name {
	at, found := slices.BinarySearchFunc(f.names, parse(unique, false), func(n, want name) int {
		return cmp.Or(cmp.Compare(n.digits, want.digits), cmp.Compare(n.id(), unique))
	})
	if !found {
		return nil
	}
	return sameMail(f.names[at:])
}

// mails gives the mails that names of one unique part are of: usually one. gone
// says that not all of the names are there any more.
func (f *folder) mails(names []name) (entries []poller.Entry, gone bool, err error) {
	places := make([]place, 0, 1)
	for _, n := range names {
		stamp, _, err := files.Lstat(f.file(n))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = true
			continue
		case errors.Is(err, files.ErrIrregular):
			continue
		case err != nil:
			return nil, false, err
		}
		this := place{stamp: stamp, name: n}
		if i := slices.IndexFunc(places, func(other place) bool { return f.sameBytes(this, other) }); i >= 0 {
			places[i].twins = append(places[i].twins, this)
			continue
		}
		places = append(places, this)
	}
	if gone {
		return nil, true, nil
	}
	entries = make([]poller.Entry, len(places))
	for i, p := range places {
		entries[i] = f.entry(p, places)
	}
	return entries, false, nil
}

func (f *folder) sameBytes(a, b place) bool {
	return a.stamp.Size == b.stamp.Size &&
		(a.stamp == b.stamp || files.SameBytes(f.file(a.name), f.file(b.name)))
}

// entry describes the mail at a place; all are the places of its unique part.
func (f *folder) entry(p place, all []place) poller.Entry {
	// Size and time belong to the id: a file that was written anew is another mail.
	id := maildirname.Text(p.name.id()) + ",S=" + strconv.FormatInt(p.stamp.Size, 10) +
		",T=" + strconv.FormatInt(p.stamp.Modified, 36)
	for _, other := range all {
		if other.stamp != p.stamp && other.stamp.Size == p.stamp.Size {
			id += ",I=" + strconv.FormatUint(p.stamp.Inode, 10) // no program names its files so
			break
		}
	}
	return poller.Entry{
		ID:         id,
		Size:       p.stamp.Size,
		Flags:      f.flags(p.name),
		ReceivedAt: p.stamp.Time(),
		Place:      p,
	}
}

// current gives the name that a listed mail has now. Its error is poller.ErrGone
// when there is none.
func (f *folder) current(p place) (name, error) {
	if err := files.Check(f.file(p.name), p.stamp); err == nil || !lost(err) {
		return p.name, err
	}
	if n, found := f.search(p); found {
		return n, nil
	}
	for range 3 {
		now, err := files.Look(f.subs()...)
		if err != nil {
			return name{}, &poller.BrokenError{Err: err}
		}
		still := now.Same(f.state) && now.Settled()
		if !still {
			if still, err = f.read(); err != nil {
				return name{}, &poller.BrokenError{Err: err}
			}
			if n, found := f.search(p); found {
				return n, nil
			}
		}
		if still {
			return name{}, fmt.Errorf("mail %s of folder %q: %w", p.name.id(), f.name, poller.ErrGone)
		}
	}
	return name{}, fmt.Errorf("mail %s of folder %q: its name changes too often to be found", p.name.id(), f.name)
}

// search looks for a mail among the names that were read last.
func (f *folder) search(p place) (n name, found bool) {
	for _, n := range f.find(p.name.id()) {
		if files.Check(f.file(n), p.stamp) == nil {
			return n, true
		}
	}
	return name{}, false
}

// lost says that a name is not there any more, or is another file's.
func lost(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrOther) || errors.Is(err, files.ErrIrregular)
}

func (f *folder) Open(_ context.Context, e poller.Entry) (io.ReadCloser, error) {
	p := e.Place.(place)
	r, err := files.Open(f.file(p.name), p.stamp)
	if err == nil || !lost(err) {
		return r, err
	}
	for range 3 { // it may be renamed again and again
		n, err := f.current(p)
		if err != nil {
			return nil, err
		}
		if r, err = files.Open(f.file(n), p.stamp); err == nil || !lost(err) {
			return r, err
		}
	}
	return nil, fmt.Errorf("mail %s of folder %q: its name changes too often to read it", p.name.id(), f.name)
}

func (f *folder) Wait(ctx context.Context) error { return f.watcher.Wait(ctx) }

func (f *folder) Close() error { return f.watcher.Close() }
