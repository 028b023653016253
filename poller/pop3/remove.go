package pop3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailrow/poller"
	"mailrow/poller/pop3/client"
)

// Remove removes mails and ends the session, for only then they are gone. It looks
// for them in a new session where that of their listing was lost: it may have
// taken long to store them.
func (f *Folder) Remove(ctx context.Context, entries []poller.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	marked, refused, err := f.mark(ctx, entries)
	if err != nil || marked == 0 {
		return err
	}
	s := f.s
	err = s.conn.Quit(ctx)
	s.drop = nil
	var notAll *client.RefusedError
	switch {
	case err == nil && refused == nil:
		return nil
	case err == nil:
		notAll = refused
	case !errors.As(err, &notAll):
		return &poller.BrokenError{Err: fmt.Errorf("remove mail from %s: the server has not said whether it is gone: %w", &s.conf.Server, err)}
	}
	// It may be gone all the same, by somebody else.
	left, err := f.find(ctx, entries)
	if err == nil && len(left) == 0 {
		return nil
	}
	return errors.Join(fmt.Errorf("remove mail from %s: %d of %d mails are still there: %w", &s.conf.Server, len(left), marked, notAll), err)
}

// mark marks mails for removal, and says how many there are. A server may have hung
// up while they were stored, which is seen only now: then it is done in a new
// session.
func (f *Folder) mark(ctx context.Context, entries []poller.Entry) (count int, refused *client.RefusedError, err error) {
	numbers, err := f.numbers(ctx, entries)
	for again := false; err == nil && len(numbers) > 0; again = true {
		refused, err = f.s.conn.Delete(ctx, numbers)
		if err == nil {
			return len(numbers), refused, nil
		}
		if again || ctx.Err() != nil {
			return 0, nil, f.s.fault("remove mail from", err)
		}
		numbers, err = f.find(ctx, entries)
	}
	return 0, nil, err
}

// numbers are those of entries in the session that there is.
func (f *Folder) numbers(ctx context.Context, entries []poller.Entry) ([]uint32, error) {
	var numbers []uint32
	for _, e := range entries {
		at, ok := e.Place.(place)
		if !ok || at.session != f.s.session || !f.s.live() {
			return f.find(ctx, entries)
		}
		numbers = append(numbers, at.number)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// find begins a session and looks for mails in it. Those that are not there are
// left out.
func (f *Folder) find(ctx context.Context, entries []poller.Entry) ([]uint32, error) {
	s := f.s
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	f.passed, f.window = 0, 0
	wanted := map[string]bool{}
	byContent := map[string]bool{} // unique-ids, "" for none, of which only the bytes tell which is meant
	for _, e := range entries {
		wanted[e.ID] = true
		if id, _, found := strings.Cut(" "+e.ID, " "+sum); found {
			byContent[strings.TrimPrefix(id, " ")] = true
		}
	}
	var numbers []uint32
	for _, r := range s.drop.rows {
		id := string(s.drop.id(r))
		switch {
		case r.length > 0 && !r.repeated && wanted[id]:
		case byContent[id]:
			content, err := f.contentID(ctx, s.drop, s.session, r)
			if err != nil {
				return nil, err
			}
			if !wanted[content] {
				continue
			}
		case r.repeated && wanted[id]:
			return nil, fmt.Errorf("find mail %q of %s: the server has given this unique-id to another mail, too: list again", id, &s.conf.Server)
		default:
			continue
		}
		numbers = append(numbers, r.number)
	}
	return numbers, nil
}
