// Package budget bounds the memory that mails in hand use together.
package budget

import (
	"context"
	"fmt"
	"sync"
)

// Budget is memory that mails in hand share, in bytes. It is safe for simultaneous
// use.
type Budget struct {
	size int64

	mu      sync.Mutex
	left    int64
	waiting []*claim // in their order
}

// claim is one that waits for its bytes.
type claim struct {
	bytes int64
	got   chan struct{} // closed when they are its own
}

// New makes a budget of so many bytes.
func New(bytes int64) *Budget { return &Budget{size: bytes, left: bytes} }

// Take says whether n more bytes may be used, and counts them if so. Those who Wait
// come first.
func (b *Budget) Take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < n || len(b.waiting) > 0 {
		return false
	}
	b.left -= n
	return true
}

// Wait is Take when there is room, in the order of those who wait: a large mail is not
// overtaken for ever by small ones. More than all there is means all of it. It gives
// what was taken, or else the error of ctx. Who holds bytes already may wait for ever
// for more.
func (b *Budget) Wait(ctx context.Context, n int64) (taken int64, err error) {
	n = min(n, b.size)
	if b.Take(n) {
		return n, nil
	}
	c := &claim{n, make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	b.serve() // what was given back between the two
	b.mu.Unlock()
	select {
	case <-c.got:
		return n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, one := range b.waiting {
		if one == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.serve()
			return 0, fmt.Errorf("wait for %d bytes of memory: %w", n, ctx.Err())
		}
	}
	return n, nil // it came at the last moment
}

// Give gives bytes back.
func (b *Budget) Give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
	b.serve()
}

// serve lets those have their bytes whose turn it is. The caller holds the lock.
func (b *Budget) serve() {
	for len(b.waiting) > 0 && b.waiting[0].bytes <= b.left {
		b.left -= b.waiting[0].bytes
		close(b.waiting[0].got)
		b.waiting = b.waiting[1:]
	}
}

// Left is what no mail uses.
func (b *Budget) Left() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left
}

// Size is all of it.
func (b *Budget) Size() int64 { return b.size }
