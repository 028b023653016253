package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"mailrow/store"
)

// batch is mail that one transaction stores.
type batch struct {
	store.Batch
	mails []*mail
	alone *mail // not in the Batch: it goes by store.Conn.Deliver

	number int           // among those of its worker
	after  []*batch      // to be stored before
	stored chan struct{} // closed when it is
}

func (b *batch) add(m *mail) bool {
	if !b.Add(m.Delivery, m.threads) {
		return false
	}
	b.mails = append(b.mails, m)
	return true
}

// divide divides a batch as its Batch is divided.
func (b *batch) divide() (all []*batch) {
	rest := b.mails
	for _, one := range b.Divide() {
		all = append(all, &batch{Batch: *one, mails: rest[:one.Len()]})
		rest = rest[one.Len():]
	}
	return all
}

// worker stores batches over one connection, in the order in which it gets them.
type worker struct {
	load    *Loader
	config  *store.Config
	conn    *store.Conn // nil while there is none
	batches chan *batch

	filling    []*batch // the router's; sent in this order
	batchCount int
	sent       atomic.Int32 // batches that it has got and not done yet
	onTheWay   onTheWay
}

func newWorker(l *Loader, config *store.Config) *worker {
	return &worker{load: l, config: config, batches: make(chan *batch, waitingBatches), onTheWay: onTheWay{ids: map[int64]trace{}}}
}

// waitingBatches wait for a worker at most; what they hold is bounded by the room.
const waitingBatches = 64

const closeTimeout = 2 * time.Second

// run stores what comes until there is no more, or the load ends.
func (w *worker) run() {
	defer func() {
		if w.conn != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(w.load.ctx), closeTimeout)
			defer cancel()
			w.conn.Close(ctx)
		}
	}()
	for {
		select {
		case b, more := <-w.batches:
			if !more {
				return
			}
			if err := w.storeInTurn(w.load.ctx, b); err != nil {
				w.load.cancel(err)
				return
			}
			if w.sent.Add(-1) == 0 {
				w.load.room.remind()
			}
		case <-w.load.ctx.Done():
			return
		}
	}
}

func (w *worker) storeInTurn(ctx context.Context, b *batch) error {
	for _, other := range b.after {
		select {
		case <-other.stored:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b.after = nil
	defer close(b.stored)
	return w.store(ctx, b)
}

// store stores a batch, and what of it cannot be stored together mail by mail. Its
// error ends the load.
func (w *worker) store(ctx context.Context, b *batch) error {
	if b.alone != nil {
		return w.storeAlone(ctx, b.alone)
	}
	var results []store.Result
	err := w.try(ctx, func() (err error) {
		results, err = w.conn.DeliverBatch(ctx, &b.Batch)
		return err
	})
	switch {
	case err == nil:
		for i, m := range b.mails {
			w.report(m, results[i:i+1:i+1], nil)
		}
		return nil
	case isFatal(ctx, err):
		return err
	case b.Len() == 1:
		return w.storeAlone(ctx, b.mails[0])
	}
	for _, part := range b.divide() {
		if err := w.store(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// storeAlone stores a mail by itself, or else reports that it cannot be.
func (w *worker) storeAlone(ctx context.Context, m *mail) error {
	var results []store.Result
	err := w.try(ctx, func() (err error) {
		results, err = w.conn.Deliver(ctx, m.Delivery)
		return err
	})
	if err != nil && isFatal(ctx, err) {
		return err
	}
	w.report(m, results, err)
	return nil
}

func (w *worker) report(m *mail, results []store.Result, err error) {
	w.onTheWay.remove(m)
	w.load.report(m, results, err)
}

const (
	attempts     = 5 // of what other transactions or a lack of memory got in the way of
	firstBackOff = 100 * time.Millisecond
	lastBackOff  = 10 * time.Second
)

// try does something over the connection, again and again while the database is
// what prevents it. What it returns is the mail's fault, or no use to be tried.
func (w *worker) try(ctx context.Context, do func() error) error {
	pause := firstBackOff
	for attempt := 1; ; attempt++ {
		err := w.connect(ctx)
		connected := err == nil
		if connected {
			err = do()
		}
		if err == nil || isFatal(ctx, err) {
			return err
		}
		switch kind := store.TroubleOf(err); {
		case !connected || w.conn.Lost() || isAway(kind):
			w.load.options.Waiting(err)
		case attempt == attempts || !isPassing(kind):
			return err
		}
		if connected && w.conn.Lost() {
			w.conn.Close(ctx)
			w.conn = nil
		}
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, lastBackOff)
	}
}

// connect makes the connection where there is none.
func (w *worker) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := store.Connect(ctx, w.config)
	if err != nil {
		return err
	}
	if err := conn.PrepareBatches(ctx); err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	w.conn = conn
	return nil
}

// isAway says that there is nothing but to wait for the database.
func isAway(kind store.Trouble) bool {
	switch kind {
	case store.TroubleAway, store.TroubleLost, store.TroubleNoSlot, store.TroubleStarting, store.TroubleReadOnly, store.TroubleDisk:
		return true
	}
	return false
}

// isPassing says that trying again may help.
func isPassing(kind store.Trouble) bool {
	switch kind {
	case store.TroubleContest, store.TroubleTimeout, store.TroubleMemory:
		return true
	}
	return false
}

// isFatal says that no mail can be stored, whatever one waits for.
func isFatal(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	switch store.TroubleOf(err) {
	case store.TroubleConfig, store.TroubleRights, store.TroubleSchema:
		return true
	}
	return false
}
