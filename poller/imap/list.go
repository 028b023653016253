package imap

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mailrow/poller"
	"mailrow/poller/imap/client"
)

// batchSize is how many mails are listed by one command.
const batchSize = 1000

// listing is a List being read. It goes by sequence numbers, of which there are no
// more than mails, and looks by an overlap of one mail whether they still mean what
// they did; what a search has found it lists by UID.
type listing struct {
	f    *Folder
	ctx  context.Context
	next uint32 // sequence number; 0: by UID
	rest client.Ranges
	last uint32 // the highest UID so far

	anchor uint32         // UID of the mail before next; 0: none was listed
	lost   bool           // nobody knows what next means by now
	sent   *batch         // on the way
	held   []client.Fetch // the mail before next, until it is known to be the only one of its UID
	left   int            // mails that the server has not told of
}

// batch is the answer to one FETCH.
type batch struct {
	cmd    *client.Command
	want   int
	anchor uint32 // UID of a mail that must be among them
	end    uint32 // the last sequence number
	found  bool   // it begins where a search said
	exists uint32 // mails in the folder when it was asked for
	rows   []client.Fetch
}

// List lists what matches the source's conditions. An unchanged folder costs one
// round trip, or none when it was just opened. Of a changed one with more mails
// than one command lists, only new mails are listed.
func (f *Folder) List(ctx context.Context, since string) (*poller.Listing, error) {
	if err := f.use(ctx); err != nil {
		return nil, err
	}
	if !f.fresh {
		if err := f.selectIt(ctx, f.box.ReadOnly); err != nil {
			return nil, err
		}
	}
	f.fresh, f.changed = false, false
	f.bodies.forget()
	l := &listing{f: f, ctx: ctx, next: 1}
	result := &poller.Listing{}
	now := revision{f.box.UIDValidity, f.box.UIDNext, f.box.Exists, f.box.ModSeq, f.s.conf.conditions()}
	unchanged, err := l.begin(result, parseRevision(since), now)
	if err != nil {
		return nil, f.fault("list", err)
	}
	if unchanged {
		result.Revision = now.String()
		result.Entries = func(func(poller.Entry, error) bool) {}
		return result, nil
	}
	f.listing = l
	result.Entries = func(yield func(poller.Entry, error) bool) {
		if l.entries(yield) && l.left == 0 {
			if now.uidNext == 0 {
				now.uidNext = l.last + 1
			}
			result.Revision = now.String()
		}
	}
	return result, nil
}

// begin finds where to begin.
func (l *listing) begin(result *poller.Listing, then, now revision) (unchanged bool, err error) {
	conf := &l.f.s.conf
	filtered := conf.Search != "" || !conf.Since.IsZero()
	result.Partial = filtered || conf.SinceUID > 1
	from := max(conf.SinceUID, 1)
	if then.validity == now.validity && then.conditions == now.conditions {
		switch {
		case conf.Search != "":
			// Flags may have changed, and with them what matches.
			if then == now && now.modSeq != 0 {
				return true, nil
			}
		case now.uidNext == 0 || then.uidNext > now.uidNext || then.uidNext == now.uidNext && now.exists > then.exists:
			// The server does not count as it should.
		case then != now && now.exists <= batchSize:
			// What is gone can be seen for the price of one command.
		case then.uidNext == now.uidNext:
			result.Partial = true
			return true, nil
		default:
			result.Partial = true
			from = max(from, then.uidNext)
		}
	}
	if now.exists == 0 {
		return false, nil
	}
	if filtered {
		l.next = 0
		words, err := Criteria(conf.Search)
		if err != nil {
			return false, err
		}
		if !conf.Since.IsZero() {
			words.Add(conf.Since.Format(" SINCE 2-Jan-2006"))
		}
		if from > 1 {
			words.Add(fmt.Sprintf(" UID %d:*", from))
		}
		l.rest, err = l.f.conn.Search(l.ctx, false, words)
		l.last = from - 1
		return false, err
	}
	if from > 1 {
		l.last = from - 1
		return false, l.find()
	}
	return false, nil
}

// find sets next to the first mail after last.
func (l *listing) find() error {
	l.lost, l.anchor = false, 0
	after := uint64(l.last) + 1
	found, err := l.f.conn.Search(l.ctx, true, client.NewCommand(fmt.Sprintf(" UID %d:*", after)))
	if err != nil {
		return err
	}
	// * is always the last mail, whatever comes before it.
	if l.next = l.f.exists + 1; len(found) > 0 {
		l.next = found[0][0]
	}
	return nil
}

// entries says whether all was well.
func (l *listing) entries(yield func(poller.Entry, error) bool) bool {
	f := l.f
	for {
		if f.listing != l {
			yield(poller.Entry{}, fmt.Errorf("list %s: it was listed again or closed meanwhile", f))
			return false
		}
		rows, err := l.rows()
		if err != nil {
			yield(poller.Entry{}, f.fault("list", err))
			return false
		}
		if rows == nil {
			f.listing = nil
			if l.left > 0 {
				f.s.conf.Server.Warnf("folder %q: the server has left out %d mails, which somebody may just have removed: all will be listed again", f.name, l.left)
			}
			return true
		}
		f.bodies.listed(rows)
		for _, row := range rows {
			if !yield(f.entry(row), nil) {
				f.listing = nil
				return false
			}
		}
	}
}

