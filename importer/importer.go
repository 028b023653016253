// Package importer brings collections of mail into the store.
//
// Its law: that nothing is stored twice is the store's doing, by the bytes of
// each mail; that nothing is lost is the collection's, which never changes. So
// an import may end at any moment, however hard, and be run again. What it
// remembers (store/imports) only spares it work.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/collection"
	"mailrow/store"
	"mailrow/store/imports"
	"mailrow/store/load"
)

// Options are what to import for whom.
type Options struct {
	// Account is whose mail it is, by name, and Recipient the address that it is
	// stored for.
	Account, Recipient string

	// Mailbox is the mailbox above those of the collection; "" for none.
	Mailbox string

	// Inbox is the mailbox of the mail that has no folder, where Mailbox is "".
	Inbox string

	RecipientDelimiter string
	MaxSize            int64 // bytes of a mail
	Strip              int   // leave out so many leading levels of folder names
	Owner              string
	Again              bool // do as if nothing had been imported before

	// Memory opens a connection to remember what is settled; nil: nothing is.
	Memory func(context.Context) (*pgx.Conn, error)

	// Database is where the mail is stored; nil: nothing is, all is only counted.
	Database *store.Config

	// Waiting is told why the work stands still, again and again.
	Waiting func(error)
}

// Import reads collections into the store, and tells in the report what became
// of it, also where the error is not nil.
type Import struct {
	Options
	report *Report
	memory *memory
	marked *marked // nil unless all is read again
	mails  chan *collection.Mail
	loader *load.Loader

	room     *room
	reserved int // of the room, for the mail that is being read

	mutex  sync.Mutex
	places map[*store.Delivery]place // of mails that the loader has

	ctx  context.Context // of the reading
	stop context.CancelCauseFunc
}

// New prepares an import.
func New(o Options) *Import {
	i := &Import{
		Options: o, report: newReport(), mails: make(chan *collection.Mail, queued), room: newRoom(roomBytes),
		places: map[*store.Delivery]place{},
	}
	i.memory = newMemory(o, i.row)
	if o.Again && o.Memory != nil {
		i.marked = &marked{link: link{open: o.Memory, waiting: o.Waiting}}
	}
	return i
}

const (
	queued    = 256      // mails read and not yet parsed
	roomBytes = 16 << 20 // of these; one that is larger is alone
	grace     = 20 * time.Second
)

// Run imports what is at the paths, in their order; "-" is in. When ctx ends, it
// stores what it has read and reads no more.
func (i *Import) Run(ctx context.Context, paths []string, in io.Reader) (*Report, error) {
	i.ctx, i.stop = context.WithCancelCause(ctx)
	defer i.stop(nil)
	// What was read is stored even if no more shall be read, but not for ever.
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(i.ctx, func() { time.AfterFunc(grace, giveUp) })()

	if i.Database != nil {
		var err error
		if i.loader, err = load.Open(work, i.Database, load.Options{Done: i.done, Waiting: i.Waiting}); err != nil {
			return i.report, err
		}
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() { i.work(work) })
	}
	remembered := make(chan error, 1)
	go func() { remembered <- i.memory.run(work) }()

	err := i.read(paths, in)
	close(i.mails)
	workers.Wait()
	if i.loader != nil {
		err = errors.Join(err, i.loader.Close())
	}
	i.marked.close()
	i.memory.end()
	err = errors.Join(err, <-remembered)
	if cause := context.Cause(i.ctx); cause != nil && ctx.Err() == nil {
		err = cause // the trouble itself, not that the reading ended for it
	} else if ctx.Err() != nil {
		err = ctx.Err()
	}
	return i.report, err
}

