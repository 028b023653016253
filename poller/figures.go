package poller

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mailrow/store/source"
)

// Figures is how a Watch does, for whoever looks after it. Zero is ready for use; it
// is safe for simultaneous use.
type Figures struct {
	mu       sync.Mutex
	turned   time.Time // when the loop last came round
	answered time.Time // when the database last gave the table
	sources  map[int64]*figure
}

// figure is what a Figures knows of a source.
type figure struct {
	Figure
	health   source.Health
	healthAt time.Time
	done     source.Count // of the runs that have ended
}

// Figure is how one source does.
type Figure struct {
	Source source.Source
	Kind   string // of mailbox; "" where the URI cannot be read

	// Lag is how much longer ago than Every a run last got to its end.
	Lag         time.Duration
	Quarantined int64
	Alarms      []string // the kinds of those that last

	// Since the program was started:
	Count      source.Count // with that of the run that goes on
	Runs       int64        // that ended
	Failures   int64        // runs that did not get to their end
	Reconnects int64        // connections lost amid a mail or while waiting for mail

	Running bool
	Waiting int // folders that tell at once when mail comes
}

// Within these times the loop turns and the database answers where all is well.
const (
	turnsWithin   = 45 * time.Second
	answersWithin = 15 * time.Second
)

// Turned says whether the loop has come round within a time.
func (f *Figures) Turned(within time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.turned) < within
}

// Healthy gives what is wrong with the whole, in one sentence that names nothing
// secret: nil while the loop turns and the database answers.
func (f *Figures) Healthy() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	switch {
	case now.Sub(f.turned) > turnsWithin:
		return fmt.Errorf("the loop that looks into the sources has not come round for %v", now.Sub(f.turned).Round(time.Second))
	case f.answered.IsZero():
		return fmt.Errorf("the database has not answered yet")
	case now.Sub(f.answered) > answersWithin:
		return fmt.Errorf("the database has not answered for %v", now.Sub(f.answered).Round(time.Second))
	}
	return nil
}

// Answers says whether the database gave the table when it was last asked.
func (f *Figures) Answers() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.answered.IsZero() && time.Since(f.answered) < answersWithin
}

// Sources gives the figures of all sources that are not paused, by their ids.
func (f *Figures) Sources() []Figure {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	list := make([]Figure, 0, len(f.sources))
	for _, one := range f.sources {
		x := one.Figure
		x.Count = one.done.Plus(one.Count)
		if !one.healthAt.IsZero() {
			x.Lag = max(0, one.health.Behind+now.Sub(one.healthAt)-x.Source.Every)
			x.Quarantined, x.Alarms = one.health.Quarantined, one.health.Alarms
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b Figure) int { return cmp.Compare(a.Source.ID, b.Source.ID) })
	return list
}

// Status is one line of how many sources there are and how they do.
func (f *Figures) Status() string {
	var running, waiting, failing int
	list := f.Sources()
	for _, one := range list {
		if one.Running {
			running++
		}
		if one.Source.Failures > 0 {
			failing++
		}
		waiting += one.Waiting
	}
	status := fmt.Sprintf("sources: %d, of which %d fail; looking into %d; folders that tell of mail: %d", len(list), failing, running, waiting)
	if !f.Answers() {
		status = "waiting for the database; " + status
	}
	return status
}

func (f *Figures) turn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turned = time.Now()
}

// read takes over what the table said.
func (f *Figures) read(list []source.Source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = time.Now()
	all := make(map[int64]*figure, len(list))
	for _, s := range list {
		one := f.sources[s.ID]
		if one == nil {
			one = &figure{}
		}
		one.Source = s
		one.Kind, _, _ = strings.Cut(strings.ToLower(s.URI), "://")
		if u, err := ParseURI(s.URI); err == nil {
			one.Kind = u.Kind
		}
		all[s.ID] = one
	}
	f.sources = all
}

func (f *Figures) health(all map[int64]source.Health) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for id, h := range all {
		if one := f.sources[id]; one != nil {
			one.health, one.healthAt = h, now
		}
	}
}

// change changes what is known of a source, if it is there still.
func (f *Figures) change(id int64, do func(*figure)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.sources[id]; one != nil {
		do(one)
	}
}

func (f *Figures) end(id int64, count source.Count, err error) {
	f.change(id, func(one *figure) {
		one.Running = false
		one.done, one.Count = one.done.Plus(count), source.Count{}
		one.Runs++
		if err != nil {
			one.Failures++
		}
	})
}
