package files

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailrow/poller/inotify"
)

// Watcher tells when something comes into directories. It takes hold of the
// kernel only when it is asked to wait: most folders never are, and the number of
// watches is limited.
type Watcher struct {
	dirs   []string
	opened State
	watch  *inotify.Watch
}

// NewWatcher looks at directories as they are now.
func NewWatcher(dirs ...string) (*Watcher, error) {
	state, err := Look(dirs...)
	if err != nil {
		return nil, err
	}
	return &Watcher{dirs: dirs, opened: state}, nil
}

// Wait returns nil when something came since NewWatcher or since Wait last
// returned nil.
func (w *Watcher) Wait(ctx context.Context) error {
	if w.watch != nil {
		return w.watch.Wait(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, dir := range w.dirs {
		if _, err := Look(dir); err != nil { // one that comes later would not be watched
			return fmt.Errorf("wait for mail: %w", err)
		}
	}
	watch, err := inotify.New(w.dirs...)
	if err != nil {
		return err
	}
	w.watch = watch
	// What came before the watch began only the times tell.
	now, err := Look(w.dirs...)
	if err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	if !w.opened.Settled() || !w.opened.Same(now) {
		return nil
	}
	return w.watch.Wait(ctx)
}

// WaitUntil is Wait that also returns nil at a time, unless that is zero.
func (w *Watcher) WaitUntil(ctx context.Context, at time.Time) error {
	if at.IsZero() {
		return w.Wait(ctx)
	}
	early, cancel := context.WithDeadline(ctx, at)
	defer cancel()
	err := w.Wait(early)
	if ctx.Err() == nil && early.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// Close gives the watch back.
func (w *Watcher) Close() error {
	if w.watch == nil {
		return nil
	}
	return w.watch.Close()
}
