package poller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
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
	// readingTime is how long the table may take, whatever a delivery may: until then
	// the loop does not come round.
	readingTime = 10 * time.Second
)

// Watch says how to go on looking into sources.
type Watch struct {
	AtOnce int // runs at the same time
	Idle   int // connections to servers that wait for mail, at the same time

	// Reload asks to read all anew: Configure, and then the table. It may be nil.
	Reload    <-chan os.Signal
	Configure func() (deliver.Config, error)
	// Reloaded is told when the table was read the first time, and after each Reload
	// when that was tried.
	Reloaded func()

	Done    func(source.Source, source.Count, error)
	Figures *Figures // is kept up to date; may be nil
}

// watch is a Poller that goes on.
type watch struct {
	*Poller
	Watch

	config  deliver.Config // that the next run gets
	conn    *pgx.Conn      // to read the table with; nil after it was lost
	away    bool           // which was said
	asked   time.Time      // when the health of the sources was asked for last
	sources map[int64]*watched
	idling  *idling
	ended   chan ended
	woken   chan int64
}

// watched is what is known of an active source.
type watched struct {
	source    source.Source
	run       *run         // that goes on; nil: none
	progress  atomic.Int64 // when it last got on, in nanoseconds
	stuck     bool         // it has not got on for long, and has no connection to the database
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
	if o.Figures == nil {
		o.Figures = &Figures{}
	}
	w := &watch{Poller: p, Watch: o, config: p.Config, sources: map[int64]*watched{}, idling: &idling{limit: o.Idle},
		ended: make(chan ended), woken: make(chan int64)}
	tick := time.NewTicker(rereadEvery)
	defer tick.Stop()
	defer w.stop()
	told := false
	for ctx.Err() == nil {
		w.Figures.turn()
		w.reread(ctx)
		if !told && !w.away && w.Reloaded != nil {
			w.Reloaded()
		}
		told = told || !w.away
		w.begin(ctx)
		select {
		case <-ctx.Done():
		case e := <-w.ended:
			w.end(e)
		case id := <-w.woken:
			if s := w.sources[id]; s != nil {
				s.early = true
			}
		case <-w.Reload:
			w.reload(ctx)
		case <-tick.C:
		}
	}
}

// reload takes over what was changed: secrets and certificates are read whenever they
// are needed.
func (w *watch) reload(ctx context.Context) {
	if w.Configure != nil {
		config, err := w.Configure()
		if err != nil {
			w.Done(source.Source{}, source.Count{}, fmt.Errorf("%w: going on with the configuration of before", err))
		} else {
			w.config = config
		}
	}
	w.reread(ctx)
	if w.Reloaded != nil {
		w.Reloaded()
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
	w.Figures.read(list)
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
			if s.run == nil {
				delete(w.sources, id)
			}
		}
	}
}

func (w *watch) active(ctx context.Context) ([]source.Source, error) {
	ctx, cancel := context.WithTimeout(ctx, min(w.config.Timeout, readingTime))
	defer cancel()
	if w.conn == nil || w.conn.IsClosed() {
		w.disconnect()
		conn, err := w.Connect(ctx)
		if err != nil {
			return nil, err
		}
		w.conn = conn
	}
	list, err := source.Active(ctx, w.conn)
	if err != nil || time.Since(w.asked) < rereadEvery {
		return list, err
	}
	health, err := source.HealthOf(ctx, w.conn)
	if err != nil {
		return nil, err
	}
	w.asked = time.Now()
	w.Figures.health(health)
	return list, nil
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
	room := w.AtOnce - w.busy(now)
	for id, s := range w.sources {
		due := s.source.Due || s.early && s.source.Failures == 0
		if room <= 0 || w.away || s.run != nil || !due || now.Before(s.notBefore) {
			continue
		}
		room--
		s.run, s.woken, s.early, s.stuck = w.runOf(s), !s.source.Due, false, false
		s.progress.Store(now.UnixNano())
		if s.waiter.ended() {
			s.waiter = w.wait(ctx, s.source)
		}
		w.Figures.change(id, func(f *figure) { f.Running = true })
		r, opened := s.run, s.waiter.opened
		go func() {
			<-opened // what comes while it lists wakes the next run
			count, err := r.look(ctx)
			w.ended <- ended{id, count, err}
		}()
	}
}

// busy is how many runs get on. One that does not is left alone, without the
// connection to the database that others may need.
func (w *watch) busy(now time.Time) (runs int) {
	for _, s := range w.sources {
		if s.run == nil {
			continue
		}
		before := s.stuck
		if s.stuck = now.Sub(time.Unix(0, s.progress.Load())) >= stuckAfter; !s.stuck {
			runs++
		} else if !before {
			go s.run.letGo()
		}
	}
	return runs
}

func (w *watch) runOf(s *watched) *run {
	id := s.source.ID
	return &run{
		Poller: w.Poller, Config: w.config, source: s.source,
		progress: func(count source.Count) {
			s.progress.Store(time.Now().UnixNano())
			w.Figures.change(id, func(f *figure) { f.Count = count })
		},
		reconnected: func() { w.Figures.change(id, func(f *figure) { f.Reconnects++ }) },
	}
}

// end takes note of a run that has ended.
func (w *watch) end(e ended) {
	s := w.sources[e.id]
	s.run = nil
	w.Figures.end(e.id, e.count, e.err)
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
		for s.run != nil {
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
