package pop3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"mailrow/poller"
	"mailrow/poller/identity"
	"mailrow/poller/pop3/client"
)

// Remove removes mails and ends the session, for only then they are gone. It looks
// for them in a new session where that of their listing was lost: it may have
// taken long to store them. A mail that was not read in the session is read first:
// servers give one unique-id to two mails, or use it again. Where a session ends before
// all are, fewer are removed in each.
func (f *Folder) Remove(ctx context.Context, entries []poller.Entry) error {
	var others []string
	for most := math.MaxInt; len(entries) > 0; {
		marked, err := f.mark(ctx, entries, most)
		var cut *cutError
		if errors.As(err, &cut) && cut.after > 0 && ctx.Err() == nil {
			most = (cut.after + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		if len(marked.numbers) > 0 {
			if err := f.quit(ctx, without(entries, marked.rest), marked); err != nil {
				return err
			}
		}
		others = append(others, marked.others...)
		entries = marked.rest
	}
	if len(others) > 0 {
		return &poller.OtherMailError{IDs: others}
	}
	return nil
}

// cutError is a session that was lost after so many mails were compared.
type cutError struct {
	after int
	err   error
}

func (e *cutError) Error() string { return e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

func without(entries, rest []poller.Entry) []poller.Entry {
	ids := map[string]bool{}
	for _, e := range rest {
		ids[e.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e poller.Entry) bool { return ids[e.ID] })
}

// quit lets the server remove what is marked.
func (f *Folder) quit(ctx context.Context, entries []poller.Entry, marked *marked) error {
	s := f.s
	err := s.conn.Quit(ctx)
	s.drop = nil
	var notAll *client.RefusedError
	switch {
	case err == nil && marked.refused == nil:
		return nil
	case err == nil:
		notAll = marked.refused
	case !errors.As(err, &notAll):
		return &poller.BrokenError{Err: fmt.Errorf("remove mail from %s: the server has not said whether it is gone: %w", &s.conf.Server, err)}
	}
	// It may be gone all the same, by somebody else.
	left, err := f.find(ctx, entries)
	left = slices.DeleteFunc(left, func(m numbered) bool { return slices.Contains(marked.others, m.entry.ID) })
	if err == nil && len(left) == 0 {
		return nil
	}
	return errors.Join(fmt.Errorf("remove mail from %s: %d of %d mails are still there: %w", &s.conf.Server, len(left), len(marked.numbers), notAll), err)
}

// marked is what was marked for removal, and what was not.
type marked struct {
	numbers []uint32
	others  []string             // ids of mails that are not those which were stored
	refused *client.RefusedError // the first
	rest    []poller.Entry       // are for another session
}

// mark marks mails for removal. A server may have hung up while they were stored,
// which is seen only now: then it is done in a new session.
func (f *Folder) mark(ctx context.Context, entries []poller.Entry, most int) (*marked, error) {
	there, err := f.here(ctx, entries)
	for again := false; err == nil && len(there) > 0; again = true {
		var m *marked
		if m, err = f.confirm(ctx, there, most); err != nil {
			return nil, err
		}
		refused, err := f.s.conn.Delete(ctx, m.numbers)
		if err == nil {
			m.refused = cmp.Or(m.refused, refused)
			return m, nil
		}
		if again || ctx.Err() != nil {
			return nil, f.s.fault("remove mail from", err)
		}
		there, err = f.find(ctx, entries)
		if err != nil {
			return nil, err
		}
	}
	return &marked{}, err
}

// numbered is an entry in the session that there is.
type numbered struct {
	number uint32
	entry  poller.Entry
}

// here finds entries in the session that there is.
func (f *Folder) here(ctx context.Context, entries []poller.Entry) ([]numbered, error) {
	var there []numbered
	for _, e := range entries {
		at, ok := e.Place.(place)
		if !ok || at.session != f.s.session || !f.s.live() {
			return f.find(ctx, entries)
		}
		there = append(there, numbered{at.number, e})
	}
	return there, nil
}

// confirm tells which mails are those that were stored. It reads so many at most.
func (f *Folder) confirm(ctx context.Context, there []numbered, most int) (*marked, error) {
	slices.SortFunc(there, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	there = slices.CompactFunc(there, func(a, b numbered) bool { return a.number == b.number })
	m := &marked{}
	unread := f.unread(there)
	compared := 0
	for _, mail := range there {
		if len(unread) > 0 && unread[0] == mail.number {
			unread = unread[1:]
			if compared == most {
				m.rest = append(m.rest, mail.entry)
				continue
			}
			same, err := f.compare(ctx, mail, unread[:min(len(unread), maxWindow, most-compared-1)])
			var refused *client.RefusedError
			switch {
			case errors.As(err, &refused):
				m.refused = cmp.Or(m.refused, refused)
				continue
			case err != nil:
				return nil, &cutError{compared, err}
			case !same:
				m.others = append(m.others, mail.entry.ID)
			}
			compared++
			if !same {
				continue
			}
		}
		m.numbers = append(m.numbers, mail.number)
	}
	return m, nil
}

// unread are the numbers of mails that nobody has read in this session, and that
// are not named by their bytes.
func (f *Folder) unread(there []numbered) (numbers []uint32) {
	for _, m := range there {
		if !f.s.drop.row(m.number).sure && !namedByContent(m.entry.ID) {
			numbers = append(numbers, m.number)
		}
	}
	return numbers
}

// compare reads a mail; next are those that are read after it.
func (f *Folder) compare(ctx context.Context, m numbered, next []uint32) (same bool, err error) {
	mail, err := f.s.retrieve(ctx, m.number, next)
	if err != nil {
		return false, err
	}
	got := identity.New()
	if _, err := io.Copy(got, mail); err != nil {
		return false, f.s.fault(fmt.Sprintf("read mail %d of", m.number), err)
	}
	sum := got.Sum()
	return len(m.entry.Content) > 0 && bytes.HasPrefix(sum[:], m.entry.Content), nil
}

// find begins a session and looks for mails in it. Those that are not there are
// left out.
func (f *Folder) find(ctx context.Context, entries []poller.Entry) ([]numbered, error) {
	s := f.s
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	f.passed, f.window = 0, 0
	wanted := map[string]poller.Entry{}
	byContent := map[string]bool{} // unique-ids, "" for none, of which only the bytes tell which is meant
	for _, e := range entries {
		wanted[e.ID] = e
		if id, _, found := strings.Cut(" "+e.ID, " "+sum); found {
			byContent[strings.TrimPrefix(id, " ")] = true
		}
	}
	var there []numbered
	for _, r := range s.drop.rows {
		id := string(s.drop.id(r))
		e, is := wanted[id]
		switch {
		case is && r.length > 0 && !r.repeated:
		case byContent[id]:
			content, err := f.contentID(ctx, s.drop, s.session, r)
			if err != nil {
				return nil, err
			}
			if e, is = wanted[content]; !is {
				continue
			}
		case is && r.repeated:
			return nil, fmt.Errorf("find mail %q of %s: the server has given this unique-id to another mail, too: list again", id, &s.conf.Server)
		default:
			continue
		}
		there = append(there, numbered{r.number, e})
	}
	return there, nil
}
