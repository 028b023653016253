// Package load stores archives of mail at near the speed of COPY: mails that come
// one after the other are parsed on all processors and stored together, many by
// one statement and one commit, over several connections.
//
// What it stores is what store.Conn.Deliver would have stored of one mail after
// the other. A mail that has come before is not stored again, so a load that was
// cut off, by whatever, is repeated from its beginning.
package load

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"mailrow/message"
	"mailrow/store"
)

// Options of a load; zero values are replaced by the defaults.
type Options struct {
	Connections int // to the database; 3
	BatchBytes  int // of mail in one transaction; 4 MiB
	BatchMails  int // in one transaction; 500

	// Done is told what became of each mail, in whatever order, and no two at a
	// time. It must not call the Loader. Raw and Message are not used any more.
	Done func(Result)

	// Waiting is told why nothing is stored at the moment: the database does not
	// answer, its disk is full. It may be called by several goroutines.
	Waiting func(error)
}

// Result is what became of one mail.
type Result struct {
	Delivery *store.Delivery
	Results  []store.Result // per recipient: Redelivered when it was there already

	// Err says why the mail is not stored: it alone could not be, and its
	// neighbours are.
	Err error
}

// MemoryLimit is what a program that loads mail gives debug.SetMemoryLimit: it
// then stays below 256 MB, with mails of 50 MB among the others.
const MemoryLimit = 192 << 20

const (
	defaultConnections = 3
	defaultBatchBytes  = 4 << 20
	defaultBatchMails  = 500

	maxBatchBytes = 64 << 20 // a batch is one value for PostgreSQL, which ends at 1 GB

	// Of each connection one batch is being stored, one waits, and one fills.
	batchesPerConnection = 3
	minRoom              = 24 << 20
)

func (o Options) withDefaults() Options {
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = defaultBatchBytes
	}
	o.BatchBytes = min(o.BatchBytes, maxBatchBytes)
	if o.BatchMails <= 0 {
		o.BatchMails = defaultBatchMails
	}
	if o.Done == nil {
		o.Done = func(Result) {}
	}
	if o.Waiting == nil {
		o.Waiting = func(error) {}
	}
	return o
}

// Loader takes mail in. Add may be called by several goroutines; each account's
// mail arrives in the order of the calls.
type Loader struct {
	options Options
	room    *room
	parse   chan *mail
	ordered chan *mail // as Add was called
	order   sync.Mutex // of both channels
	closed  bool

	ctx    context.Context // ends when the load does, with its cause
	cancel context.CancelCauseFunc
	all    sync.WaitGroup
	done   sync.Mutex // held while Options.Done runs
}

// mail is a delivery on its way through a Loader.
type mail struct {
	*store.Delivery
	parsed  chan struct{} // closed when the two below are valid
	threads store.Threads
	content [sha256.Size]byte // what tells that it comes again, where there is no id
	size    int               // of the room that it has taken
}

// errClosed is why a Loader takes no more.
var errClosed = errors.New("the load is closed")

// Open connects to the database as an administrator. The load ends with ctx: what
// has no Result by then may be stored or not.
func Open(ctx context.Context, config *store.Config, options Options) (*Loader, error) {
	options = options.withDefaults()
	l := &Loader{
		options: options,
		room:    newRoom(max(minRoom, options.Connections*batchesPerConnection*options.BatchBytes)),
	}
	// Whatever has room has a place in both.
	most := l.room.size/perMail + 1
	l.parse, l.ordered = make(chan *mail, most), make(chan *mail, most)
	workers := make([]*worker, options.Connections)
	for i := range workers {
		workers[i] = newWorker(l, config)
	}
	// One connection shows whether there is a database that takes mail; the
	// others come when they are needed.
	if err := workers[0].connect(ctx); err != nil {
		return nil, fmt.Errorf("open load: %w", err)
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	for _, w := range workers {
		l.all.Go(w.run)
	}
	l.all.Go(func() { route(l, workers) })
	for range runtime.GOMAXPROCS(0) {
		l.all.Go(l.parseMail)
	}
	return l, nil
}

// Add hands a mail over to be stored, without its Message where that is to be
// parsed; until its Result it is the Loader's. Add returns when there is room for
// the mail, which is long before it is stored; the error says why the load has ended.
func (l *Loader) Add(ctx context.Context, d *store.Delivery) error {
	size, err := l.room.take(ctx, l.ctx, len(d.Raw))
	if err != nil {
		return err
	}
	m := &mail{Delivery: d, parsed: make(chan struct{}), size: size}
	l.order.Lock()
	defer l.order.Unlock()
	if l.closed {
		return errClosed
	}
	l.parse <- m
	l.ordered <- m
	return nil
}

func (l *Loader) parseMail() {
	for {
		select {
		case m, more := <-l.parse:
			if !more {
				return
			}
			if m.Message == nil {
				m.Message = message.Parse(m.Raw)
			}
			m.threads = store.ThreadsOf(m.Message)
			if m.threads.Named == nil && m.threads.Left == nil {
				m.content = sha256.Sum256(m.Raw)
			}
			close(m.parsed)
		case <-l.ctx.Done():
			return
		}
	}
}

// Close waits until every mail that was added has its Result, and disconnects.
// Its error says why the load ended before; nothing may be added after it.
func (l *Loader) Close() error {
	l.order.Lock()
	if !l.closed {
		l.closed = true
		close(l.parse)
		close(l.ordered)
	}
	l.order.Unlock()
	l.all.Wait()
	err := context.Cause(l.ctx)
	l.cancel(errClosed)
	return err
}

// report tells the result of a mail, and makes room.
func (l *Loader) report(m *mail, results []store.Result, err error) {
	l.done.Lock()
	l.options.Done(Result{Delivery: m.Delivery, Results: results, Err: err})
	l.done.Unlock()
	l.room.give(m.size)
}
