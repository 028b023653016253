package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/message"
)

// statement is a call of one of the delivery functions, and of those that record in
// the same transaction what few mails have.
type statement struct {
	name string // under which it is prepared
	sql  string
	n    int    // parameters
	ids  string // of the deliveries that it gives, an array
}

const (
	deliverCount    = 59
	deliverOneCount = 55
	batchCount      = 16
)

var (
	deliverStatement     = newStatement("deliver", "ids, outcomes", "d (ids, outcomes)", "d.ids", deliverCount)
	deliverOneStatement  = newStatement("deliver_one", "id", "d (id)", "array[d.id]", deliverOneCount)
	deliverNextStatement = newStatement("deliver_next", "id", "d (id)", "array[d.id]", deliverOneCount)
	batchStatement       = newStatement("deliver_all", "d.ids, redelivered", "d", "d.ids", batchCount)
)

func newStatement(function, columns, as, ids string, n int) statement {
	sql := "select " + columns + " from mailrow_delivery." + function + "(" + placeholders(n) + ") " + as
	return statement{name: "mailrow_" + function, sql: sql, n: n, ids: ids}
}

// noting gives the statement with the call of a function after it, which gets the next
// parameters and what the statement gives.
func (s statement) noting(what, function string, parameters int, given string) statement {
	s.name += "_" + what
	s.sql += ", lateral " + function + "(" + placeholdersFrom(s.n+1, s.n+parameters) + ", " + given + ") " + what
	s.n += parameters
	return s
}

// identified records the identities of the mails that are stored.
func (s statement) identified() statement {
	return s.noting("identified", "mailrow_delivery.note_identities", 1, s.ids)
}

// asked records what was asked of delivery status notifications.
func (s statement) asked() statement {
	return s.noting("asked", "mailrow_delivery.note_dsn", 1, s.ids)
}

// asksForDSN says whether a statement of a delivery has to record that.
func (d *Delivery) asksForDSN() bool {
	return slices.ContainsFunc(d.Envelope.Recipients, func(to message.Recipient) bool { return to.DSN != "" })
}

// dsn is what was asked for a recipient, if anything was.
func (d *Delivery) dsn(recipient int) (asked string, ok bool) {
	asked = d.Envelope.Recipients[recipient].DSN
	return asked, asked != ""
}

// exec runs a statement for one mail. One with parameters of RFC 3461 or an origin adds
// its own.
func (c *Conn) exec(ctx context.Context, s statement, d *Delivery, args *arguments) (*pgconn.ResultReader, error) {
	if d.asksForDSN() {
		s = s.asked()
		args.textArray(len(d.Envelope.Recipients), d.dsn)
	}
	if o := d.Origin; o != nil {
		s = s.noting("polled", "mailrow_polling.settle", 5, "("+s.ids+")[1]")
		args.int8(o.Source)
		args.int8(o.Folder)
		args.text(o.id())
		args.bytea(o.Content)
		args.textOrNull(o.Stamp)
	}
	return c.run(ctx, s, args)
}

// run runs a statement, prepared where statements are.
func (c *Conn) run(ctx context.Context, s statement, args *arguments) (*pgconn.ResultReader, error) {
	if c.prepared == nil {
		return c.pg.ExecParams(ctx, s.sql, args.values, args.types, args.format, nil), nil
	}
	if !c.prepared[s.name] {
		if err := c.prepare(ctx, s); err != nil {
			return nil, err
		}
	}
	return c.pg.ExecPrepared(ctx, s.name, args.values, args.format, nil), nil
}

func oneRow(r *pgconn.ResultReader) ([][]byte, error) {
	result := r.Read()
	if result.Err != nil {
		return nil, result.Err
	}
	if len(result.Rows) != 1 {
		return nil, fmt.Errorf("%w: %d rows", errSchema, len(result.Rows))
	}
	return result.Rows[0], nil
}
