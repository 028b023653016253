package poller

import (
	"context"
	"errors"
	"sync"

	"mailrow/store/source"
)

// maxWatched is how many folders of one source are watched; what comes into the
// others is found when the source is due.
const maxWatched = 32

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
	ctx, cancel := context.WithCancel(ctx)
	one := &waiter{cancel, make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(one.done)
		defer cancel()
		list := w.watchers(ctx, s)
		close(one.opened)
		var folders sync.WaitGroup
		for _, open := range list {
			folders.Go(func() {
				defer open.close()
				for open.watcher.Wait(ctx) == nil {
					select {
					case w.woken <- s.ID:
					case <-ctx.Done():
					}
				}
			})
		}
		folders.Wait()
	}()
	return one
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

func (w *watch) watchers(ctx context.Context, s source.Source) (list []watcher) {
	u, err := ParseURI(s.URI)
	if err != nil {
		return nil
	}
	names, err := w.names(ctx, u)
	if err != nil || len(names) > maxWatched {
		return nil
	}
	for _, name := range names {
		if one, err := w.watcher(ctx, u, name); err == nil {
			list = append(list, one)
		}
	}
	return list
}

func (w *watch) names(ctx context.Context, u URI) ([]string, error) {
	opened, err := w.Open(ctx, u)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return folderNames(ctx, opened, u)
}

func (w *watch) watcher(ctx context.Context, u URI, name string) (watcher, error) {
	opened, err := w.Open(ctx, u)
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
