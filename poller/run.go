package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/budget"
	"mailrow/poller/sasl"
	"mailrow/store"
	"mailrow/store/source"
)

// Poller looks into sources.
type Poller struct {
	Connect func(context.Context) (*pgx.Conn, error)
	Open    func(context.Context, source.Source, URI) (Source, error)

	// Memory is what mails in hand that are larger than 4 MiB share; nil: without
	// limit. Smaller ones are bounded by how many runs there are.
	Memory *budget.Budget

	// Config has the limits of a delivery, and how recipients are read. Account and
	// mailbox are those of the source.
	Config deliver.Config

	Tell func(source.Source, source.Count) // how far a run is; may be nil
	Warn func(source.Source, error)        // of what a run goes on after
}

// run is one look into a source.
type run struct {
	*Poller
	Config deliver.Config // as it was when the run began
	source source.Source
	uri    URI

	using     sync.Mutex // held while the connection is in use
	conn      *pgx.Conn  // nil or closed after it was lost
	deliverer *store.Conn
	row       source.Run // zero before it has begun
	count     source.Count
	told      time.Time // when GoOn was called last

	letIn       bool            // the source was opened
	failures    int             // mails that failed, one after the other
	tried       map[mailIn]bool // that failed in this run: they wait for the next
	others      map[string]bool // ids under which there are other mails than those stored
	buffer      []byte
	taken       int64              // of Memory
	progress    func(source.Count) // called now and then while all goes well
	reconnected func()             // called when a connection to the source is made anew
}

// mailIn is a mail of a folder.
type mailIn struct{ folder, id string }

// Run looks once into a source: every mail of its folders that is not in the
// database is stored, and what is to become of it at the source is done. It ends
// early, and without an error, when ctx ends: the mail in hand is finished.
//
// Failures of single mails are counted and no error. An error says that the rest
// could not be looked at; what is counted is done.
func (p *Poller) Run(ctx context.Context, s source.Source) (source.Count, error) {
	r := &run{Poller: p, Config: p.Config, source: s, progress: func(source.Count) {}, reconnected: func() {}}
	return r.look(ctx)
}

func (r *run) look(ctx context.Context) (source.Count, error) {
	defer r.letGo()
	if err := r.begin(ctx); err != nil {
		return r.count, err
	}
	err := r.folders(ctx)
	var database *databaseError
	if errors.As(err, &database) && !r.connected() {
		return r.count, err // the next run finds that this one has died
	}
	stopped := ctx.Err() != nil
	ended := r.insist(ctx, r.Config.Timeout, func(ctx context.Context) error {
		if err == nil && stopped {
			return r.row.Stop(ctx, r.conn, r.count)
		}
		return r.row.End(ctx, r.conn, r.count, err, r.denied(err))
	})
	return r.count, errors.Join(err, ended)
}

// denied says whether an error is that the source does not let us in; nil where
// nobody knows whether it would.
func (r *run) denied(err error) *bool {
	denied := errors.Is(err, sasl.ErrDenied)
	if !denied && !r.letIn {
		return nil
	}
	return &denied
}

// The server may need a moment to see that a poller has died.
const (
	busyTries = 10
	busyPause = 200 * time.Millisecond
)

func (r *run) begin(ctx context.Context) error {
	for try := 1; ; try++ {
		err := r.insist(ctx, r.Config.Timeout, func(ctx context.Context) (err error) {
			row, err := source.Begin(ctx, r.conn, r.source.ID)
			if err == nil {
				r.row, r.told = row, time.Now()
			}
			return err
		})
		if !errors.Is(err, source.ErrBusy) || try == busyTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(busyPause):
		}
	}
}

// folders looks into each folder of the source.
func (r *run) folders(ctx context.Context) error {
	var err error
	if r.uri, err = ParseURI(r.source.URI); err != nil {
		return err
	}
	opened, err := r.Open(ctx, r.source, r.uri)
	if err != nil {
		return unlessEnded(ctx, fmt.Errorf("open %v: %w", r.uri, err))
	}
	defer opened.Close()
	r.letIn = true
	names, err := folderNames(ctx, opened, r.uri)
	if err != nil {
		return unlessEnded(ctx, fmt.Errorf("list folders of %v: %w", r.uri, err))
	}
	var failed []error
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		err := remedied(unlessEnded(ctx, r.folder(ctx, opened, name)))
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("folder %s: %w", name, err))
		var database *databaseError
		if errors.As(err, &database) {
			break
		}
	}
	return errors.Join(failed...)
}

// unlessEnded forgets an error that says only that ctx has ended, which is none: a
// lock is not waited for any longer.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// remedied says what to do against a full disk on this machine.
func remedied(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: make room on the disk of the mailbox: nothing is lost, and the next run goes on", err)
	}
	return err
}

// folderNames are those that a URI means: never the one that mail is archived in.
// What cannot be archived there is an error.
func folderNames(ctx context.Context, s Source, u URI) ([]string, error) {
	names, err := s.Folders(ctx, u.Folders)
	if err != nil || u.After != AfterArchive {
		return names, err
	}
	rest := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == u.Archive })
	if len(rest) == 0 && len(names) > 0 && len(u.Folders) == 0 || slices.Contains(u.Folders, u.Archive) {
		return nil, fmt.Errorf("archive=%s is the folder itself that is looked into: name another", u.Archive)
	}
	if s, ok := s.(ArchiveChecker); ok {
		if err := s.CheckArchive(rest, u.Archive); err != nil {
			return nil, fmt.Errorf("archive=%s: %w", u.Archive, err)
		}
	}
	return rest, nil
}

// action is what carries a policy out; nil where nothing is to be done.
type action func(context.Context, []Entry) error

// actionOf says how the policy of a URI is carried out in a folder.
func actionOf(f Folder, u URI) (action, error) {
	switch u.After {
	case AfterDelete:
		if f, ok := f.(Remover); ok {
			return f.Remove, nil
		}
	case AfterArchive:
		if f, ok := f.(Archiver); ok {
			return func(ctx context.Context, entries []Entry) error { return f.Archive(ctx, entries, u.Archive) }, nil
		}
	case AfterSeen:
		if f, ok := f.(Marker); ok {
			return f.MarkSeen, nil
		}
	default:
		return nil, nil
	}
	return nil, fmt.Errorf("after=%s is not possible in a source of kind %s: after=keep and after=delete are", u.After, u.Kind)
}
