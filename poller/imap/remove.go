package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mailrow/poller"
	"mailrow/poller/imap/client"
)

// together is how many mails one command changes: its line stays below the 8 kB
// that every server takes.
const together = 500

// Remove marks mails as \Deleted and expunges them. A server without UIDPLUS
// (RFC 4315) expunges all that is marked, whoever has marked it; if there is more
// than ours, ours are only marked, and the error is a *MarkedError.
func (f *Folder) Remove(ctx context.Context, entries []poller.Entry) error {
	return f.change(ctx, "remove mail from", entries, func(uids []uint32) error {
		return f.expunge(ctx, uids)
	})
}

// MarkSeen sets \Seen.
func (f *Folder) MarkSeen(ctx context.Context, entries []poller.Entry) error {
	return f.change(ctx, "mark mail as seen in", entries, func(uids []uint32) error {
		return f.conn.Store(ctx, client.Set(uids), `+FLAGS.SILENT (\Seen)`)
	})
}

// change does something to mails, some at a time.
func (f *Folder) change(ctx context.Context, what string, entries []poller.Entry, do func(uids []uint32) error) error {
	if len(entries) == 0 {
		return nil
	}
	if err := f.useToChange(ctx); err != nil {
		return err
	}
	uids, err := f.uids(entries)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(uids, together) {
		if err := do(some); err != nil {
			return f.fault(what, err)
		}
	}
	return nil
}

// MarkedError says that mails were marked as \Deleted and are still there.
type MarkedError struct {
	Count  int
	Others int // mails that somebody else has marked
}

func (e *MarkedError) Error() string {
	return fmt.Sprintf("%d mails are only marked \\Deleted: the server removes marked mails only all together (it has no UIDPLUS), and %d of them are not ours: they will go when somebody expunges the folder", e.Count, e.Others)
}

func (f *Folder) expunge(ctx context.Context, uids []uint32) error {
	c := f.conn
	set := client.Set(uids)
	const mark = `+FLAGS.SILENT (\Deleted)`
	if c.Has("UIDPLUS") {
		if err := c.Store(ctx, set, mark); err != nil {
			return err
		}
		return c.Do(ctx, client.NewCommand("UID EXPUNGE "+set))
	}
	if err := c.Store(ctx, set, mark); err != nil {
		return err
	}
	// Between this look and EXPUNGE there is one round trip.
	marked, err := c.Search(ctx, false, client.NewCommand(" DELETED"))
	if err != nil {
		return err
	}
	ours := 0
	for _, uid := range uids {
		if marked.Contains(uid) {
			ours++
		}
	}
	if others := marked.Count() - ours; others > 0 {
		return &MarkedError{ours, others}
	}
	return c.Do(ctx, client.NewCommand("EXPUNGE"))
}

// refused says whether the server has said no to a command, with one of codes
// where there are any.
func refused(err error, codes ...string) bool {
	var no *client.RefusedError
	return errors.As(err, &no) && (len(codes) == 0 || slices.Contains(codes, no.Code))
}
