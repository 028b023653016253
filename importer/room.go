package importer

import (
	"context"
	"sync"
)

// room bounds the bytes of the mails that are in hand. One that is larger than
// all of it is alone.
type room struct {
	mutex      sync.Mutex
	free, size int
	freed      chan struct{} // closed when there is more
}

func newRoom(size int) *room { return &room{free: size, size: size, freed: make(chan struct{})} }

// take waits for room.
func (r *room) take(ctx context.Context, n int) error {
	n = min(n, r.size)
	for {
		r.mutex.Lock()
		if r.free >= n {
			r.free -= n
			r.mutex.Unlock()
			return nil
		}
		freed := r.freed
		r.mutex.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// give gives back what take took.
func (r *room) give(n int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.free += min(n, r.size)
	close(r.freed)
	r.freed = make(chan struct{})
}
