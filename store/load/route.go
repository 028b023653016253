package load

import (
	"encoding/binary"
	"math"
	"sync"
)

// router divides the mail among the workers. Mail of one conversation goes to one
// worker as long as any of it is on its way: two transactions with one thread
// would wait for each other, and the later mail must not come first.
type router struct {
	load    *Loader
	workers []*worker
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
	w := r.worker(m)
	w.onTheWay.add(m)
	alone := len(m.Raw) > o.BatchBytes
	if alone || w.filling != nil && !w.filling.add(m) {
		r.send(w)
	}
	if w.filling == nil {
		w.filling = &batch{}
		if alone || !w.filling.add(m) {
			w.filling.alone = m
		}
	}
	if b := w.filling; b.alone != nil || b.Size() >= o.BatchBytes || b.Len() >= o.BatchMails {
		r.send(w)
	}
}

// worker chooses the one that has mail of the same conversation, else the one
// with least to do. Where several have some, it waits until only one has: a mail
// may bring together what was two conversations.
func (r *router) worker(m *mail) (chosen *worker) {
	least := math.MaxInt
	var has []*worker
	for _, w := range r.workers {
		some, size := w.onTheWay.look(m)
		if some {
			has = append(has, w)
		}
		if size < least {
			chosen, least = w, size
		}
	}
	for len(has) > 1 {
		r.await(has[len(has)-1], m)
		has = has[:len(has)-1]
	}
	if len(has) > 0 {
		return has[0]
	}
	return chosen
}

// await lets a worker store what it has of the same conversation as a mail.
func (r *router) await(w *worker, m *mail) {
	r.send(w)
	for {
		if has, _ := w.onTheWay.look(m); !has {
			return
		}
		select {
		case <-w.stored:
		case <-r.load.ctx.Done():
			return
		}
	}
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
	ids  map[int64]int // of threads: how many mails have them
	size int           // bytes
}

func (o *onTheWay) add(m *mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size += m.size
	for id := range m.threadIDs {
		o.ids[id]++
	}
}

func (o *onTheWay) remove(m *mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size -= m.size
	for id := range m.threadIDs {
		if o.ids[id]--; o.ids[id] == 0 {
			delete(o.ids, id)
		}
	}
}

// look tells whether any of it is of the same conversation as a mail, and how
// much there is.
func (o *onTheWay) look(m *mail) (has bool, size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range m.threadIDs {
		if o.ids[id] > 0 {
			return true, o.size
		}
	}
	return false, o.size
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
