package store

import (
	"context"
	"fmt"
	"slices"
)

// perLane is how many connections mail for one recipient may use. While one waits
// for its commit, the other works.
const perLane = 2

// lane is where mail for one recipient goes.
type lane struct {
	slots   chan struct{} // a token for each connection that it may use
	users   int           // deliveries that have not ended
	waiting []*pending    // for a connection, in their order
}

// enter has a delivery wait in its lane, until leave is called.
func (p *Pool) enter(own *pending) (l *lane, leave func()) {
	var to destination
	if len(own.Lookups) > 0 {
		to = destinationOf(own.Delivery)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l = p.lanes[to]
	if l == nil {
		width := perLane
		if !p.prepare.Load() { // nothing is stored together
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
	if p.prepare.Load() && len(rest) > 0 && list[0].joins(batch) {
		var others []*pending
		for _, one := range rest {
			if len(list) < poolMails && batch.Size()+len(one.Raw) <= poolBytes && one.joins(batch) {
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

// joins adds a delivery to a batch where that can be. One that is a defect of ours has
// its panic alone.
func (one *pending) joins(b *Batch) (joined bool) {
	err := guarded(func() error {
		joined = b.Add(one.Delivery, one.threads)
		return nil
	})
	return joined && err == nil
}
