// Package source keeps the sources that mail is polled from: the table that people
// edit, and for a poller what is known of each mail there.
package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Source is a mailbox that mail is fetched from.
type Source struct {
	ID        int64         `json:"source_id"`
	Name      *string       `json:"name"` // nil: it is called by its URI
	URI       string        `json:"uri"`  // without a password
	Account   *string       `json:"account"`
	Mailbox   *string       `json:"mailbox"`
	Recipient *string       `json:"recipient"`
	Every     time.Duration `json:"-"` // 0 in Add: what the table has by default
	Paused    bool          `json:"paused"`
	Due       bool          `json:"-"`        // when it was read
	Failures  int           `json:"failures"` // runs in a row
	Secret    *string       `json:"secret"`   // where its password is, a secret.Reference
}

// String is what people call it.
func (s Source) String() string {
	if s.Name != nil {
		return *s.Name
	}
	return s.URI
}

// Status is a source, and how it does.
type Status struct {
	Source
	Running     bool       `json:"running"`
	LastRunAt   *time.Time `json:"last_run_at"` // nil before the first
	LastStored  *int64     `json:"last_stored"`
	Failed      int64      `json:"failed"`      // mails that are tried again
	Quarantined int64      `json:"quarantined"` // and those that are not
	LastError   *string    `json:"last_error"`
	NextRunAt   time.Time  `json:"next_run_at"`
	Alarms      []string   `json:"alarms"` // the kinds of those that last
}

var (
	// ErrNotFound says that there is no such source.
	ErrNotFound = errors.New("there is no such source")
	// ErrExists says that there is one of that name, or a nameless one of that URI.
	ErrExists = errors.New("there is such a source already")
	// ErrAmbiguous says that several sources have the URI: only names tell them apart.
	ErrAmbiguous = errors.New("several sources have this URI")
)

// ValueError is a value that the table does not take.
type ValueError struct {
	Constraint string // its name says what is wrong
	Err        error
}

func (e *ValueError) Error() string { return e.Err.Error() }
func (e *ValueError) Unwrap() error { return e.Err }

const columns = `source_id, name, uri, account, mailbox, recipient, extract(epoch from every)::float8, state = 'paused',
	next_run_at <= now(), failures, secret`

func (s *Source) scan(row pgx.CollectableRow, more ...any) error {
	var every float64
	err := row.Scan(append([]any{&s.ID, &s.Name, &s.URI, &s.Account, &s.Mailbox, &s.Recipient, &every, &s.Paused, &s.Due, &s.Failures, &s.Secret}, more...)...)
	s.Every = time.Duration(every * float64(time.Second))
	return err
}

func scanSource(row pgx.CollectableRow) (s Source, err error) {
	return s, s.scan(row)
}

// Add makes a source. It is ErrExists or a *ValueError where the table says no.
func Add(ctx context.Context, conn *pgx.Conn, s Source) (id int64, err error) {
	err = conn.QueryRow(ctx, `
		insert into mailrow.sources (name, uri, account, mailbox, recipient, every, secret)
		values ($1, $2, $3, $4, $5, coalesce(nullif($6, 0.0) * interval '1 second', '5 minutes'), $7)
		returning source_id`, s.Name, s.URI, s.Account, s.Mailbox, s.Recipient, s.Every.Seconds(), s.Secret).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("add source: %w", refusal(err))
	}
	return id, nil
}

// Adopt finds the nameless source of a URI, or makes it: it is what a poller does
// with a URI that is in no row.
func Adopt(ctx context.Context, conn *pgx.Conn, s Source) (id int64, err error) {
	err = conn.QueryRow(ctx, `select mailrow_polling.add_source($1, $2, $3, $4)`,
		s.URI, s.Account, s.Mailbox, s.Recipient).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("add source: %w", refusal(err))
	}
	return id, nil
}

func refusal(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "23505":
		return ErrExists
	case "23514":
		return &ValueError{pg.ConstraintName, err}
	}
	return err
}

