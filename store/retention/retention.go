// Package retention keeps the rules of how long mail stays, and follows them.
package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/store/archive"
)

// Rule is one row of table retention. An Account or Mailbox that is nil stands
// for every one, an OlderThan that is nil for ever.
type Rule struct {
	ID          int64   `json:"rule"`
	Account     *string `json:"account"`
	Mailbox     *string `json:"mailbox"`
	OlderThan   *string `json:"older_than"` // an interval as PostgreSQL writes it
	OnlyBulk    bool    `json:"only_bulk"`
	KeepFlagged bool    `json:"keep_flagged"`
	Note        *string `json:"note"`
}

var (
	// ErrExists says that there is a rule for the same mail.
	ErrExists = errors.New("there is a rule for this already")

	// ErrTooYoung says that the age is not at least a day.
	ErrTooYoung = errors.New("mail stays for a day at least: 6m are 6 minutes, write 6 months")

	// ErrTooOld says that the age is more than a person can mean.
	ErrTooOld = errors.New("1000 years are the most: write never for mail that stays")

	// ErrInterval says that the age cannot be read.
	ErrInterval = errors.New("it is no age such as \"90 days\", \"6 months\" or \"10 years\"")
)

// List gives the rules, the most exact first, as they win.
func List(ctx context.Context, conn *pgx.Conn) ([]Rule, error) {
	rows, err := conn.Query(ctx, `
		select rule, account, mailbox, older_than::text, only_bulk, keep_flagged, note from mailrow.retention
		order by account is null, mailbox is null, account, mailbox, only_bulk desc`)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	rules, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Rule])
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	return rules, nil
}

// Add makes a rule and gives its id.
func Add(ctx context.Context, conn *pgx.Conn, r Rule) (id int64, err error) {
	err = conn.QueryRow(ctx, `
		insert into mailrow.retention (account, mailbox, older_than, only_bulk, keep_flagged, note)
		values ($1, $2, $3::text::interval, $4, $5, $6) returning rule`,
		r.Account, r.Mailbox, r.OlderThan, r.OnlyBulk, r.KeepFlagged, r.Note).Scan(&id)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.ConstraintName == "retention_key":
			err = ErrExists
		case pg.ConstraintName == "retention_older_than_at_least_a_day":
			err = ErrTooYoung
		case pg.ConstraintName == "retention_older_than_at_most_1000_years":
			err = ErrTooOld
		case pg.Code == "22007" || pg.Code == "22008" || pg.Code == "22015":
			err = ErrInterval
		}
	}
	if err != nil {
		return 0, fmt.Errorf("add rule: %w", err)
	}
	return id, nil
}

// Remove takes a rule away; false when there is none of that id.
func Remove(ctx context.Context, conn *pgx.Conn, id int64) (bool, error) {
	tag, err := conn.Exec(ctx, `delete from mailrow.retention where rule = $1`, id)
	if err != nil {
		return false, fmt.Errorf("remove rule %d: %w", id, err)
	}
	return tag.RowsAffected() > 0, nil
}

// Verdict is what the rules say of one mail. StaysBecause is empty where it
// goes, at GoesAt or with the first run after it.
type Verdict struct {
	Rule         *Rule      `json:"rule"` // nil without one
	GoesAt       *time.Time `json:"goes_at"`
	StaysBecause string     `json:"stays_because,omitempty"`
}

// Explain gives the verdict about a mail, or archive.ErrNotFound.
func Explain(ctx context.Context, conn *pgx.Conn, id int64) (Verdict, error) {
	var v Verdict
	var r Rule
	var rule *int64
	var bulk, flagged *bool
	var stays *string
	err := conn.QueryRow(ctx, `
		select rule, account, mailbox, older_than::text, only_bulk, keep_flagged, note, goes_at, stays_because
		from mailrow.retention_of($1)`, id,
	).Scan(&rule, &r.Account, &r.Mailbox, &r.OlderThan, &bulk, &flagged, &r.Note, &v.GoesAt, &stays)
	if errors.Is(err, pgx.ErrNoRows) {
		err = archive.ErrNotFound
	}
	if err != nil {
		return Verdict{}, fmt.Errorf("explain mail %d: %w", id, err)
	}
	if rule != nil {
		r.ID, r.OnlyBulk, r.KeepFlagged = *rule, *bulk, *flagged
		v.Rule = &r
	}
	if stays != nil {
		v.StaysBecause = *stays
	}
	return v, nil
}

