package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mailrow/deliver"
	"mailrow/message"
	"mailrow/poller/identity"
	"mailrow/store"
	"mailrow/store/source"
)

const (
	// maxTries is how often a mail is tried before it is left alone.
	maxTries = 5
	// maxFailures in a row are not the fault of single mails.
	maxFailures = 20
	// keptBuffer is the most memory that is kept from one mail to the next.
	keptBuffer = 4 << 20
	// fetching is how long it may take to read a mail.
	fetching = 10 * time.Minute
	// contentSize is that of Entry.Content.
	contentSize = 16
)

// tooLargeError is a mail that is larger than it may be: it is never cut off.
type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("larger than max_size, which is %d bytes: with a larger one, mailrow source retry fetches it", e.limit)
}

// fetched is a mail that was read, and what is to be done when it is stored.
type fetched struct {
	entry    Entry
	known    source.Known // of its id, from before
	due      bool         // whether it is time for that
	delivery *store.Delivery
}

// fetch reads a mail, unless it turns out to be the one that is known to be stored under
// its id, and has it stored: a small one together with those before and after it. An
// error is one that concerns more than this mail. Otherwise, what is not stored is
// counted and recorded.
func (p *pass) fetch(ctx context.Context, e Entry, k source.Known, due bool) error {
	defer p.release()
	if err := p.reserve(ctx, e.Size); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	mail, err := p.read(ctx, e)
	if err != nil {
		return p.unread(ctx, e, err)
	}
	sum := identity.Of(mail)
	e.Content = sum[:contentSize]
	if k.State == source.Stored && !p.isBack(k) && bytes.Equal(k.Content, e.Content) {
		p.failures = 0
		err := p.stamp(ctx, e, k)
		p.settled(e, k, due)
		return err
	}
	small := len(mail) <= smallMail
	if small { // it waits while the next one is read
		mail = bytes.Clone(mail)
	}
	delivery, err := p.delivery(e, mail)
	if err != nil {
		return err
	}
	f := fetched{e, k, due, delivery}
	if small {
		return p.join(ctx, f)
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	return p.store(ctx, f)
}

// unread settles those that were read before a mail that cannot be: failures count when
// they come one after the other.
func (p *pass) unread(ctx context.Context, e Entry, why error) error {
	var broken *BrokenError
	var database *databaseError
	switch {
	case errors.As(why, &database):
		return why
	case errors.Is(why, ErrGone):
		return nil
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	if errors.As(why, &broken) {
		return p.broke(ctx, e, why)
	}
	return p.fail(ctx, e, fmt.Errorf("fetch: %w", why))
}

// settled: a mail is stored by now, and something may have to be done with it.
func (p *pass) settled(e Entry, k source.Known, due bool) {
	delete(p.others, e.ID)
	another := k.Content != nil && !bytes.Equal(k.Content, e.Content)
	p.act(e, k, due && !(another && p.uri.Delay > 0))
}

// stamp keeps what the folder says by now of a mail that is still the same.
func (p *pass) stamp(ctx context.Context, e Entry, k source.Known) error {
	if e.Stamp == k.Stamp {
		return nil
	}
	return p.insist(ctx, p.Config.Timeout, func(ctx context.Context) error {
		return p.row.Stamp(ctx, p.conn, e.ID, e.Stamp)
	})
}

// read gives all bytes of a mail, until the next one is read.
func (p *pass) read(ctx context.Context, e Entry) ([]byte, error) {
	limit := p.Config.MaxSize
	if e.Size > limit {
		return nil, &tooLargeError{limit}
	}
	// The mail in hand is finished when ctx ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetching)
	defer cancel()
	r, err := p.folder.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := p.buffer[:0]
	if e.Size >= int64(cap(b)) {
		b = make([]byte, 0, e.Size+1)
	}
	for {
		if len(b) == cap(b) {
			if room := max(p.taken, keptBuffer); int64(len(b)) >= room && room <= limit {
				// It is larger than was said.
				if err := p.reserve(ctx, limit+1); err != nil {
					return nil, err
				}
			}
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):min(int64(cap(b)), limit+1)])
		b = b[:len(b)+n]
		p.buffer = b
		switch {
		case int64(len(b)) > limit:
			return nil, &tooLargeError{limit}
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// brokeError is a folder that broke while a mail was read: the network's fault, or
// that of the mail.
type brokeError struct {
	id  string
	err error
}

func (e *brokeError) Error() string { return fmt.Sprintf("fetch %s: %v", e.id, e.err) }
func (e *brokeError) Unwrap() error { return e.err }

// broke counts a try when the folder breaks at a mail twice in a row, so that a mail
// which always breaks the connection is left alone in the end.
func (p *pass) broke(ctx context.Context, e Entry, err error) error {
	if p.brokeAt == e.ID {
		if err := p.fail(ctx, e, fmt.Errorf("fetch: %w", err)); err != nil {
			return err
		}
	} else if p.failures++; p.failures > maxFailures {
		return fmt.Errorf("fetch %s: %w", e.ID, err)
	}
	return &brokeError{e.ID, err}
}

// fail records that a mail could not be stored.
func (p *pass) fail(ctx context.Context, e Entry, why error) error {
	p.count.Failed++
	if p.failures++; p.failures > maxFailures {
		return fmt.Errorf("more than %d mails failed one after the other, the last %s: %w", maxFailures, e.ID, why)
	}
	tries := maxTries
	var large *tooLargeError
	if errors.As(why, &large) {
		tries = 1
	}
	var quarantined bool
	err := p.insist(ctx, p.Config.Timeout, func(ctx context.Context) (err error) {
		quarantined, err = p.row.Fail(ctx, p.conn, e.ID, why, tries)
		return err
	})
	if err != nil {
		return err
	}
	if quarantined {
		p.Warn(p.source, fmt.Errorf("mail %s in folder %s is in quarantine: %w", e.ID, p.mailbox, why))
		return nil
	}
	p.unsettled = true
	if p.tried == nil {
		p.tried = map[mailIn]bool{}
	}
	p.tried[mailIn{p.mailbox, e.ID}] = true
	p.Warn(p.source, fmt.Errorf("mail %s in folder %s is tried again later: %w", e.ID, p.mailbox, why))
	return nil
}

// delivery addresses a mail as its source says.
func (p *pass) delivery(e Entry, mail []byte) (*store.Delivery, error) {
	parsed := message.Parse(mail)
	trace := message.ReadTrace(mail, parsed)
	config := p.Config
	config.Account, config.Mailbox = "", ""
	to := message.Recipient{Original: trace.OriginalTo}
	if to.Original == "" {
		to.Original = trace.DeliveredTo
	}
	if account := p.source.Account; account != nil {
		config.Account, config.Mailbox, to.Address = *account, p.mailbox, *account
	}
	if mailbox := p.source.Mailbox; mailbox != nil {
		config.Mailbox = *mailbox
	}
	if recipient := p.source.Recipient; recipient != nil {
		to.Address = *recipient
	}
	envelope := message.Envelope{
		Sender:     e.Sender,
		Recipients: []message.Recipient{to},
		Source:     p.uri.Kind,
		ReceivedAt: plausible(e.ReceivedAt),
		Flags:      e.Flags,
	}
	if envelope.Sender == nil {
		envelope.Sender = trace.ReturnPath
	}
	d := deliver.Address(config, envelope)
	if len(d.Lookups) == 0 {
		return nil, errors.New("the source has neither an account nor a recipient")
	}
	d.Raw, d.Message, d.Origin = mail, parsed, p.row.Origin(e.ID, e.Content, e.Stamp)
	return d, nil
}

// plausible leaves out times that only a wrong clock gives.
func plausible(t time.Time) time.Time {
	if t.Year() < 1970 || t.After(time.Now()) {
		return time.Time{}
	}
	return t
}
