package load

import (
	"context"
	"sync"
)

// room bounds the bytes of mail on their way. A mail larger than all of it takes
// all of it.
type room struct {
	size int

	mu      sync.Mutex
	free    int
	waiting int
	changed chan struct{} // closed when there is more
	wanted  chan struct{} // holds a token when somebody may have to be given some
}

func newRoom(size int) *room {
	return &room{size: size, free: size, changed: make(chan struct{}), wanted: make(chan struct{}, 1)}
}

// perMail is what a mail takes beside its bytes.
const perMail = 4096

// take waits until there is room for a mail, and gives how much it has taken.
func (r *room) take(ctx, load context.Context, bytes int) (int, error) {
	size := min(bytes+perMail, r.size)
	for {
		r.mu.Lock()
		if r.free >= size {
			r.free -= size
			r.mu.Unlock()
			return size, nil
		}
		changed := r.changed
		r.waiting++
		r.mu.Unlock()
		r.remind()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-load.Done():
			err = context.Cause(load)
		}
		r.mu.Lock()
		r.waiting--
		r.mu.Unlock()
		if err != nil {
			return 0, err
		}
	}
}

func (r *room) give(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += size
	close(r.changed)
	r.changed = make(chan struct{})
}

// remind has who may make room look whether it is wanted.
func (r *room) remind() {
	select {
	case r.wanted <- struct{}{}:
	default:
	}
}

// isWanted says whether somebody waits for room.
func (r *room) isWanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting > 0
}
