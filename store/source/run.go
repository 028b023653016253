package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/message"
	"mailrow/store"
)

// version is that of the functions in schema mailrow_polling that this program calls.
const version = 1

// lease is how long a run counts as alive after it last said so, where the
// connection of its poller is still there.
const lease = 10 * time.Minute

// KeepAlive is how often a run calls GoOn.
const KeepAlive = 20 * time.Second

// ErrBusy says that another poller is at the source.
var ErrBusy = errors.New("another poller is at this source")

// ErrTakenOver says that another poller has begun a run meanwhile, since this one
// did not say that it goes on.
var ErrTakenOver = errors.New("another poller has taken over this source")

// Run is one look into a source.
type Run struct {
	Source, ID int64
}

// Count is what a run did.
type Count struct {
	Seen      int64 `json:"seen"`
	Stored    int64 `json:"stored"`
	Duplicate int64 `json:"duplicate"` // fetched, and there already
	Failed    int64 `json:"failed"`
	Done      int64 `json:"done"` // removed, archived or marked at the source
	Bytes     int64 `json:"bytes"`
}

// Plus is both together.
func (c Count) Plus(d Count) Count {
	return Count{c.Seen + d.Seen, c.Stored + d.Stored, c.Duplicate + d.Duplicate, c.Failed + d.Failed, c.Done + d.Done, c.Bytes + d.Bytes}
}

// Begin begins a run. It is ErrBusy while another goes on, ErrNotFound where the
// source was removed.
func Begin(ctx context.Context, conn *pgx.Conn, source int64) (Run, error) {
	var id *int64
	err := conn.QueryRow(ctx, `select mailrow_polling.begin_run($1, $2, $3)`, version, source, lease).Scan(&id)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "P0002":
		err = ErrNotFound
	case err == nil && id == nil:
		err = ErrBusy
	}
	if err != nil {
		return Run{}, fmt.Errorf("begin run: %w", err)
	}
	return Run{source, *id}, nil
}

