package poller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailrow/store"
)

// Small mails are stored together, since a statement and a commit for each would take
// most of the time.
const (
	smallMail     = 64 << 10
	maxTogether   = 64      // mails
	bytesTogether = 1 << 20 // of them
	// maxWait is how long a mail waits for others, once another one was read.
	maxWait = 500 * time.Millisecond
)

// join has a mail stored together with those that were read before it.
func (p *pass) join(ctx context.Context, f fetched) error {
	if len(p.joined) == 0 {
		p.joinedAt = time.Now()
	}
	p.joined = append(p.joined, f)
	p.joinedSize += len(f.delivery.Raw)
	if len(p.joined) >= maxTogether || p.joinedSize >= bytesTogether || time.Since(p.joinedAt) >= maxWait {
		return p.flush(ctx)
	}
	return nil
}

// flush stores what has joined.
func (p *pass) flush(ctx context.Context) error {
	list := p.joined
	p.joined, p.joinedSize = nil, 0
	for len(list) > 0 {
		batch := &store.Batch{}
		for _, f := range list {
			if !batch.Add(f.delivery, store.ThreadsOf(f.delivery.Message)) {
				break
			}
		}
		n := max(batch.Len(), 1)
		if err := p.storeAll(ctx, list[:n], batch); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// storeAll stores the mails of a batch, one by one where they cannot be stored together:
// one that the database does not take shall not keep the others.
func (p *pass) storeAll(ctx context.Context, list []fetched, batch *store.Batch) error {
	if len(list) > 1 {
		var results []store.Result
		err := p.insist(ctx, p.Config.Timeout, func(ctx context.Context) (err error) {
			results, err = p.deliverer.DeliverBatch(ctx, batch)
			return err
		})
		var database *databaseError
		switch {
		case errors.As(err, &database):
			return err
		case err == nil:
			for i, f := range list {
				p.stored(f, results[i])
			}
			return nil
		}
	}
	for _, f := range list {
		if err := p.store(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// store stores a mail by itself.
func (p *pass) store(ctx context.Context, f fetched) error {
	var results []store.Result
	err := p.insist(ctx, p.Config.Timeout, func(ctx context.Context) (err error) {
		results, err = p.deliverer.Deliver(ctx, f.delivery)
		return err
	})
	var database *databaseError
	switch {
	case errors.As(err, &database):
		return err
	case err != nil:
		return p.fail(ctx, f.entry, err)
	case results[0].Outcome == store.Unknown:
		return fmt.Errorf("recipient %s has neither route nor account, and unknown is reject", f.delivery.Envelope.Recipients[0].Address)
	}
	p.stored(f, results[0])
	return nil
}

// stored counts a mail that is committed, with what is known of it at its source.
func (p *pass) stored(f fetched, result store.Result) {
	if result.Outcome == store.Stored {
		p.count.Stored++
	} else {
		p.count.Duplicate++
	}
	p.failures = 0
	p.count.Bytes += int64(len(f.delivery.Raw))
	p.settled(f.entry, f.known, f.due)
}
