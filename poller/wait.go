package poller

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"mailrow/store/source"
)

// How many folders of one source are watched; what comes into the others is found
// when the source is due.
const (
	maxWatched = 32
	// Each folder elsewhere takes a connection, of which servers allow some ten a
	// user.
	maxIdling = 4
)

// idling is how many connections to servers wait for mail.
type idling struct {
	mu          sync.Mutex
	limit, used int
}

// take takes one if enough are left: one for each source that others are to have.
func (i *idling) take(others int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.used+others >= i.limit {
		return false
	}
	i.used++
	return true
}

func (i *idling) give(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used -= n
}

var errNotWatched = errors.New("folders of this kind do not tell when mail comes")

// waiter waits for mail to come into a source. A nil one has ended.
type waiter struct {
	cancel context.CancelFunc
	opened chan struct{} // closed when nothing that comes is missed
	done   chan struct{}
}

// wait begins to wait. It opens each folder anew: a source is not for simultaneous
// use. What cannot be watched is left to be found when it is due.
func (w *watch) wait(ctx context.Context, s source.Source) *waiter {
	waiting, cancel := context.WithCancel(ctx)
	one := &waiter{cancel, make(chan struct{}), make(chan struct{})}
	unwatched := w.unwatched(s.ID)
	go func() {
		defer cancel()
		lost := w.follow(waiting, s, one, unwatched)
		close(one.done)
		if lost {
			w.Figures.change(s.ID, func(f *figure) { f.Reconnects++ }) // the run that finds what came meanwhile begins to wait anew
			w.wake(ctx, s)
		}
	}()
	return one
}

// follow wakes the source whenever mail may have come, until ctx ends, nobody tells
// anything any more, or a connection is lost that did.
func (w *watch) follow(ctx context.Context, s source.Source, one *waiter, unwatched int) bool {
	var folders sync.WaitGroup
	var lost atomic.Bool
	list := w.watchers(ctx, s, unwatched)
	w.Figures.change(s.ID, func(f *figure) { f.Waiting = len(list) })
	defer w.Figures.change(s.ID, func(f *figure) { f.Waiting = 0 })
	close(one.opened)
	for _, open := range list {
		folders.Go(func() {
			defer open.close()
			var err error
			for err == nil {
				if err = open.watcher.Wait(ctx); err == nil {
					w.wake(ctx, s)
				}
			}
			var broken *BrokenError
			if errors.As(err, &broken) {
				lost.Store(true)
				one.stop()
			}
		})
	}
	folders.Wait()
	return lost.Load()
}

// unwatched is how many other sources elsewhere nobody waits for yet.
func (w *watch) unwatched(id int64) (n int) {
	for other, s := range w.sources {
		if other == id || !s.waiter.ended() {
			continue
		}
		if u, err := ParseURI(s.source.URI); err == nil && tells(u) && !u.Local() {
			n++
		}
	}
	return n
}

// tells says whether mailboxes of a kind can tell when mail comes.
func tells(u URI) bool { return u.Kind != "pop3" }

func (w *watch) wake(ctx context.Context, s source.Source) {
	select {
	case w.woken <- s.ID:
	case <-ctx.Done():
	}
}

func (o *waiter) stop() {
	if o != nil {
		o.cancel()
	}
}

func (o *waiter) ended() bool {
	if o == nil {
		return true
	}
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// watcher is that of a folder, and what closes it.
type watcher struct {
	watcher Watcher
	close   func()
}

func (w *watch) watchers(ctx context.Context, s source.Source, unwatched int) (list []watcher) {
	u, err := ParseURI(s.URI)
	if err != nil || !tells(u) || !u.Local() && !w.idling.take(0) {
		return nil
	}
	taken := 1
	if !u.Local() {
		defer func() { w.idling.give(taken - len(list)) }()
	}
	names, err := w.names(ctx, s, u)
	switch {
	case err != nil || u.Local() && len(names) > maxWatched:
		return nil
	case !u.Local() && len(names) > maxIdling:
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
		names = names[:maxIdling]
	}
	for i, name := range names {
		if i > 0 && !u.Local() {
			// The first folder of each source comes before the second of any.
			if !w.idling.take(unwatched) {
				break
			}
			taken++
		}
		one, err := w.watcher(ctx, s, u, name)
		if err != nil {
			continue
		}
		if closeIt := one.close; !u.Local() {
			one.close = func() {
				closeIt()
				w.idling.give(1)
			}
		}
		list = append(list, one)
	}
	return list
}

// rank lets INBOX come first.
func rank(name string) int {
	if name == "INBOX" {
		return 0
	}
	return 1
}

func (w *watch) names(ctx context.Context, s source.Source, u URI) ([]string, error) {
	opened, err := w.Open(ctx, s, u)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return folderNames(ctx, opened, u)
}

func (w *watch) watcher(ctx context.Context, s source.Source, u URI, name string) (watcher, error) {
	opened, err := w.Open(ctx, s, u)
	if err != nil {
		return watcher{}, err
	}
	f, err := opened.Folder(ctx, name)
	if err != nil {
		opened.Close()
		return watcher{}, err
	}
	closeAll := func() {
		f.Close()
		opened.Close()
	}
	if watches, ok := f.(Watcher); ok {
		return watcher{watches, closeAll}, nil
	}
	closeAll()
	return watcher{}, errNotWatched
}
