package importer

import (
	"sync"
	"sync/atomic"
	"time"

	"mailrow/store"
)

// Report is what became of an import.
type Report struct {
	Stored      int64 // now
	Present     int64 // stored before, or settled by an earlier import
	Skipped     int64 // files that are no mail
	Quarantined int64
	Quarantine  []Failure // the first of them
	Mailboxes   map[string]*Count

	mutex    sync.Mutex
	mails    atomic.Int64
	advanced atomic.Int64
}

// Count is what went into a mailbox, or would have.
type Count struct {
	Mails, Bytes int64
	First, Last  time.Time // arrival of the oldest and of the latest; zero where none has a time
}

// Failure is what should be mail and could not be read or stored.
type Failure struct {
	Path   string
	Reason error
}

// maxQuarantine is how many failures are named.
const maxQuarantine = 10_000

func newReport() *Report { return &Report{Mailboxes: map[string]*Count{}} }

// Progress tells how many mails and bytes on disk are dealt with. It may be
// called at any time.
func (i *Import) Progress() (mails, bytes int64) {
	return i.report.mails.Load(), i.report.advanced.Load()
}

func (r *Report) advance(bytes int64) { r.advanced.Add(bytes) }

func (r *Report) skip() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Skipped++
}

func (r *Report) fail(path string, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Quarantined++
	if len(r.Quarantine) < maxQuarantine {
		r.Quarantine = append(r.Quarantine, Failure{path, err})
	}
}

// in is the count of a mailbox.
func (r *Report) in(mailbox string) *Count {
	c := r.Mailboxes[mailbox]
	if c == nil {
		c = &Count{}
		r.Mailboxes[mailbox] = c
	}
	return c
}

// known counts mails that need not be read.
func (r *Report) known(mailbox string, mails, bytes int64) {
	r.mails.Add(mails)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Present += mails
	c := r.in(mailbox)
	c.Mails += mails
	c.Bytes += bytes
}

func (r *Report) count(p place, o store.Outcome) {
	r.mails.Add(1)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if o == store.Stored {
		r.Stored++
	} else {
		r.Present++
	}
	c := r.in(p.mailbox)
	c.Mails++
	c.Bytes += int64(p.size)
	if p.at.IsZero() {
		return
	}
	if c.First.IsZero() || p.at.Before(c.First) {
		c.First = p.at
	}
	if p.at.After(c.Last) {
		c.Last = p.at
	}
}
