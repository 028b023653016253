package store

import (
	"context"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Pool keeps connections for who delivers again and again. It is safe for
// simultaneous use.
//
// A mail that finds a connection free is delivered by itself, at once. Mails that
// have to wait for one are stored together by the next that is: those for the same
// recipient by one statement and one commit. Two connections at most store mail for
// one recipient, so that others find one when it is stuck, and since mails that are
// stored together cost half of what they cost alone.
type Pool struct {
	config  *Config
	prepare atomic.Bool
	slots   chan struct{} // a token for each connection there may be
	idle    chan *Conn
	open    atomic.Int32 // connections there are

	mu      sync.Mutex
	lanes   map[destination]*lane // of those who deliver
	batches Batches
	last    time.Time // when one was committed
}

// Batches is how many commits have held how many mails: one, two, up to four, eight,
// 16, 32 and 64.
type Batches struct {
	Commits [7]int64
	Mails   int64
}

// PoolFigures is how a Pool is used.
type PoolFigures struct {
	Size, Open, Idle int // connections there may be, there are, and that nobody uses
	Waiting          int // mails that wait for one
	Batches          Batches
	Committed        time.Time // when the last of them was; zero before the first
}

// Figures gives how the pool is used now, and what it has committed.
func (p *Pool) Figures() PoolFigures {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := PoolFigures{Size: cap(p.slots), Open: len(p.slots), Idle: len(p.idle), Batches: p.batches, Committed: p.last}
	for _, l := range p.lanes {
		f.Waiting += len(l.waiting)
	}
	return f
}

// committed counts a commit of so many mails.
func (p *Pool) committed(mails int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches.Commits[bits.Len(uint(mails-1))]++
	p.batches.Mails += int64(mails)
	p.last = time.Now()
}

// pending is a delivery on its way through a Pool.
type pending struct {
	*Delivery
	threads  Threads
	deadline time.Time
	taken    chan struct{} // closed when a connection has it in hand
	done     chan struct{} // closed when there are results, or an error
	results  []Result
	err      error
}

// NewPool makes a pool of at most size connections, none of which is opened yet.
// prepare says that statements may be kept on the server, which is not so behind a
// pooler in transaction mode; where it turns out that there is one, none are.
func NewPool(c *Config, size int, prepare bool) *Pool {
	p := &Pool{config: c, slots: make(chan struct{}, size), idle: make(chan *Conn, size), lanes: make(map[destination]*lane)}
	p.prepare.Store(prepare)
	return p
}

// noDeadline is that of a delivery whose context has none.
const noDeadline = time.Hour

// Deliver is Conn.Deliver over a connection that is free, or will be. A connection
// that turns out to be dead, as after a restart of the server, is replaced once.
func (p *Pool) Deliver(ctx context.Context, d *Delivery) ([]Result, error) {
	own := &pending{Delivery: d, taken: make(chan struct{}), done: make(chan struct{})}
	if err := guarded(func() error { own.threads = ThreadsOf(d.Message); return nil }); err != nil {
		return nil, err
	}
	var limited bool
	if own.deadline, limited = ctx.Deadline(); !limited {
		own.deadline = time.Now().Add(noDeadline)
	}
	l, leave := p.enter(own)
	defer leave()
	for {
		conn, kept, err := p.takeIn(ctx, l, own)
		if conn != nil {
			p.serve(ctx, l, conn, kept)
			<-l.slots
			continue
		}
		if err != nil && p.withdraw(l, own) {
			return nil, err
		}
		// Some connection has it in hand.
		select {
		case <-own.done:
			return own.results, own.err
		case <-ctx.Done():
			return nil, fmt.Errorf("store message: %w", ctx.Err())
		}
	}
}

// serve delivers what is next in a lane over a connection, which it gives back.
func (p *Pool) serve(ctx context.Context, l *lane, conn *Conn, kept bool) {
	batch, list := p.next(l)
	if list == nil {
		p.put(conn, nil)
		return
	}
	// Each has a deadline of its own, and none is cut off by that of another.
	latest := list[0].deadline
	for _, one := range list {
		if one.deadline.After(latest) {
			latest = one.deadline
		}
	}
	if len(list) > 1 {
		limited, cancel := context.WithDeadline(context.WithoutCancel(ctx), latest)
		var results []Result
		err := guarded(func() (err error) {
			results, err = conn.DeliverBatch(limited, batch)
			return err
		})
		cancel()
		if err == nil {
			p.committed(len(list))
			for i, one := range list {
				one.results = results[i : i+1 : i+1]
				close(one.done)
			}
			p.put(conn, nil)
			return
		}
		if isUnprepared(err) {
			p.prepare.Store(false)
		}
	}
	// One of them may be what the database does not take: it shall not keep the others.
	var err error
	for _, one := range list {
		if conn == nil {
			one.err = err
		} else {
			conn, kept, err = p.alone(ctx, conn, kept, one)
		}
		if one.err == nil {
			p.committed(1)
		}
		close(one.done)
	}
	if conn != nil {
		p.put(conn, nil)
	}
}

// alone delivers one mail. It gives the connection for the next, nil where there
// is none to be had, and why.
func (p *Pool) alone(ctx context.Context, conn *Conn, kept bool, one *pending) (*Conn, bool, error) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), one.deadline)
	defer cancel()
	one.deliver(ctx, conn)
	if one.err == nil || !conn.isBroken(one.err) {
		return conn, true, nil
	}
	p.abandon(conn)
	if !kept || ctx.Err() != nil {
		<-p.slots
		return nil, false, one.err
	}
	conn, err := p.connect(ctx)
	if err != nil {
		one.err = err
		return nil, false, err
	}
	one.deliver(ctx, conn)
	if one.err != nil && conn.isBroken(one.err) {
		p.abandon(conn)
		<-p.slots
		return nil, false, one.err
	}
	return conn, true, nil
}

