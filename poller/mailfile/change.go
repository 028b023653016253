package mailfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"mailrow/poller"
	"mailrow/poller/identity"
)

// Remove removes mails. Those that are the end of the file are cut off, which is
// done at once or not at all, whatever happens; where no .lock can be made, under
// the lock of fcntl alone, which Debian's policy demands of every program. For
// others the file is written anew beside itself and renamed; where its folder may
// not be written that is refused, since a file that is rewritten in place is lost
// by a crash.
func (f *folder) Remove(ctx context.Context, entries []poller.Entry) error {
	err := f.change(ctx, entries, func(_ *os.File, p place) (*Edit, error) {
		return &Edit{Start: p.start, End: p.end}, nil
	})
	if err != nil {
		return fmt.Errorf("remove mail from %s: %w", f.path, err)
	}
	return nil
}

// MarkSeen writes the flag into the mails. Their ids stay what they were.
func (f *folder) MarkSeen(ctx context.Context, entries []poller.Entry) error {
	err := f.change(ctx, entries, func(file *os.File, p place) (*Edit, error) {
		head := make([]byte, min(p.end-p.start, identity.MaxHeader))
		if _, err := file.ReadAt(head, p.start); err != nil {
			return nil, err
		}
		edit := f.form.Seen(head)
		if edit == nil {
			return nil, nil
		}
		return &Edit{p.start + edit.Start, p.start + edit.End, edit.Text}, nil
	})
	if err != nil {
		return fmt.Errorf("mark mail of %s as seen: %w", f.path, err)
	}
	return nil
}

// change makes an edit of each mail that is still there, under both locks.
func (f *folder) change(ctx context.Context, entries []poller.Entry, edit func(*os.File, place) (*Edit, error)) (err error) {
	if len(entries) == 0 {
		return nil
	}
	l, err := takeLock(ctx, f.path, true, f.o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	places, err := f.locate(ctx, l.file, entries)
	if err != nil {
		return err
	}
	var edits []Edit
	for _, p := range places {
		e, err := edit(l.file, p)
		if err != nil {
			return err
		}
		if e != nil {
			edits = append(edits, *e)
		}
	}
	if len(edits) == 0 {
		return nil
	}
	return f.apply(l, edits)
}

// locate gives the places of those mails that are there, in their order, each
// compared with its id. Of several that are the same it takes as many as asked
// for.
func (f *folder) locate(ctx context.Context, file *os.File, entries []poller.Entry) ([]place, error) {
	var places []place
	taken := map[place]bool{}
	take := func(p place) {
		taken[p] = true
		places = append(places, p)
	}
	elsewhere := map[string]int{}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := e.Place.(place)
		there := !taken[p] && (p.end == info.Size() || p.end < info.Size() && f.begins(file, p.end))
		if there {
			if there, err = f.compare(file, p, e.ID); err != nil {
				return nil, err
			}
		}
		if there {
			take(p)
		} else {
			elsewhere[e.ID]++
		}
	}
	if len(elsewhere) > 0 {
		for entry, err := range f.all(ctx, file, info.Size()) {
			if err != nil {
				return nil, err
			}
			if p := entry.Place.(place); elsewhere[entry.ID] > 0 && !taken[p] {
				elsewhere[entry.ID]--
				take(p)
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.start, b.start) })
	return places, nil
}

// apply makes edits, which are in order.
func (f *folder) apply(l *lock, edits []Edit) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	kept, end := int64(0), info.Size()
	rest := len(edits)
	for ; rest > 0 && edits[rest-1].End == end && edits[rest-1].Text == nil; rest-- {
		end = edits[rest-1].Start
	}
	for _, e := range edits {
		if e.Start < kept || e.End < e.Start || e.End > info.Size() {
			return fmt.Errorf("two mails at byte %d: the file is not what it was", e.Start)
		}
		kept = e.End
	}
	if rest > 0 {
		return f.rewrite(l, info, edits)
	}
	if err := l.file.Truncate(end); err != nil {
		return err
	}
	return l.file.Sync()
}

// rewritable says why a file cannot be written anew beside itself.
func rewritable(l *lock, info fs.FileInfo) error {
	switch {
	case l.dot == nil:
		return fmt.Errorf("its folder may not be written, and to rewrite it in place could lose it: "+
			"remove all mails at once, or run this as a user who may (on Debian: of group mail): %w", fs.ErrPermission)
	case info.Sys().(*syscall.Stat_t).Nlink > 1:
		return errors.New("it has more than one name (hard links), of which only one would get what is new: remove the others")
	}
	return nil
}
