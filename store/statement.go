package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/message"
)

// statement is a call of one of the delivery functions.
type statement struct {
	name string // under which it is prepared
	sql  string
	n    int // parameters

	// polled is the same for a mail with an Origin: what is known of it at its
	// source is written in the transaction that stores it.
	polled string

	// asked is the same for a mail with parameters of RFC 3461.
	asked string
}

const (
	deliverCount    = 59
	deliverOneCount = 55
	originCount     = 5
)

var (
	deliverStatement    = newDeliverStatement()
	deliverOneStatement = statement{
		name: "mailrow_deliver_one", n: deliverOneCount,
		sql: "select mailrow_delivery.deliver_one(" + placeholders(deliverOneCount) + ")",
	}
	deliverNextStatement = newStatement("deliver_next", "id", "d (id)", "id", deliverOneCount)
)

func newStatement(function, columns, as, id string, n int) statement {
	s := statement{name: "mailrow_" + function, n: n}
	s.sql = "select " + columns + " from mailrow_delivery." + function + "(" + placeholders(n) + ") " + as
	s.polled = s.sql + ", lateral mailrow_polling.settle(" + placeholdersFrom(n+1, n+originCount) + ", d." + id + ")"
	return s
}

func newDeliverStatement() statement {
	s := newStatement("deliver", "ids, outcomes", "d (ids, outcomes)", "ids[1]", deliverCount)
	s.asked = s.sql + ", lateral mailrow_delivery.note_dsn($60, d.ids)"
	return s
}

// asksForDSN says whether a statement of a delivery has to record that.
func (d *Delivery) asksForDSN() bool {
	return slices.ContainsFunc(d.Envelope.Recipients, func(to message.Recipient) bool { return to.DSN != "" })
}

// exec runs a statement. A mail with an origin, or with parameters of RFC 3461, adds
// its own.
func (c *Conn) exec(ctx context.Context, s statement, d *Delivery, args *arguments) (*pgconn.ResultReader, error) {
	if d.asksForDSN() {
		s.name, s.sql = s.name+"_asked", s.asked
		to := d.Envelope.Recipients
		args.textArray(len(to), func(i int) (string, bool) { return to[i].DSN, to[i].DSN != "" })
	}
	if o := d.Origin; o != nil {
		s.name, s.sql = s.name+"_polled", s.polled
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