func (one *pending) deliver(ctx context.Context, conn *Conn) {
	one.err = guarded(func() (err error) {
		one.results, err = conn.Deliver(ctx, one.Delivery)
		return err
	})
}

// guarded makes an error of a panic: a defect of ours costs the mail that has met it a
// try, and not the connection or the mails that wait with it.
func guarded(do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("store message: panic: %v", fault)
		}
	}()
	return do()
}

// Ping tells whether the database can be reached, with the errors of Connect.
func (p *Pool) Ping(ctx context.Context) error {
	conn, kept, err := p.take(ctx, nil)
	if err != nil {
		return err
	}
	err = conn.ping(ctx)
	if kept && err != nil && ctx.Err() == nil {
		p.abandon(conn)
		if conn, err = p.connect(ctx); err != nil {
			return err
		}
		err = conn.ping(ctx)
	}
	p.put(conn, err)
	return err
}

// pauseWhenFull is how long nobody asks for another connection after the server had
// none to give.
const pauseWhenFull = time.Second

// take gives a connection, and says whether it was kept from before; nil when taken
// is closed first. Who takes one gives it to put. Where the server has no place for
// one more, it waits for one of those that there are.
func (p *Pool) take(ctx context.Context, taken <-chan struct{}) (conn *Conn, kept bool, err error) {
	slots, again, full := p.slots, (<-chan time.Time)(nil), error(nil)
	for {
		select {
		case conn := <-p.idle:
			return conn, true, nil
		default:
		}
		select {
		case conn := <-p.idle:
			return conn, true, nil
		case slots <- struct{}{}:
			conn, err := p.connect(ctx)
			if TroubleOf(err) != TroubleNoSlot || p.open.Load() == 0 {
				return conn, false, err
			}
			slots, again, full = nil, time.After(pauseWhenFull), err
		case <-again:
			slots = p.slots
		case <-taken:
			return nil, false, nil
		case <-ctx.Done():
			if full != nil {
				return nil, false, full
			}
			return nil, false, fmt.Errorf("wait for a connection: %w", ctx.Err())
		}
	}
}

// connect makes the connection of a slot that is taken, or gives the slot back.
func (p *Pool) connect(ctx context.Context) (*Conn, error) {
	conn, err := Connect(ctx, p.config)
	if err == nil && p.prepare.Load() {
		switch err = conn.prepareAll(ctx); {
		case isUnprepared(err):
			p.prepare.Store(false)
			conn.prepared, err = nil, nil
		case err != nil:
			conn.abandon()
		}
	}
	if err != nil {
		<-p.slots
		return nil, err
	}
	p.open.Add(1)
	return conn, nil
}

// abandon closes a connection, whose slot remains taken.
func (p *Pool) abandon(conn *Conn) {
	conn.abandon()
	p.open.Add(-1)
}

// put gives a connection back after its use ended so.
func (p *Pool) put(conn *Conn, err error) {
	if err != nil && conn.isBroken(err) {
		p.abandon(conn)
		<-p.slots
		return
	}
	p.idle <- conn
}

// Close closes the connections that are not in use.
func (p *Pool) Close() {
	for {
		select {
		case conn := <-p.idle:
			p.abandon(conn)
			<-p.slots
		default:
			return
		}
	}
}

const goodbye = time.Second // how long the server may take to hear it

// abandon closes a connection in which nobody is interested any more.
func (c *Conn) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	c.Close(ctx) // what was committed stays so
}

// isBroken says that a connection is of no use after this error.
func (c *Conn) isBroken(err error) bool {
	switch TroubleOf(err) {
	case TroubleStarting, TroubleLost:
		return true
	case TroubleSchema: // migrated meanwhile: statements are to be prepared anew
		return true
	case TroubleReadOnly: // a session stays what it was made by settings that have changed since
		return true
	}
	return c.Lost() || c.pg.IsBusy() // a panic came amid its use
}

func (c *Conn) ping(ctx context.Context) error {
	if err := c.pg.Exec(ctx, "select").Close(); err != nil {
		return fmt.Errorf("reach database: %w", err)
	}
	return nil
}