func (f *Folder) entry(row client.Fetch) poller.Entry {
	flags := slices.DeleteFunc(row.Flags, func(flag string) bool { return flag == `\Recent` })
	e := poller.Entry{ID: f.id(row.UID), Size: row.Size, Flags: flags, ReceivedAt: row.Date}
	if !row.Date.IsZero() {
		e.Stamp = row.Date.UTC().Format(time.DateTime)
	}
	return e
}

// rows gives the next mails, nil at the end. The batch after them is on the way by
// then.
func (l *listing) rows() ([]client.Fetch, error) {
	for {
		if err := l.f.use(l.ctx); err != nil {
			return nil, err
		}
		if l.sent == nil {
			if err := l.send(); err != nil {
				return nil, err
			}
			if l.sent == nil {
				rows := l.held
				l.held = nil
				return rows, nil
			}
		}
		b := l.sent
		l.sent = nil
		if err := l.f.conn.Wait(l.ctx, b.cmd); err != nil {
			return nil, err
		}
		rows, err := l.check(b)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			continue
		}
		if err := l.send(); err != nil {
			return nil, err
		}
		rows = slices.Concat(l.held, rows)
		l.held = nil
		if last := len(rows) - 1; l.sent != nil {
			rows, l.held = rows[:last], rows[last:]
		}
		if len(rows) > 0 {
			return rows, nil
		}
	}
}

// send asks for the next batch, unless there is none.
func (l *listing) send() error {
	b := &batch{exists: l.f.exists}
	text := ""
	if l.next == 0 {
		var some client.Ranges
		if some, l.rest = l.rest.Take(batchSize); len(some) == 0 {
			return nil
		}
		b.want = some.Count()
		text = "UID FETCH " + some.String()
	} else {
		if l.lost {
			if err := l.find(); err != nil {
				return err
			}
			b.found = true
		}
		if l.next > l.f.exists {
			return nil
		}
		first, last := l.next, min(l.next+batchSize-1, l.f.exists)
		if b.anchor, b.end = l.anchor, last; b.anchor != 0 {
			first--
		}
		b.want = int(last-first) + 1
		text = fmt.Sprintf("FETCH %d:%d", first, last)
		l.next = last + 1
	}
	b.cmd = client.NewCommand(text + " (UID FLAGS INTERNALDATE RFC822.SIZE)")
	b.cmd.Take = func(r *client.Response) bool {
		if r.Fetch == nil || r.Fetch.UID == 0 || r.Fetch.Size < 0 || r.Fetch.Body != nil {
			return false
		}
		b.rows = append(b.rows, *r.Fetch)
		return true
	}
	if err := l.f.conn.Send(l.ctx, b.cmd); err != nil {
		return err
	}
	l.sent = b
	return nil
}

// check gives those rows that are new, in order.
func (l *listing) check(b *batch) ([]client.Fetch, error) {
	rows := b.rows
	slices.SortFunc(rows, func(a, b client.Fetch) int { return cmp.Compare(a.UID, b.UID) })
	rows = slices.CompactFunc(rows, func(a, b client.Fetch) bool { return a.UID == b.UID && a.Seq == b.Seq })
	isAnchor := func(row client.Fetch) bool { return row.UID == b.anchor }
	there := slices.ContainsFunc(rows, isAnchor)
	rows = l.distinct(rows)
	if b.anchor != 0 && !slices.ContainsFunc(rows, isAnchor) {
		l.lost = true
		if there { // another mail has its UID, too
			l.left += 1 + len(l.held)
			l.held = nil
		}
		// Else mails before have been removed: the numbers meant others already.
		return nil, nil
	}
	if len(rows) < b.want {
		l.left += b.want - len(rows)
	}
	if len(rows) == 0 {
		return nil, l.none(b)
	}
	highest := rows[len(rows)-1]
	l.anchor = highest.UID
	if highest.Seq != b.end {
		l.lost = true // the mail before next is another
	}
	before := l.last
	l.last = max(l.last, highest.UID)
	rows = slices.DeleteFunc(rows, func(row client.Fetch) bool { return row.UID <= before })
	if b.found && len(rows) == 0 {
		l.lost, l.next = false, l.f.exists+1 // * was a mail that was listed: there is no other
	}
	return rows, nil
}

// distinct leaves out mails of one UID: who asks for one gets the other, and who removes
// one removes both.
func (l *listing) distinct(rows []client.Fetch) []client.Fetch {
	for i := 1; i < len(rows); i++ {
		uid := rows[i].UID
		if uid != rows[i-1].UID {
			continue
		}
		l.f.s.conf.Server.Warnf("folder %q: several mails have UID %d, and none of them can be told from the others: they are left out until the server's administrator has the index of the folder rebuilt", l.f.name, uid)
		rows = slices.DeleteFunc(rows, func(row client.Fetch) bool { return row.UID == uid })
		i = 0
	}
	return rows
}

// none: somebody has removed them all, and then the server says so, or it cannot
// be listed.
func (l *listing) none(b *batch) error {
	if err := l.f.conn.Do(l.ctx, client.NewCommand("NOOP")); err != nil {
		return err
	}
	if l.f.exists < b.exists {
		return nil
	}
	return fmt.Errorf("the server gives nothing of %d mails, or no UID or size of any: it may not be IMAP4rev1: ask the provider", b.want)
}

// expunged: the mails after it have got lower numbers.
func (l *listing) expunged(seq uint32) {
	if seq < l.next {
		l.next--
	}
}