// Place is a mailbox, and the rule that decides in it about mail that is bulk,
// or is not.
type Place struct {
	AccountID, MailboxID int64
	Account, Mailbox     string
	Bulk                 bool
	Rule                 int64
}

func places(ctx context.Context, conn *pgx.Conn) ([]Place, error) {
	rows, err := conn.Query(ctx, `select account_id, mailbox_id, account, mailbox, bulk, rule from mailrow.retention_places()`)
	if err != nil {
		return nil, fmt.Errorf("find expired mail: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Place])
	if err != nil {
		return nil, fmt.Errorf("find expired mail: %w", err)
	}
	return list, nil
}

// Run removes what the rules let go, so many mails in a transaction, and tells
// of each batch. What is in use at the moment is left to the next run. When ctx
// ends it finishes its batch; what is done stays done.
func Run(ctx context.Context, conn *pgx.Conn, batch int, tell func(Place, int)) error {
	list, err := places(ctx, conn)
	if err != nil {
		return err
	}
	for _, p := range list {
		from := time.Time{}
		for found := batch; found == batch; {
			if ctx.Err() != nil {
				return fmt.Errorf("remove expired mail: %w: start again to go on", context.Cause(ctx))
			}
			done, err := removeBatch(context.WithoutCancel(ctx), conn, p, from, batch)
			if err != nil {
				return fmt.Errorf("remove expired mail of %s: %w", p.Account, err)
			}
			if done.found > 0 {
				tell(p, done.deleted)
				from = done.last
			}
			found = done.found
		}
	}
	return nil
}

type done struct {
	found, deleted int
	last           time.Time
}

func removeBatch(ctx context.Context, conn *pgx.Conn, p Place, from time.Time, batch int) (d done, err error) {
	err = archive.Transact(ctx, conn, func(tx pgx.Tx) error {
		d, err = remove(ctx, tx, p, from, batch)
		return err
	})
	return d, err
}

func remove(ctx context.Context, tx pgx.Tx, p Place, from time.Time, batch int) (d done, err error) {
	var ids []int64
	var last *time.Time
	err = tx.QueryRow(ctx, `
		select array_agg(id), max(received_at) from mailrow.lock_expired($1, $2, $3, $4, $5)`,
		p.AccountID, p.MailboxID, p.Bulk, from, batch).Scan(&ids, &last)
	if err != nil || len(ids) == 0 {
		return done{}, err
	}
	d = done{found: len(ids), last: *last}
	err = tx.QueryRow(ctx, `select mailrow.delete_mails($1)`, ids).Scan(&d.deleted)
	return d, err
}

// Expired is a mail that goes with the next run.
type Expired struct {
	ID         int64     `json:"id"`
	ReceivedAt time.Time `json:"received_at"`
	Rule       int64     `json:"rule"`
}

// DryRun tells of each mail that Run would remove.
func DryRun(ctx context.Context, conn *pgx.Conn, batch int, tell func(Place, Expired) error) error {
	list, err := places(ctx, conn)
	if err != nil {
		return err
	}
	for _, p := range list {
		last := Expired{}
		for found := batch; found == batch; {
			rows, err := conn.Query(ctx, `select id, received_at, rule from mailrow.expired($1, $2, $3, $4, $5, $6)`,
				p.AccountID, p.MailboxID, p.Bulk, last.ReceivedAt, last.ID, batch)
			if err != nil {
				return fmt.Errorf("find expired mail of %s: %w", p.Account, err)
			}
			page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Expired])
			if err != nil {
				return fmt.Errorf("find expired mail of %s: %w", p.Account, err)
			}
			for _, last = range page {
				if err := tell(p, last); err != nil {
					return err
				}
			}
			found = len(page)
		}
	}
	return nil
}
