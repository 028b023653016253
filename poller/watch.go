package poller

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/store/source"
)

const (
	rereadEvery = 2 * time.Second
	// stuckAfter is how long a run may do nothing before it no longer counts among
	// those at once: the others must not wait for a disk that does not answer.
	stuckAfter = 5 * time.Minute
	// finishing is how long runs may take to finish the mail in hand.
	finishing = 30 * time.Second
	// spacing is the least time between two runs of one source that a Watcher
	// wakes; it doubles while those find nothing, since what wakes it may be what
	// the runs do.
	spacing = 500 * time.Millisecond
)

// Watch says how to go on looking into sources.
type Watch struct {
	AtOnce int              // runs at the same time
	Reread <-chan os.Signal // asks to read the table now; may be nil
	Done   func(source.Source, source.Count, error)
}

// watch is a Poller that goes on.
type watch struct {
	*Poller
	Watch

	conn    *pgx.Conn // to read the table with; nil after it was lost
	away    bool      // which was said
	sources map[int64]*watched
	ended   chan ended
	woken   chan int64
}

// watched is what is known of an active source.
type watched struct {
	source    source.Source
	running   bool
	progress  atomic.Int64 // when it last got on, in nanoseconds
	early     bool         // a Watcher has woken it
	woken     bool         // by which the run began that goes on
	idle      int          // runs so woken that found nothing, one after the other
	notBefore time.Time
	waiter    *waiter
}

type ended struct {
	id    int64
	count source.Count
	err   error
}

// Watch looks into all active sources whenever they are due or mail comes, until
// ctx ends; then the mails in hand are finished. It follows changes of the table.
func (p *Poller) Watch(ctx context.Context, o Watch) {
	w := &watch{Poller: p, Watch: o, sources: map[int64]*watched{}, ended: make(chan ended), woken: make(chan int64)}
	tick := time.NewTicker(rereadEvery)
	defer tick.Stop()
	defer w.stop()
	for ctx.Err() == nil {
		w.reread(ctx)
		w.begin(ctx)
		select {
		case <-ctx.Done():
		case e := <-w.ended:
			w.end(e)
		case id := <-w.woken:
			if s := w.sources[id]; s != nil {
				s.early = true
			}
		case <-w.Reread:
		case <-tick.C:
		}
	}
}

// reread brings sources to what the table says.
func (w *watch) reread(ctx context.Context) {
	list, err := w.active(ctx)
	if err != nil {
		if !w.away && ctx.Err() == nil {
			w.Done(source.Source{}, source.Count{}, err)
		}
		w.away = true
		return
	}
	w.away = false
	there := map[int64]bool{}
	for _, s := range list {
		there[s.ID] = true
		known := w.sources[s.ID]
		if known == nil {
			known = &watched{}
			w.sources[s.ID] = known
		}
		if known.source.URI != s.URI {
			known.waiter.stop()
		}
		known.source = s
	}
	for id, s := range w.sources {
		if !there[id] {
			s.waiter.stop()
			s.source.Due, s.early = false, false
			if !s.running {
				delete(w.sources, id)
			}
		}
	}
}

func (w *watch) active(ctx context.Context) ([]source.Source, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Config.Timeout)
	defer cancel()
	if w.conn == nil || w.conn.IsClosed() {
		w.disconnect()
		conn, err := w.Connect(ctx)
		if err != nil {
			return nil, err
		}
		w.conn = conn
	}
	return source.Active(ctx, w.conn)
}

func (w *watch) disconnect() {
	if w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.conn.Close(ctx)
		w.conn = nil
	}
}

// begin begins the runs that are due, as many as there may be.
func (w *watch) begin(ctx context.Context) {
	now := time.Now()
	room := w.AtOnce
	for _, s := range w.sources {
		if s.running && now.Sub(time.Unix(0, s.progress.Load())) < stuckAfter {
			room--
		}
	}
	for id, s := range w.sources {
		due := s.source.Due || s.early && s.source.Failures == 0
		if room <= 0 || w.away || s.running || !due || now.Before(s.notBefore) {
			continue
		}
		room--
		s.running, s.woken, s.early = true, !s.source.Due, false
		s.progress.Store(now.UnixNano())
		if s.waiter.ended() {
			s.waiter = w.wait(ctx, s.source)
		}
		of, opened := s.source, s.waiter.opened
		go func() {
			<-opened // what comes while it lists wakes the next run
			count, err := w.run(ctx, of, func() { s.progress.Store(time.Now().UnixNano()) })
			w.ended <- ended{id, count, err}
		}()
	}
}

// end takes note of a run that has ended.
func (w *watch) end(e ended) {
	s := w.sources[e.id]
	s.running = false
	s.source.Due = false // until the table is read again
	now := time.Now()
	if errors.Is(e.err, source.ErrBusy) {
		s.notBefore = now.Add(s.source.Every)
		return
	}
	if s.woken && e.count.Stored+e.count.Duplicate == 0 {
		s.idle++
	} else {
		s.idle = 0
	}
	s.notBefore = now.Add(min(s.source.Every, spacing<<min(s.idle, 12)))
	w.Done(s.source, e.count, e.err)
}

// stop waits until the mails in hand are finished.
func (w *watch) stop() {
	for _, s := range w.sources {
		s.waiter.stop()
	}
	deadline := time.After(finishing)
	for _, s := range w.sources {
		for s.running {
			select {
			case e := <-w.ended:
				w.end(e)
			case <-w.woken:
			case <-deadline:
				return
			}
		}
	}
	w.disconnect()
}
