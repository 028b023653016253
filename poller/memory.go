package poller

import (
	"context"
	"time"

	"mailrow/store/source"
)

// reserve waits for the memory of a mail of so many bytes, if that is more than each
// run may keep; what was reserved before is given back first, since who holds some
// and waits for more could wait for ever. It returns early, without an error, when ctx
// ends.
func (p *pass) reserve(ctx context.Context, bytes int64) error {
	if p.Memory == nil || bytes < keptBuffer || bytes > p.Config.MaxSize+1 {
		return nil
	}
	p.release()
	if bytes = min(bytes, p.Memory.Size()); p.Memory.Take(bytes) {
		p.taken = bytes
		return nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan int64, 1)
	go func() {
		taken, _ := p.Memory.Wait(waiting, bytes) // nothing when ctx ends
		done <- taken
	}()
	for {
		select {
		case p.taken = <-done:
			return nil
		case <-time.After(source.KeepAlive):
		}
		if err := p.stayAlive(ctx); err != nil {
			cancel()
			p.taken = <-done
			return err
		}
	}
}

// release gives back what a mail has used.
func (p *pass) release() {
	if cap(p.buffer) > keptBuffer {
		p.buffer = nil
	}
	if p.taken > 0 {
		p.Memory.Give(p.taken)
		p.taken = 0
	}
}
