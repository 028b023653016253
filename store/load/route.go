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
			r.makeRoom()
		case <-l.room.wanted:
			r.makeRoom()
		case <-l.ctx.Done():
			return
		}
	}
}

func (r *router) add(m *mail) {
	w, after := r.worker(m)
	b := w.place(m, r.load.options.BatchBytes)
	b.after = append(b.after, after...)
	r.count++
	w.onTheWay.add(m, b, r.count)
	if b.alone != nil || b.Size() >= r.load.options.BatchBytes || b.Len() >= r.load.options.BatchMails {
		r.send(w, b)
	} else if len(w.filling) > fillingBatches {
		r.send(w, w.filling[0])
	}
}

// worker chooses the one that has got the latest mail of the same conversation,
// else the one with least to do; and tells the batches of others that come before.
func (r *router) worker(m *mail) (chosen *worker, after []*batch) {
	least, latest := math.MaxInt, 0
	last := make([]*batch, len(r.workers))
	for i, w := range r.workers {
		count, size := 0, 0
		last[i], count, size = w.onTheWay.look(m)
		switch {
		case count > latest:
			chosen, latest = w, count
		case latest == 0 && size < least:
			chosen, least = w, size
		}
	}
	for i, w := range r.workers {
		if last[i] != nil && w != chosen {
			after = append(after, last[i])
			r.send(w, last[i])
		}
	}
	return chosen, after
}

// fillingBatches of a worker may be filled at once.
const fillingBatches = 4

// place puts a mail into the first batch that takes it, which is none before those
// that have mail of its conversation: see store.Batch.Add. One that is too large
// for a batch is alone.
func (w *worker) place(m *mail, batchBytes int) *batch {
	last, _, _ := w.onTheWay.look(m)
	if len(m.Raw) <= batchBytes {
		for _, b := range w.filling[max(0, slices.Index(w.filling, last)):] {
			if b.alone == nil && b.add(m) {
				return b
			}
		}
	}
	w.batchCount++
	b := &batch{number: w.batchCount, stored: make(chan struct{})}
	if len(m.Raw) > batchBytes || !b.add(m) {
		b.alone = m
	}
	w.filling = append(w.filling, b)
	return b
}

// send gives a worker its batches up to one that it is filling.
func (r *router) send(w *worker, upTo *batch) {
	for range slices.Index(w.filling, upTo) + 1 {
		w.sent.Add(1)
		select {
		case w.batches <- w.filling[0]:
		case <-r.load.ctx.Done():
		}
		w.filling = w.filling[1:]
	}
}

func (r *router) flush() {
	for _, w := range r.workers {
		r.sendAll(w)
	}
}

func (r *router) sendAll(w *worker) {
	if len(w.filling) > 0 {
		r.send(w, w.filling[len(w.filling)-1])
	}
}

// makeRoom gives workers that have nothing to do what there is for them, full or
// not, when there is no room for more. The others make room soon.
func (r *router) makeRoom() {
	if len(r.load.ordered) > 0 || !r.load.room.isWanted() {
		return
	}
	for _, w := range r.workers {
		if w.sent.Load() == 0 {
			r.sendAll(w)
		}
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

// look tells the last batch that has mail of the same conversation as a mail, the
// count of the latest such mail, and how much there is of any.
func (o *onTheWay) look(m *mail) (last *batch, latest, size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range m.threadIDs {
		t, found := o.ids[id]
		if !found {
			continue
		}
		if last == nil || t.batch.number > last.number {
			last = t.batch
		}
		latest = max(latest, t.count)
	}
	return last, latest, o.size
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
