package store

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// Pool keeps connections for who delivers again and again. It is safe for
// simultaneous use.
//
// A mail that finds a connection free is delivered by itself, at once. Mails that
// have to wait for one are stored together by the next that is: those for the same
// recipient by one statement and one commit.
type Pool struct {
	config  *Config
	prepare bool
	slots   chan struct{} // a token for each connection there may be
	idle    chan *Conn

	mu      sync.Mutex
	waiting []*pending // for a connection, in their order
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
	return PoolFigures{Size: cap(p.slots), Open: len(p.slots), Idle: len(p.idle), Waiting: len(p.waiting), Batches: p.batches, Committed: p.last}
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
	deadline time.Time
	done     chan struct{} // closed when there are results, or an error
	results  []Result
	err      error
}

// NewPool makes a pool of at most size connections, none of which is opened yet.
// prepare says that statements may be kept on the server, which is not so behind a
// pooler in transaction mode.
func NewPool(c *Config, size int, prepare bool) *Pool {
	return &Pool{config: c, prepare: prepare, slots: make(chan struct{}, size), idle: make(chan *Conn, size)}
}

// noDeadline is that of a delivery whose context has none.
const noDeadline = time.Hour

// Deliver is Conn.Deliver over a connection that is free, or will be. A connection
// that turns out to be dead, as after a restart of the server, is replaced once.
func (p *Pool) Deliver(ctx context.Context, d *Delivery) ([]Result, error) {
	own := &pending{Delivery: d, done: make(chan struct{})}
	var limited bool
	if own.deadline, limited = ctx.Deadline(); !limited {
		own.deadline = time.Now().Add(noDeadline)
	}
	p.mu.Lock()
	p.waiting = append(p.waiting, own)
	p.mu.Unlock()
	for {
		select {
		case <-own.done:
			return own.results, own.err
		default:
		}
		conn, kept, err := p.take(ctx, own.done)
		switch {
		case err != nil && p.leave(own):
			return nil, err
		case err != nil: // another has it in hand
			select {
			case <-own.done:
				return own.results, own.err
			case <-ctx.Done():
				return nil, fmt.Errorf("store message: %w", ctx.Err())
			}
		case conn == nil:
			return own.results, own.err
		}
		p.serve(ctx, conn, kept)
	}
}

// leave takes a delivery out of those that wait; false when it is not among them.
func (p *Pool) leave(own *pending) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.waiting, own)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	return at >= 0
}

// What one commit may hold: more would make the first wait for the last.
const (
	poolMails = 64
	poolBytes = 1 << 20
)

// next takes the first that waits, and those that can be stored together with it.
func (p *Pool) next() (batch *Batch, list []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return nil, nil
	}
	batch, list = new(Batch), p.waiting[:1:1]
	rest := p.waiting[1:]
	if p.prepare && len(rest) > 0 && batch.Add(list[0].Delivery, ThreadsOf(list[0].Message)) {
		var others []*pending
		for _, one := range rest {
			if len(list) < poolMails && batch.Size()+len(one.Raw) <= poolBytes && batch.Add(one.Delivery, ThreadsOf(one.Message)) {
				list = append(list, one)
			} else {
				others = append(others, one)
			}
		}
		rest = others
	}
	p.waiting = rest
	return batch, list
}

// serve delivers what is next over a connection, which it gives back.
func (p *Pool) serve(ctx context.Context, conn *Conn, kept bool) {
	batch, list := p.next()
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
		results, err := conn.DeliverBatch(limited, batch)
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
	one.results, one.err = conn.Deliver(ctx, one.Delivery)
	if one.err == nil || !conn.isBroken(one.err) {
		return conn, true, nil
	}
	conn.abandon()
	if !kept || ctx.Err() != nil {
		<-p.slots
		return nil, false, one.err
	}
	conn, err := p.open(ctx)
	if err != nil {
		one.err = err
		return nil, false, err
	}
	one.results, one.err = conn.Deliver(ctx, one.Delivery)
	if one.err != nil && conn.isBroken(one.err) {
		conn.abandon()
		<-p.slots
		return nil, false, one.err
	}
	return conn, true, nil
}

// Ping tells whether the database can be reached, with the errors of Connect.
func (p *Pool) Ping(ctx context.Context) error {
	conn, kept, err := p.take(ctx, nil)
	if err != nil {
		return err
	}
	err = conn.ping(ctx)
	if kept && err != nil && ctx.Err() == nil {
		conn.abandon()
		if conn, err = p.open(ctx); err != nil {
			return err
		}
		err = conn.ping(ctx)
	}
	p.put(conn, err)
	return err
}

// take gives a connection, and says whether it was kept from before; nil when done
// is closed first. Who takes one gives it to put.
func (p *Pool) take(ctx context.Context, done <-chan struct{}) (conn *Conn, kept bool, err error) {
	select {
	case conn := <-p.idle:
		return conn, true, nil
	default:
	}
	select {
	case conn := <-p.idle:
		return conn, true, nil
	case p.slots <- struct{}{}:
		conn, err := p.open(ctx)
		return conn, false, err
	case <-done:
		return nil, false, nil
	case <-ctx.Done():
		return nil, false, fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
}

// open makes the connection of a slot that is taken, or gives the slot back.
func (p *Pool) open(ctx context.Context) (*Conn, error) {
	conn, err := Connect(ctx, p.config)
	if err == nil && p.prepare {
		if err = conn.prepareAll(ctx); err != nil {
			conn.abandon()
		}
	}
	if err != nil {
		<-p.slots
		return nil, err
	}
	return conn, nil
}

// put gives a connection back after its use ended so.
func (p *Pool) put(conn *Conn, err error) {
	if err != nil && conn.isBroken(err) {
		conn.abandon()
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
			conn.abandon()
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
	case TroubleStarting, TroubleLost, TroubleSchema: // migrated meanwhile: statements are to be prepared anew
		return true
	}
	return c.Lost()
}

func (c *Conn) ping(ctx context.Context) error {
	if err := c.pg.Exec(ctx, "select").Close(); err != nil {
		return fmt.Errorf("reach database: %w", err)
	}
	return nil
}
