package poller

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"mailrow/store"
	"mailrow/store/source"
)

const (
	// chunk is how many mails are looked up at once.
	chunk = 1000
	// maxPending is how many mails are stored before they are removed, archived or
	// marked at the source: once for each file of many mails, if it is not huge.
	maxPending = 10_000
	// bookkeeping is how long a statement over all mail of a folder may take.
	bookkeeping = 10 * time.Minute
)

// pass is one way through the listing of a folder.
type pass struct {
	*run
	folder  Folder
	mailbox string
	row     source.Folder
	action  action
	brokeAt string // id of the mail at which the folder broke last

	again     bool // the listing was left early
	unsettled bool // some mail has to be looked at again
	pending   []Entry
	fresh     int // how many of them it was never carried out with
	known     int64
	ids       map[uint64]struct{} // hashes of all ids that were listed

	joined     []fetched // read, to be stored together
	joinedAt   time.Time // when the first of them was read
	joinedSize int       // bytes of them
}

// folder stores what is new in a folder, then carries the policy out. Mail is
// removed only between two listings: a listing need not know of it. When the folder
// breaks at a mail, it is opened again and gone on with.
func (r *run) folder(ctx context.Context, s Source, name string) error {
	brokeAt := ""
	for first := true; ; first = false {
		err := r.opened(ctx, s, name, first, brokeAt)
		var broke *brokeError
		if !errors.As(err, &broke) || ctx.Err() != nil {
			return err
		}
		r.Warn(r.source, fmt.Errorf("folder %s: %w: going on", name, err))
		r.reconnected()
		brokeAt = broke.id
	}
}

// opened goes through the folder as often as it takes.
func (r *run) opened(ctx context.Context, s Source, name string, first bool, brokeAt string) error {
	f, err := s.Folder(ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	act, err := actionOf(f, r.uri)
	if err != nil {
		return err
	}
	for ; ; first = false {
		p := &pass{run: r, folder: f, mailbox: name, action: act, brokeAt: brokeAt}
		if err := p.through(ctx, first); err != nil || !p.again || ctx.Err() != nil {
			return err
		}
	}
}

// seed is of the hashes of ids.
var seed = maphash.MakeSeed()

func (p *pass) through(ctx context.Context, first bool) error {
	err := p.insist(ctx, bookkeeping, func(ctx context.Context) (err error) {
		p.row, err = source.OpenFolder(ctx, p.conn, p.source.ID, p.mailbox, p.uri.Place(), p.uri.Policy())
		return err
	})
	if err != nil {
		return err
	}
	listing, err := p.folder.List(ctx, p.row.Revision)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	p.ids = map[uint64]struct{}{}
	entries := make([]Entry, 0, chunk)
	for e, err := range listing.Entries {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		entries = append(entries, e)
		if len(entries) < chunk {
			continue
		}
		if err := p.chunk(ctx, entries, first); err != nil {
			return err
		}
		entries = entries[:0]
		if ctx.Err() != nil {
			return nil
		}
		// What comes back however often it is removed does not count.
		if p.again = p.fresh >= maxPending; p.again {
			return p.carryOut(ctx)
		}
	}
	if err := p.chunk(ctx, entries, first); err != nil || ctx.Err() != nil {
		return err
	}
	if err := p.carryOut(ctx); err != nil || p.again {
		return err
	}
	return p.end(ctx, listing)
}

// chunk looks some mails up and stores what is new.
func (p *pass) chunk(ctx context.Context, entries []Entry, first bool) error {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
		p.ids[maphash.String(seed, store.SourceID(e.ID))] = struct{}{}
	}
	var known map[string]source.Known
	err := p.insist(ctx, bookkeeping, func(ctx context.Context) (err error) {
		known, err = p.row.Known(ctx, p.conn, ids)
		return err
	})
	if err != nil {
		return err
	}
	p.known += int64(len(known))
	due, err := p.due(ctx, ids)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			break
		}
		k := known[e.ID]
		if first || k.State == source.New {
			p.count.Seen++
		}
		if err := p.mail(ctx, e, k, p.uri.Delay == 0 || due[e.ID]); err != nil {
			return err
		}
		if err := p.goOn(ctx); err != nil {
			return err
		}
	}
	return p.flush(ctx)
}

