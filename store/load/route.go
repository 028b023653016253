package load

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// router divides the mail among the workers. Mail of one conversation goes to one
// worker as long as any of it is on its way: two transactions with one thread
// would wait for each other, and the later mail must not come first. Where a mail
// brings together what is on its way with several workers, its batch waits for the
// others: they were sent before it, so no batch can wait for itself.
type router struct {
	load    *Loader
	workers []*worker
	count   int // of mails so far
}

// route takes the mails in their order until there are no more.
func route(l *Loader, workers []*worker) {
	r := &router{load: l, workers: workers}
	defer func() {
		for _, w := range workers {
			close(w.batches)
		}
	}()
	for {
		select {
		case m, more := <-l.ordered:
			if !more {
				r.flush()
				return
			}
			select {
			case <-m.parsed:
			case <-l.ctx.Done():
				return
			}
			r.add(m)
			if len(l.ordered) == 0 && l.room.isWanted() {
				r.flush()
			}
		case <-l.room.wanted:
			if len(l.ordered) == 0 {
				r.flush()
			}
		case <-l.ctx.Done():
			return
		}
	}
}

func (r *router) add(m *mail) {
	o := &r.load.options
	w, after := r.worker(m)
	alone := len(m.Raw) > o.BatchBytes
	if alone || w.filling != nil && !w.filling.add(m) {
		r.send(w)
	}
	if w.filling == nil {
		w.filling = &batch{stored: make(chan struct{})}
		if alone || !w.filling.add(m) {
			w.filling.alone = m
		}
	}
	b := w.filling
	b.after = append(b.after, after...)
	r.count++
	w.onTheWay.add(m, b, r.count)
	if b.alone != nil || b.Size() >= o.BatchBytes || b.Len() >= o.BatchMails {
		r.send(w)
	}
}

// worker chooses the one that has got the latest mail of the same conversation,
// else the one with least to do; and tells the batches of others that come before.
func (r *router) worker(m *mail) (chosen *worker, after []*batch) {
	least, latest := math.MaxInt, trace{}
	var of []trace
	for _, w := range r.workers {
		last, size := w.onTheWay.look(m)
		if last.batch != nil {
			of = append(of, last)
		}
		switch {
		case last.count > latest.count:
			chosen, latest = w, last
		case latest.batch == nil && size < least:
			chosen, least = w, size
		}
	}
	for _, other := range of {
		if other != latest {
			after = append(after, other.batch)
		}
	}
	for _, w := range r.workers {
		if slices.Contains(after, w.filling) {
			r.send(w)
		}
	}
	return chosen, after
}

func (r *router) send(w *worker) {
	if w.filling == nil {
		return
	}
	select {
	case w.batches <- w.filling:
	case <-r.load.ctx.Done():
	}
	w.filling = nil
}

func (r *router) flush() {
	for _, w := range r.workers {
		r.send(w)
	}
}

// onTheWay is what a worker has got and not done yet.
type onTheWay struct {
	mu   sync.Mutex
	ids  map[int64]trace // of threads
	size int             // bytes
}

// trace tells of the mails on their way that have an id.
type trace struct {
	mails int
	batch *batch // of the latest
	count int    // of the latest among all mails
}

func (o *onTheWay) add(m *mail, b *batch, count int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size += m.size
	for id := range m.threadIDs {
		o.ids[id] = trace{o.ids[id].mails + 1, b, count}
	}
}

func (o *onTheWay) remove(m *mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size -= m.size
	for id := range m.threadIDs {
		t := o.ids[id]
		if t.mails--; t.mails == 0 {
			delete(o.ids, id)
		} else {
			o.ids[id] = t
		}
	}
}

// look tells the latest of it that is of the same conversation as a mail, if any
// is, and how much there is.
func (o *onTheWay) look(m *mail) (latest trace, size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range m.threadIDs {
		if t := o.ids[id]; t.count > latest.count {
			latest = t
		}
	}
	return latest, o.size
}

// threadIDs gives all ids by which other mail may be of the same conversation.
func (m *mail) threadIDs(yield func(int64) bool) {
	for _, id := range m.threads.Named {
		if !yield(id) {
			return
		}
	}
	switch {
	case m.threads.Left != nil:
		yield(*m.threads.Left)
	case m.threads.Named == nil:
		yield(int64(binary.BigEndian.Uint64(m.content[:])))
	}
}
