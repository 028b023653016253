package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
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
	prepare bool
	slots   chan struct{} // a token for each connection there may be
	idle    chan *Conn

	mu    sync.Mutex
	lanes map[destination]*lane // of those who deliver
}

// perLane is how many connections mail for one recipient may use. While one waits
// for its commit, the other works.
const perLane = 2

// lane is where mail for one recipient goes.
type lane struct {
	slots   chan struct{} // a token for each connection that it may use
	users   int           // deliveries that have not ended
	waiting []*pending    // for a connection, in their order
}

// pending is a delivery on its way through a Pool.
type pending struct {
	*Delivery
	deadline time.Time
	taken    chan struct{} // closed when a connection has it in hand
	done     chan struct{} // closed when there are results, or an error
	results  []Result
	err      error
}

// NewPool makes a pool of at most size connections, none of which is opened yet.
// prepare says that statements may be kept on the server, which is not so behind a
// pooler in transaction mode.
func NewPool(c *Config, size int, prepare bool) *Pool {
	return &Pool{config: c, prepare: prepare, slots: make(chan struct{}, size), idle: make(chan *Conn, size),
		lanes: make(map[destination]*lane)}
}

// noDeadline is that of a delivery whose context has none.
const noDeadline = time.Hour

// Deliver is Conn.Deliver over a connection that is free, or will be. A connection
// that turns out to be dead, as after a restart of the server, is replaced once.
func (p *Pool) Deliver(ctx context.Context, d *Delivery) ([]Result, error) {
	own := &pending{Delivery: d, taken: make(chan struct{}), done: make(chan struct{})}
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

// enter has a delivery wait in its lane, until leave is called.
func (p *Pool) enter(own *pending) (l *lane, leave func()) {
	var to destination
	if len(own.Lookups) > 0 {
		to = destination{own.Account, own.Lookups[0], own.ExtensionMailbox}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l = p.lanes[to]
	if l == nil {
		width := perLane
		if !p.prepare { // nothing is stored together
			width = cap(p.slots)
		}
		l = &lane{slots: make(chan struct{}, width)}
		p.lanes[to] = l
	}
	l.users++
	l.waiting = append(l.waiting, own)
	return l, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(p.lanes, to)
		}
	}
}

// withdraw takes a delivery out of those that wait; false when it is not among them.
func (p *Pool) withdraw(l *lane, own *pending) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(l.waiting, own)
	if at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	return at >= 0
}

// takeIn is take for a delivery that waits in its lane, whose slot goes with the
// connection; nil when another connection takes the delivery in hand first.
func (p *Pool) takeIn(ctx context.Context, l *lane, own *pending) (conn *Conn, kept bool, err error) {
	select {
	case <-own.taken:
		return nil, false, nil
	default:
	}
	select {
	case <-own.taken:
		return nil, false, nil
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	if conn, kept, err = p.take(ctx, own.taken); conn == nil {
		<-l.slots
	}
	return conn, kept, err
}

// What one commit may hold: more would make the first wait for the last.
const (
	poolMails = 64
	poolBytes = 1 << 20
)

// next takes the first that waits, and those that can be stored together with it.
func (p *Pool) next(l *lane) (batch *Batch, list []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil, nil
	}
	batch, list = new(Batch), l.waiting[:1:1]
	rest := l.waiting[1:]
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
	l.waiting = rest
	for _, one := range list {
		close(one.taken)
	}
	return batch, list
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
		results, err := conn.DeliverBatch(limited, batch)
		cancel()
		if err == nil {
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

// take gives a connection, and says whether it was kept from before; nil when taken
// is closed first. Who takes one gives it to put.
func (p *Pool) take(ctx context.Context, taken <-chan struct{}) (conn *Conn, kept bool, err error) {
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
	case <-taken:
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