// GoOn says that the run goes on, and how far it is; also over another connection
// than before. It is ErrTakenOver when that comes too late.
func (r Run) GoOn(ctx context.Context, conn *pgx.Conn, c Count) error {
	var ours bool
	err := conn.QueryRow(ctx, `select mailrow_polling.go_on($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Source, r.ID, lease, c.Seen, c.Stored, c.Duplicate, c.Failed, c.Done, c.Bytes).Scan(&ours)
	if err == nil && !ours {
		err = ErrTakenOver
	}
	if err != nil {
		return fmt.Errorf("go on with run: %w", err)
	}
	return nil
}

// End ends the run with what kept it from its end, nil where nothing did, and says
// when the next is due. denied says whether that is because it was not let in, for
// which an alarm begins at once; nil where it did not come to be asked.
func (r Run) End(ctx context.Context, conn *pgx.Conn, c Count, failed error, denied *bool) error {
	return r.end(ctx, conn, c, `select mailrow_polling.finish_run($1, $2, $3, $4)`, reason(failed), denied)
}

// Stop ends a run that was told to end before it was at its end: the next is due at
// once.
func (r Run) Stop(ctx context.Context, conn *pgx.Conn, c Count) error {
	return r.end(ctx, conn, c, `select mailrow_polling.stop_run($1, $2)`)
}

func (r Run) end(ctx context.Context, conn *pgx.Conn, c Count, query string, more ...any) error {
	err := r.GoOn(ctx, conn, c)
	if errors.Is(err, ErrTakenOver) {
		return nil
	}
	if err == nil {
		_, err = conn.Exec(ctx, query, append([]any{r.Source, r.ID}, more...)...)
	}
	if err != nil {
		return fmt.Errorf("end run: %w", err)
	}
	return nil
}

// reason is an error as text that a column takes.
func reason(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	text, _ = message.Clean(text[:min(len(text), 1000)])
	return &text
}

// Folder is one of a source, and up to where it is settled.
type Folder struct {
	Source, ID int64
	Revision   string // "": nothing is known to be settled
}

// OpenFolder finds the row of a folder, or makes it. Where place is another than
// before, what was known of its mail is forgotten; where policy is, all mail is to
// be looked at again.
func OpenFolder(ctx context.Context, conn *pgx.Conn, source int64, name, place, policy string) (Folder, error) {
	f := Folder{Source: source}
	err := conn.QueryRow(ctx, `select folder_id, coalesce(revision, '') from mailrow_polling.open_folder($1, $2, $3, $4)`,
		source, name, place, policy).Scan(&f.ID, &f.Revision)
	if err != nil {
		return f, fmt.Errorf("open folder: %w", err)
	}
	return f, nil
}

// Origin is where a mail of the folder is, for its delivery. The rest is as in Known.
func (f Folder) Origin(id string, content []byte, stamp string) *store.Origin {
	return &store.Origin{Source: f.Source, Folder: f.ID, ID: id, Content: content, Stamp: stamp}
}

// State is how far a mail at a source is.
type State int

// The states. New is that of a mail of which nothing is known.
const (
	New State = iota
	Stored
	Failed  // and to be tried again now
	Waiting // failed, and to be tried again later
	Quarantined
)

// Known is what is known of a mail.
type Known struct {
	State State
	Done  string // the policy that was carried out with it; "": none

	// Of a mail that is stored: 16 bytes of a hash of it, nil where an earlier version
	// stored it, and what else its folder said of it.
	Content []byte
	Stamp   string
}

// Known looks mails up that are in the folder; some thousand at a time keep the
// memory small.
func (f Folder) Known(ctx context.Context, conn *pgx.Conn, ids []string) (map[string]Known, error) {
	asked, written := make(map[string]string, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		written[i] = store.SourceID(id)
		asked[written[i]] = id
	}
	rows, err := conn.Query(ctx, `select id, state, coalesce(done, ''), due, content, coalesce(stamp, '') from mailrow_polling.known($1, $2, $3)`,
		f.Source, f.ID, written)
	if err != nil {
		return nil, fmt.Errorf("look mail up: %w", err)
	}
	known := make(map[string]Known, len(ids))
	var id, state, done, stamp string
	var due bool
	var content []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &done, &due, &content, &stamp}, func() error {
		k := Known{State: Stored, Done: done, Content: content, Stamp: stamp}
		switch {
		case state == "quarantined":
			k.State = Quarantined
		case state == "failed" && due:
			k.State = Failed
		case state == "failed":
			k.State = Waiting
		}
		known[asked[id]] = k
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look mail up: %w", err)
	}
	return known, nil
}

// Stamp records what the folder says of a mail by now, which is still the one that
// was stored.
func (f Folder) Stamp(ctx context.Context, conn *pgx.Conn, id, stamp string) error {
	_, err := conn.Exec(ctx, `select mailrow_polling.stamp($1, $2, $3, $4)`, f.Source, f.ID, store.SourceID(id), stamp)
	if err != nil {
		return fmt.Errorf("record what the folder says of a mail: %w", err)
	}
	return nil
}

// StoredBefore gives those of some mails that have been stored for so long.
func (f Folder) StoredBefore(ctx context.Context, conn *pgx.Conn, ids []string, ago time.Duration) (map[string]bool, error) {
	asked, written := make(map[string]string, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		written[i] = store.SourceID(id)
		asked[written[i]] = id
	}
	rows, err := conn.Query(ctx, `
		select id from mailrow.source_messages
		where source_id = $1 and folder_id = $2 and id = any ($3)
		  and state in ('stored', 'done') and changed_at <= now() - $4::interval`, f.Source, f.ID, written, ago)
	if err != nil {
		return nil, fmt.Errorf("look up when mail was stored: %w", err)
	}
	before := map[string]bool{}
	var id string
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		before[asked[id]] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up when mail was stored: %w", err)
	}
	return before, nil
}

// Fail records that a mail could not be fetched; after limit times it is in
// quarantine.
func (f Folder) Fail(ctx context.Context, conn *pgx.Conn, id string, why error, limit int) (quarantined bool, err error) {
	var is *bool // NULL when it is stored after all
	err = conn.QueryRow(ctx, `select quarantined from mailrow_polling.failed($1, $2, $3, $4, $5)`,
		f.Source, f.ID, store.SourceID(id), *reason(why), limit).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("record failure: %w", err)
	}
	return is != nil && *is, nil
}

// CarriedOut records that a policy was carried out with mails at the source.
func (f Folder) CarriedOut(ctx context.Context, conn *pgx.Conn, ids []string, policy string) error {
	written := make([]string, len(ids))
	for i, id := range ids {
		written[i] = store.SourceID(id)
	}
	_, err := conn.Exec(ctx, `select mailrow_polling.carried_out($1, $2, $3, $4)`, f.Source, f.ID, written, policy)
	if err != nil {
		return fmt.Errorf("record what was done at the source: %w", err)
	}
	return nil
}

// Listed records that the folder was listed to its end: with the revision of the
// listing where everything in it is settled, else with "". After a day of listings
// in part OpenFolder gives no revision, and so lets all be listed.
func (f Folder) Listed(ctx context.Context, conn *pgx.Conn, revision string, inPart bool) error {
	query := `select mailrow_polling.listed($1, $2, nullif($3, ''))`
	if inPart {
		query = `select mailrow_polling.listed_in_part($1, $2, nullif($3, ''))`
	}
	_, err := conn.Exec(ctx, query, f.Source, f.ID, revision)
	if err != nil {
		return fmt.Errorf("record listing: %w", err)
	}
	return nil
}

// Gone records which mails a listing of everything did not have. there says
// whether it had one, given what store.SourceID makes of its id; known is how many
// rows are of mails that it had.
func (f Folder) Gone(ctx context.Context, conn *pgx.Conn, known int64, there func(id string) bool) error {
	var rows int64
	err := conn.QueryRow(ctx, `select count(*) from mailrow.source_messages where source_id = $1 and folder_id = $2 and gone_at is null`,
		f.Source, f.ID).Scan(&rows)
	if err != nil {
		return fmt.Errorf("count known mail: %w", err)
	}
	const chunk = 5000
	for after := ""; rows > known; {
		list, err := f.after(ctx, conn, after, chunk)
		if err != nil || len(list) == 0 {
			return err
		}
		after = list[len(list)-1]
		var missing []string
		for _, id := range list {
			if !there(id) {
				missing = append(missing, id)
			}
		}
		if missing == nil {
			continue
		}
		if _, err := conn.Exec(ctx, `select mailrow_polling.gone($1, $2, $3)`, f.Source, f.ID, missing); err != nil {
			return fmt.Errorf("record missing mail: %w", err)
		}
		rows -= int64(len(missing))
	}
	return nil
}

func (f Folder) after(ctx context.Context, conn *pgx.Conn, id string, limit int) ([]string, error) {
	rows, err := conn.Query(ctx, `
		select id from mailrow.source_messages
		where source_id = $1 and folder_id = $2 and id > $3 and gone_at is null order by id limit $4`, f.Source, f.ID, id, limit)
	if err != nil {
		return nil, fmt.Errorf("list known mail: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list known mail: %w", err)
	}
	return list, nil
}
