package store

import (
	"context"
	"fmt"
	"time"
)

// Pool keeps connections for who delivers again and again. It is safe for
// simultaneous use.
type Pool struct {
	config  *Config
	prepare bool
	slots   chan struct{} // a token for each connection there may be
	idle    chan *Conn
}

// NewPool makes a pool of at most size connections, none of which is opened yet.
// prepare says that statements may be kept on the server, which is not so behind a
// pooler in transaction mode.
func NewPool(c *Config, size int, prepare bool) *Pool {
	return &Pool{config: c, prepare: prepare, slots: make(chan struct{}, size), idle: make(chan *Conn, size)}
}

// Deliver is Conn.Deliver over a connection that is free, or will be. A connection
// that turns out to be dead, as after a restart of the server, is replaced once.
func (p *Pool) Deliver(ctx context.Context, d *Delivery) ([]Result, error) {
	conn, kept, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	results, err := conn.Deliver(ctx, d)
	if kept && err != nil && conn.isBroken(err) && ctx.Err() == nil {
		conn.abandon()
		if conn, err = p.open(ctx); err != nil {
			return nil, err
		}
		results, err = conn.Deliver(ctx, d)
	}
	p.put(conn, err)
	return results, err
}

// Ping tells whether the database can be reached, with the errors of Connect.
func (p *Pool) Ping(ctx context.Context) error {
	conn, kept, err := p.take(ctx)
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

// take gives a connection, and says whether it was kept from before. Who takes one
// gives it to put, or has an error.
func (p *Pool) take(ctx context.Context) (conn *Conn, kept bool, err error) {
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
	case <-ctx.Done():
		return nil, false, fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
}

// open makes the connection of a slot that is taken, or gives the slot back.
func (p *Pool) open(ctx context.Context) (*Conn, error) {
	conn, err := Connect(ctx, p.config)
	if err == nil && p.prepare {
		if err = conn.Prepare(ctx); err != nil {
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
	return c.pg.IsClosed()
}

func (c *Conn) ping(ctx context.Context) error {
	if err := c.pg.Exec(ctx, "select").Close(); err != nil {
		return fmt.Errorf("reach database: %w", err)
	}
	return nil
}