// Find gives the source of a name or, where none has it as a name, of a URI. It is
// ErrNotFound or ErrAmbiguous where there is not one.
func Find(ctx context.Context, conn *pgx.Conn, name, uri string) (Source, error) {
	rows, err := conn.Query(ctx, `
		select `+columns+` from mailrow.sources where name = $1 or uri = $2
		order by name is not distinct from $1 desc, name is null desc limit 3`, name, uri)
	if err != nil {
		return Source{}, fmt.Errorf("find source: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanSource)
	switch {
	case err != nil:
		return Source{}, fmt.Errorf("find source: %w", err)
	case len(list) == 0:
		return Source{}, ErrNotFound
	case len(list) > 1 && list[0].Name != nil && *list[0].Name != name:
		return Source{}, ErrAmbiguous
	}
	return list[0], nil
}

// Active gives the sources that are not paused, the one that is due first first.
func Active(ctx context.Context, conn *pgx.Conn) ([]Source, error) {
	rows, err := conn.Query(ctx, `
		select `+columns+` from mailrow.sources
		where state = 'active' order by next_run_at, source_id`)
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanSource)
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	return list, nil
}

// List gives all sources, by name.
func List(ctx context.Context, conn *pgx.Conn) ([]Status, error) {
	rows, err := conn.Query(ctx, `
		select source_id, s.name, t.uri, t.account, t.mailbox, t.recipient, extract(epoch from t.every)::float8, t.state = 'paused',
		       t.next_run_at <= now(), t.failures, s.secret, running, last_run_at, last_stored, failed, quarantined, t.last_error, t.next_run_at, t.alarms
		from mailrow.source_status t join mailrow.sources s using (source_id) order by t.name, source_id`)
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Status, err error) {
		return s, s.scan(row, &s.Running, &s.LastRunAt, &s.LastStored, &s.Failed, &s.Quarantined, &s.LastError, &s.NextRunAt, &s.Alarms)
	})
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	return list, nil
}

// Pause keeps pollers from a source, or lets them at it again, at once.
func Pause(ctx context.Context, conn *pgx.Conn, id int64, pause bool) error {
	_, err := conn.Exec(ctx, `
		update mailrow.sources set state = case when $2 then 'paused' else 'active' end,
			next_run_at = case when $2 then next_run_at else now() end, failures = case when $2 then failures else 0 end
		where source_id = $1`, id, pause)
	if err != nil {
		return fmt.Errorf("pause source: %w", err)
	}
	return nil
}

// Remove forgets a source and what is known of its mail. The mail stays.
func Remove(ctx context.Context, conn *pgx.Conn, id int64) error {
	if _, err := conn.Exec(ctx, `delete from mailrow.sources where source_id = $1`, id); err != nil {
		return fmt.Errorf("remove source: %w", err)
	}
	return nil
}

// Retry lets the next run look at everything and try again what failed or is in
// quarantine; it gives how many mails that are.
func Retry(ctx context.Context, conn *pgx.Conn, id int64) (mails int, err error) {
	if err := conn.QueryRow(ctx, `select mailrow.retry_source($1)`, id).Scan(&mails); err != nil {
		return 0, fmt.Errorf("retry source: %w", err)
	}
	return mails, nil
}

// Troubled is a mail that could not be fetched.
type Troubled struct {
	Source      string     `json:"source"`
	Folder      string     `json:"folder"`
	ID          string     `json:"id"`
	Quarantined bool       `json:"quarantined"`
	Tries       int        `json:"tries"`
	Reason      string     `json:"reason"`
	ChangedAt   time.Time  `json:"changed_at"`
	RetryAt     *time.Time `json:"retry_at"` // nil: with the next run, if at all
}

// Trouble lists the mails that could not be fetched: of one source, or of all where
// it is 0.
func Trouble(ctx context.Context, conn *pgx.Conn, id int64) ([]Troubled, error) {
	rows, err := conn.Query(ctx, `
		select coalesce(s.name, s.uri), f.name, m.id, m.state = 'quarantined', m.tries, m.reason, m.changed_at, m.retry_at
		from mailrow.source_messages m
		join mailrow.source_folders f using (source_id, folder_id)
		join mailrow.sources s using (source_id)
		where m.state in ('failed', 'quarantined') and m.gone_at is null and ($1 = 0 or source_id = $1)
		order by 1, 2, m.changed_at, m.id`, id)
	if err != nil {
		return nil, fmt.Errorf("list mail in quarantine: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Troubled])
	if err != nil {
		return nil, fmt.Errorf("list mail in quarantine: %w", err)
	}
	return list, nil
}