func (i *Import) read(paths []string, in io.Reader) error {
	reader := collection.NewReader(i, collection.Options{MaxSize: i.MaxSize, Strip: i.Strip, Owner: i.Owner})
	for _, path := range paths {
		var err error
		if path == "-" {
			err = reader.ReadStream(i.ctx, "standard input", in)
		} else {
			err = reader.Read(i.ctx, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// work parses mails and hands them to the loader until there are no more. After
// trouble that concerns them all it only lets go of the rest.
func (i *Import) work(ctx context.Context) {
	for m := range i.mails {
		size := len(m.Raw)
		if i.isBroken() {
			i.room.give(size)
			continue
		}
		d := i.delivery(m)
		at := placeOf(m, d)
		if i.loader == nil {
			i.report.count(at, store.Stored)
			i.room.give(size)
			continue
		}
		there, err := i.isMarked(ctx, m, d)
		if err == nil && there {
			i.report.count(at, store.Redelivered)
			i.memory.settle(at, store.Redelivered)
		} else if err == nil {
			err = i.add(ctx, d, at)
		}
		if err != nil {
			i.stop(&storeError{err})
		} else if at.isHuge() && !there {
			continue // it has all the room until it is stored
		}
		i.room.give(size)
	}
}

func (i *Import) add(ctx context.Context, d *store.Delivery, at place) error {
	i.mutex.Lock()
	i.places[d] = at
	i.mutex.Unlock()
	return i.loader.Add(ctx, d)
}

// done is told what became of a mail that the loader had.
func (i *Import) done(r load.Result) {
	i.mutex.Lock()
	at := i.places[r.Delivery]
	delete(i.places, r.Delivery)
	i.mutex.Unlock()
	if at.isHuge() {
		defer i.room.give(at.size)
	}
	if r.Err != nil {
		i.Failed(at.unit, at.path, r.Err)
		i.memory.settle(at, "")
		return
	}
	i.report.count(at, r.Results[0].Outcome)
	i.memory.settle(at, r.Results[0].Outcome)
}

// storeError is trouble that concerns all mails.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// isBroken says whether there is no use in storing more.
func (i *Import) isBroken() bool {
	var broken *storeError
	return errors.As(context.Cause(i.ctx), &broken)
}

// row is where the memory of a unit is.
func (i *Import) row(u *collection.Unit) imports.Row {
	return imports.Row{
		Account: i.Account, Recipient: i.Recipient, Path: u.Path, Kind: string(u.Kind),
		Folder: u.Folder, Mailbox: i.mailbox(u.Folder),
	}
}

// mailbox is where mail of a folder goes.
func (i *Import) mailbox(folder string) string {
	switch {
	case folder != inbox && i.Mailbox != "":
		return i.Mailbox + "/" + folder
	case folder != inbox:
		return folder
	case i.Mailbox != "":
		return i.Mailbox
	case i.Inbox != "":
		return i.Inbox
	}
	return inbox
}

const inbox = "INBOX"

// Enter and what follows make an Import the visitor of a collection.

// Enter looks up what is known of a unit.
func (i *Import) Enter(_ context.Context, u *collection.Unit) (collection.Past, error) {
	return i.memory.enter(i.ctx, u)
}

// Reserve waits for room for a mail that will be read.
func (i *Import) Reserve(_ context.Context, bytes int64) error {
	i.room.give(i.reserved)
	i.reserved = 0
	if err := i.room.take(i.ctx, int(bytes)); err != nil {
		return err
	}
	i.reserved = int(bytes)
	return nil
}

// Mail hands a mail to the workers, when there is room.
func (i *Import) Mail(_ context.Context, m *collection.Mail) error {
	i.room.give(i.reserved)
	i.reserved = 0
	if err := i.room.take(i.ctx, len(m.Raw)); err != nil {
		return err
	}
	i.memory.expect(m.Unit)
	select {
	case i.mails <- m:
		return nil
	case <-i.ctx.Done():
		return fmt.Errorf("read on: %w", context.Cause(i.ctx))
	}
}

// Known counts a mail that an earlier import settled.
func (i *Import) Known(u *collection.Unit, size int64) { i.report.known(i.mailbox(u.Folder), 1, size) }

// Unchanged counts the mails of a unit that earlier imports settled.
func (i *Import) Unchanged(u *collection.Unit) {
	row := i.memory.unchanged(u)
	i.report.known(i.mailbox(u.Folder), row.Mails, row.Bytes)
}

// Leave is told that a unit was read to its end.
func (i *Import) Leave(u *collection.Unit, revision string) { i.memory.leave(u, revision) }

// Skipped counts what is no mail.
func (i *Import) Skipped(string) { i.report.skip() }

// Failed puts something into quarantine.
func (i *Import) Failed(u *collection.Unit, path string, err error) {
	i.report.fail(path, err)
	i.memory.failed(u)
}

// Advance counts bytes on disk that are dealt with.
func (i *Import) Advance(bytes int64) { i.report.advance(bytes) }
