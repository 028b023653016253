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
	Columns  map[string]int64 // how many changed by this column of table messages, or by their parts or addresses
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
			columns, err := ReparseMessage(ctx, conn, key.Account, key.ID)
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

// ReparseMessage parses one message again, messages.id, and gives what changed.
// One that is deleted, or whose bytes are not those received, stays as it is.
func ReparseMessage(ctx context.Context, conn *pgx.Conn, account, id int64) (changed []string, err error) {
	key := messageKey{account, id}
	err = Transact(ctx, conn, func(tx pgx.Tx) error {
		changed = nil
		before, err := rowsOf(ctx, tx, key)
		if err != nil {
			return fmt.Errorf("read message %d: %w", key.ID, err)
		}
		var raw []byte
		err = tx.QueryRow(ctx, `
			select mailrow.whole(m.account_id, m.raw, m.recipe, m.blobs)
			from mailrow.messages m where m.account_id = $1 and m.id = $2`, key.Account, key.ID).Scan(&raw)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read message %d: %w", key.ID, err)
		}
		columns, err := store.Reparse(ctx, conn.PgConn(), key.Account, key.ID, raw)
		if err != nil || columns == nil {
			return err
		}
		if err := json.Unmarshal(columns, &changed); err != nil {
			return fmt.Errorf("reparse message %d: %w", key.ID, err)
		}
		after, err := rowsOf(ctx, tx, key)
		if err != nil {
			return fmt.Errorf("read message %d: %w", key.ID, err)
		}
		if before.Parts != after.Parts {
			changed = append(changed, "parts")
		}
		if before.Addresses != after.Addresses {
			changed = append(changed, "addresses")
		}
		return nil
	})
	return changed, err
}

// rows are hashes of what views parts and addresses say of a message; where the
// content of a part is kept is no part of it.
type rows struct{ Parts, Addresses string }

func rowsOf(ctx context.Context, tx pgx.Tx, key messageKey) (r rows, err error) {
	err = tx.QueryRow(ctx, `select
		md5(array(select (p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id, p.encoding,
				p.size, p.header_start, p.body_start, p.body_end, p.attachment, case when p.attachment then p.sha256 end)::text
			from mailrow.message_parts p where p.account_id = $1 and p.message = $2 order by p."position")::text),
		md5(array(select (l."position", l.field, l.address, l.name)::text
			from mailrow.message_addresses l where l.account_id = $1 and l.message = $2 order by l."position")::text)`,
		key.Account, key.ID).Scan(&r.Parts, &r.Addresses)
	return r, err
}
