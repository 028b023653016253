package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailrow/store"
)

// reparseBatch is how many messages are looked up at a time.
const reparseBatch = 500

// Reparsing says which messages are parsed again.
type Reparsing struct {
	Account string // "": of every account
	All     bool   // also those that this version of the parser has read
}

// Reparsed is what came of it.
type Reparsed struct {
	Messages int64            // parsed again
	Changed  int64            // of them, with another outcome
	Columns  map[string]int64 // how many changed by this column
	Failed   []error          // one a message that could not be read or written; it stays as it was
}

// ReparseCount tells how many messages there are to parse again.
func ReparseCount(ctx context.Context, conn *pgx.Conn, r Reparsing) (n int64, err error) {
	err = conn.QueryRow(ctx, `
		select count(*) from mailrow.messages m
		where ($1 or m.parser < $2)
		  and ($3 = '' or m.account_id = (select a.account_id from mailrow.accounts a where a.name = $3))`,
		r.All, store.ParserVersion, r.Account).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count messages to reparse: %w", err)
	}
	return n, nil
}

// Reparse parses stored messages again, each in a transaction of its own, and
// calls done after each. When it is stopped and called again, it goes on with
// those that are left, unless r.All begins anew.
func Reparse(ctx context.Context, conn *pgx.Conn, r Reparsing, done func(Reparsed)) (Reparsed, error) {
	sum := Reparsed{Columns: map[string]int64{}}
	var last messageKey
	for {
		keys, err := toReparse(ctx, conn, r, last)
		if err != nil || len(keys) == 0 {
			return sum, err
		}
		for _, key := range keys {
			columns, err := reparse(ctx, conn, key)
			switch {
			case err != nil && (ctx.Err() != nil || conn.IsClosed()):
				return sum, err
			case err != nil:
				sum.Failed = append(sum.Failed, err)
			default:
				sum.Messages++
				sum.count(columns)
			}
			done(sum)
		}
		last = keys[len(keys)-1]
	}
}

func (s *Reparsed) count(columns []string) {
	if len(columns) > 0 {
		s.Changed++
	}
	for _, column := range columns {
		s.Columns[column]++
	}
}

type messageKey struct{ Account, ID int64 }

func toReparse(ctx context.Context, conn *pgx.Conn, r Reparsing, after messageKey) ([]messageKey, error) {
	rows, err := conn.Query(ctx, `
		select m.account_id, m.id from mailrow.messages m
		where (m.account_id, m.id) > ($1, $2)
		  and ($3 or m.parser < $4)
		  and ($5 = '' or m.account_id = (select a.account_id from mailrow.accounts a where a.name = $5))
		order by m.account_id, m.id
		limit $6`,
		after.Account, after.ID, r.All, store.ParserVersion, r.Account, reparseBatch)
	if err != nil {
		return nil, fmt.Errorf("find messages to reparse: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[messageKey])
	if err != nil {
		return nil, fmt.Errorf("find messages to reparse: %w", err)
	}
	return keys, nil
}

// reparse gives the columns that changed; a message that was deleted meanwhile
// has none.
func reparse(ctx context.Context, conn *pgx.Conn, key messageKey) (columns []string, err error) {
	var raw []byte
	err = conn.QueryRow(ctx, `
		select mailrow.whole(m.account_id, m.raw, m.recipe, m.blobs)
		from mailrow.messages m where m.account_id = $1 and m.id = $2`, key.Account, key.ID).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d: %w", key.ID, err)
	}
	err = Transact(ctx, conn, func(tx pgx.Tx) error {
		changed, err := store.Reparse(ctx, conn.PgConn(), key.Account, key.ID, raw)
		if err != nil || changed == nil {
			return err
		}
		return json.Unmarshal(changed, &columns)
	})
	if err != nil {
		return nil, fmt.Errorf("reparse: %w", err)
	}
	return columns, nil
}
