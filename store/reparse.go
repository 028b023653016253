package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/message"
)

const reparseCount = 38

var reparseSQL = "select array_to_json(mailrow.reparse(" + placeholders(reparseCount) + "))"

// Reparse parses a stored message again and writes what this version of the
// parser finds. It gives the columns that changed as a JSON array, and nil when
// the message is not there any more or has other bytes.
func Reparse(ctx context.Context, pg *pgconn.PgConn, account, id int64, raw []byte) ([]byte, error) {
	d := &Delivery{Raw: raw, Message: message.Parse(raw)}
	args := newArguments(reparseCount)
	args.int8OrNull(&account)
	args.int8OrNull(&id)
	args.bytea(raw)
	args.message(d)
	args.body(d.Message)
	args.structure(d.Message)
	args.threads(d.Message)
	args.contents(d)
	row, err := oneRow(pg.ExecParams(ctx, reparseSQL, args.values, args.types, args.format, nil))
	if err != nil {
		return nil, fmt.Errorf("reparse message %s: %w", strconv.FormatInt(id, 10), err)
	}
	return row[0], nil
}
