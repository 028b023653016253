package importer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/collection"
	"mailrow/store"
	"mailrow/store/imports"
)

// place is what is kept of a mail while it is being stored.
type place struct {
	unit          *collection.Unit
	id            string
	path, mailbox string
	size          int
	at            time.Time
}

func placeOf(m *collection.Mail, d *store.Delivery) place {
	return place{m.Unit, m.ID, m.Path, d.Mailbox, len(m.Raw), d.Envelope.ReceivedAt}
}

// isHuge says that there is room for nothing besides.
func (p place) isHuge() bool { return p.size >= roomBytes }

// unit is a unit that is being imported.
type unit struct {
	row      imports.Row // as it was before
	within   *unit
	revision string
	pending  int // mails in hand, and units within that are not finished
	left     bool

	failures int64
	stored   int64
	bytes    int64
	fresh    []imports.Hash // settled by this import
	saved    int            // of fresh, when the row was written last
}

// now is the row as it is now.
func (u *unit) now() imports.Row {
	row := u.row
	row.Revision = ""
	if u.left && u.pending == 0 && u.failures == 0 {
		row.Revision = u.revision
	}
	row.Finished = u.left
	row.Stored += u.stored
	row.Bytes += u.bytes
	row.Quarantined = u.failures
	row.Settled = row.Settled.With(u.fresh)
	row.Mails = int64(row.Settled.Len())
	return row
}

// memory keeps which units, and which mails of them, are settled.
type memory struct {
	lookups, saves *link // nil where nothing is remembered
	again          bool
	row            func(*collection.Unit) imports.Row

	mutex    sync.Mutex
	units    map[*collection.Unit]*unit
	finished []*unit
	wake     chan struct{} // holds one
	ended    chan struct{} // closed when there will be no more
}

// saveEvery is how often the rows of units that take long are written.
const saveEvery = 30 * time.Second

func newMemory(o Options, row func(*collection.Unit) imports.Row) *memory {
	m := &memory{again: o.Again, row: row, units: map[*collection.Unit]*unit{}, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if o.Memory != nil {
		m.lookups, m.saves = &link{open: o.Memory, waiting: o.Waiting}, &link{open: o.Memory, waiting: o.Waiting}
	}
	return m
}

// enter looks up what is known of a unit.
func (m *memory) enter(ctx context.Context, u *collection.Unit) (collection.Past, error) {
	of := &unit{row: m.row(u)}
	if m.lookups != nil {
		err := m.lookups.insist(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return imports.Load(ctx, conn, &of.row)
		})
		if err != nil {
			return collection.Past{}, err
		}
	}
	of.row.Started = time.Now()
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if u.Within != nil {
		of.within = m.units[u.Within]
		of.within.pending++
	}
	m.units[u] = of
	if m.again {
		return collection.Past{}, nil
	}
	return collection.Past{Revision: of.row.Revision, Bytes: of.row.Bytes, Has: of.row.Settled.Has}, nil
}

// unchanged closes a unit that need not be read, and gives its row.
func (m *memory) unchanged(u *collection.Unit) imports.Row {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	of := m.units[u]
	delete(m.units, u)
	if of.within != nil {
		of.within.pending--
	}
	return of.row
}

// leave notes that a unit was read to its end.
func (m *memory) leave(u *collection.Unit, revision string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	of := m.units[u]
	of.left, of.revision = true, revision
	m.finish(u, of)
}

// expect notes that a mail of a unit is in hand.
func (m *memory) expect(u *collection.Unit) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if u != nil {
		m.units[u].pending++
	}
}

// settle notes that a mail is in hand no more; it is settled if it was stored.
func (m *memory) settle(p place, o store.Outcome) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if p.unit == nil {
		return
	}
	of := m.units[p.unit]
	of.pending--
	if o != "" && !of.row.Settled.Has(p.id) {
		of.bytes += int64(p.size)
		of.fresh = append(of.fresh, imports.HashOf(p.id))
	}
	if o == store.Stored {
		of.stored++
	}
	m.finish(p.unit, of)
}

// failed notes that something of a unit is not settled.
func (m *memory) failed(u *collection.Unit) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if u != nil {
		m.units[u].failures++
	}
}

// finish takes a unit out that was read and of which nothing is in hand. What
// it is within is not settled unless it is.
func (m *memory) finish(u *collection.Unit, of *unit) {
	if !of.left || of.pending > 0 {
		return
	}
	delete(m.units, u)
	m.finished = append(m.finished, of)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	if of.within == nil {
		return
	}
	of.within.pending--
	of.within.failures += of.failures
	m.finish(u.Within, of.within)
}

// run writes rows until there will be no more. Its error says only that the next
// import will have more to do.
func (m *memory) run(ctx context.Context) error {
	if m.saves == nil {
		return nil
	}
	defer m.saves.close()
	defer m.lookups.close()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	var early []imports.Row // of accounts that no mail has made yet
	for ended := false; !ended; {
		var rows []imports.Row
		select {
		case <-m.wake:
			rows = m.take()
		case <-tick.C:
			rows = m.interim()
		case <-m.ended:
			rows, ended = slices.Concat(early, m.take(), m.interim()), true
		}
		for _, row := range rows {
			if row.Mails == 0 && row.Quarantined == 0 {
				continue
			}
			err := m.saves.insist(ctx, func(ctx context.Context, conn *pgx.Conn) error {
				saved, err := imports.Save(ctx, conn, &row)
				if err == nil && !saved {
					early = append(early, row)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// end says that there will be no more.
func (m *memory) end() { close(m.ended) }

// take gives the rows of the units that are finished.
func (m *memory) take() (rows []imports.Row) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, of := range m.finished {
		rows = append(rows, of.now())
	}
	m.finished = nil
	return rows
}

// interim gives the rows of the units that are not, with what is settled so far.
func (m *memory) interim() (rows []imports.Row) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, of := range m.units {
		if len(of.fresh) > of.saved || of.failures > 0 {
			of.saved = len(of.fresh)
			rows = append(rows, of.now())
		}
	}
	return rows
}
