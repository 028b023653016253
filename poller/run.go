package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/store"
	"mailrow/store/source"
)

// Poller looks into sources.
type Poller struct {
	Connect func(context.Context) (*pgx.Conn, error)
	Open    func(context.Context, source.Source, URI) (Source, error)

	// Config has the limits of a delivery, and how recipients are read. Account and
	// mailbox are those of the source.
	Config deliver.Config

	Tell func(source.Source, source.Count) // how far a run is; may be nil
	Warn func(source.Source, error)        // of what a run goes on after
}

// run is one look into a source.
type run struct {
	*Poller
	source source.Source
	uri    URI

	conn      *pgx.Conn // nil or closed after it was lost
	deliverer *store.Conn
	row       source.Run // zero before it has begun
	count     source.Count
	told      time.Time // when GoOn was called last

	failures int             // mails that failed, one after the other
	others   map[string]bool // ids under which there are other mails than those stored
	buffer   []byte
	progress func() // called now and then while all goes well
}

// Run looks once into a source: every mail of its folders that is not in the
// database is stored, and what is to become of it at the source is done. It ends
// early, and without an error, when ctx ends: the mail in hand is finished.
//
// Failures of single mails are counted and no error. An error says that the rest
// could not be looked at; what is counted is done.
func (p *Poller) Run(ctx context.Context, s source.Source) (source.Count, error) {
	return p.run(ctx, s, func() {})
}

func (p *Poller) run(ctx context.Context, s source.Source, progress func()) (source.Count, error) {
	r := &run{Poller: p, source: s, progress: progress}
	defer r.disconnect()
	if err := r.begin(ctx); err != nil {
		return r.count, err
	}
	err := r.folders(ctx)
	var database *databaseError
	if errors.As(err, &database) && (r.conn == nil || r.conn.IsClosed()) {
		return r.count, err // the next run finds that this one has died
	}
	ended := r.insist(ctx, r.Config.Timeout, func(ctx context.Context) error {
		return r.row.End(ctx, r.conn, r.count, err)
	})
	return r.count, errors.Join(err, ended)
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
		return fmt.Errorf("open %v: %w", r.uri, err)
	}
	defer opened.Close()
	names, err := folderNames(ctx, opened, r.uri)
	if err != nil {
		return fmt.Errorf("list folders of %v: %w", r.uri, err)
	}
	var failed []error
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		err := r.folder(ctx, opened, name)
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

// folderNames are those that a URI means: never the one that mail is archived in.
func folderNames(ctx context.Context, s Source, u URI) ([]string, error) {
	names, err := s.Folders(ctx, u.Folders)
	if err != nil || u.After != AfterArchive {
		return names, err
	}
	rest := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == u.Archive })
	if len(rest) == 0 && len(names) > 0 && len(u.Folders) == 0 {
		return nil, fmt.Errorf("archive=%s is the only folder there is to look into: name another", u.Archive)
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