// mail stores a mail unless it is stored, and says what is to be done with it at the
// source. due: it is time for that, if it was stored before.
func (p *pass) mail(ctx context.Context, e Entry, k source.Known, due bool) error {
	stored := k.State == source.Stored
	e.Content = k.Content
	switch {
	case k.State == source.Waiting, p.tried[mailIn{p.mailbox, e.ID}]:
		p.unsettled = true
	case k.State == source.New, k.State == source.Failed, stored && (p.isBack(k) || p.isDoubtful(e, k)):
		if k.State == source.New {
			p.known++
		}
		return p.fetch(ctx, e, k, due)
	case stored:
		p.act(e, k, due)
	}
	return nil
}

// act says what is to be done at the source with a mail that is stored.
func (p *pass) act(e Entry, k source.Known, due bool) {
	switch {
	case p.action == nil || k.Done == p.uri.Policy() && p.uri.After == AfterSeen:
	case !due:
		p.unsettled = true
	default:
		p.pending = append(p.pending, e)
		if k.Done != p.uri.Policy() {
			p.fresh++
		}
	}
}

// due are the ids of those mails that were stored long enough ago to be removed,
// where that takes time; nil elsewhere.
func (p *pass) due(ctx context.Context, ids []string) (due map[string]bool, err error) {
	if p.uri.Delay == 0 {
		return nil, nil
	}
	err = p.insist(ctx, bookkeeping, func(ctx context.Context) (err error) {
		due, err = p.row.StoredBefore(ctx, p.conn, ids, p.uri.Delay)
		return err
	})
	return due, err
}

// isBack says that a mail which was taken away is there again. Programs that do not
// keep to the rules of a Maildir use their names twice: it may be another mail.
func (p *pass) isBack(k source.Known) bool {
	return k.Done == p.uri.Policy() && (p.uri.After == AfterDelete || p.uri.After == AfterArchive)
}

// isDoubtful says that a mail which is there under the id of one that was stored may be
// another.
func (p *pass) isDoubtful(e Entry, k source.Known) bool {
	return e.Stamp != k.Stamp && e.Stamp != "" && k.Stamp != "" || p.others[e.ID]
}

// goOn says now and then that the run goes on.
func (p *pass) goOn(ctx context.Context) error {
	p.progress(p.count)
	if p.Tell != nil {
		p.Tell(p.source, p.count)
	}
	return p.stayAlive(ctx)
}

// stayAlive keeps other pollers away.
func (p *pass) stayAlive(ctx context.Context) error {
	if time.Since(p.told) < source.KeepAlive {
		return nil
	}
	p.told = time.Now()
	return p.insist(ctx, p.Config.Timeout, func(ctx context.Context) error {
		return p.run.row.GoOn(ctx, p.conn, p.count)
	})
}

// carryOut does at the source what is pending, all of which is committed. Where other
// mails have the ids of some, the folder is to be listed again for those.
func (p *pass) carryOut(ctx context.Context) error {
	if len(p.pending) == 0 {
		return nil
	}
	err := p.action(ctx, p.pending)
	var other *OtherMailError
	if errors.As(err, &other) && p.others == nil { // once a run: it may be so each time
		p.Warn(p.source, fmt.Errorf("folder %s: %w", p.mailbox, err))
		p.others = map[string]bool{}
		for _, id := range other.IDs {
			p.others[id] = true
		}
		p.pending = slices.DeleteFunc(p.pending, func(e Entry) bool { return p.others[e.ID] })
		p.again, err = true, nil
	}
	if err != nil {
		return fmt.Errorf("carry out after=%s: %w", p.uri.Policy(), err)
	}
	p.count.Done += int64(len(p.pending))
	for some := range slices.Chunk(p.pending, chunk) {
		ids := make([]string, len(some))
		for i, e := range some {
			ids[i] = e.ID
		}
		err := p.insist(ctx, bookkeeping, func(ctx context.Context) error {
			return p.row.CarriedOut(ctx, p.conn, ids, p.uri.Policy())
		})
		if err != nil {
			return err
		}
	}
	return p.goOn(ctx)
}

// end records that the listing was read to its end.
func (p *pass) end(ctx context.Context, listing *Listing) error {
	revision := listing.Revision
	if p.unsettled {
		revision = ""
	}
	return p.insist(ctx, bookkeeping, func(ctx context.Context) error {
		if !listing.Partial {
			err := p.row.Gone(ctx, p.conn, p.known, func(id string) bool {
				_, there := p.ids[maphash.String(seed, id)]
				return there
			})
			if err != nil {
				return err
			}
		}
		return p.row.Listed(ctx, p.conn, revision, listing.Partial)
	})
}
