package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	b := New(10)
	if !b.Take(7) || b.Take(4) || !b.Take(3) || b.Left() != 0 || b.Size() != 10 {
		t.Errorf("left %d", b.Left())
	}
	b.Give(10)
	if b.Left() != 10 {
		t.Errorf("left %d", b.Left())
	}
}

func TestWaitersHaveTheirTurn(t *testing.T) {
	b := New(10)
	b.Take(8)
	large := make(chan int64)
	go func() {
		n, _ := b.Wait(t.Context(), 100) // all there is
		large <- n
	}()
	for b.Take(1) { // until it waits
		b.Give(1)
		time.Sleep(time.Millisecond)
	}
	small, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if n, err := b.Wait(small, 1); !errors.Is(err, context.DeadlineExceeded) || n != 0 {
		t.Errorf("the small one overtook the large: %d, %v", n, err)
	}
	b.Give(8)
	if n := <-large; n != 10 || b.Left() != 0 {
		t.Errorf("got %d, left %d", n, b.Left())
	}
}

// One who gives up lets those behind it go on.
func TestWaitGivenUp(t *testing.T) {
	b := New(10)
	b.Take(5)
	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := b.Wait(first, 8)
		gone <- err
	}()
	for b.Take(1) {
		b.Give(1)
		time.Sleep(time.Millisecond)
	}
	next := make(chan error)
	go func() {
		_, err := b.Wait(t.Context(), 3)
		next <- err
	}()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-next; err != nil || b.Left() != 2 {
		t.Errorf("%v, left %d", err, b.Left())
	}
}

func TestNeverMoreThanAll(t *testing.T) {
	const size = 100
	b := New(size)
	var used atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(1000))*time.Microsecond)
				n, err := b.Wait(ctx, 1+rand.Int64N(size))
				cancel()
				if err != nil {
					continue
				}
				if now := used.Add(n); now > size {
					t.Errorf("%d bytes are used of %d", now, size)
				}
				used.Add(-n)
				b.Give(n)
			}
		})
	}
	all.Wait()
	if b.Left() != size {
		t.Errorf("left %d", b.Left())
	}
}
