// Package verify checks that everything stored is still what it was when it came.
package verify

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Finding is something that is wrong. What of it is not known is zero.
type Finding struct {
	Kind     Kind    `json:"kind"`
	Account  string  `json:"account"`
	Message  int64   `json:"message,omitempty"` // messages.id
	Mails    []int64 `json:"mails,omitempty"`   // some of its ids in view mail
	SHA256   string  `json:"sha256,omitempty"`  // of the content of an attachment
	What     string  `json:"what"`
	Remedy   string  `json:"remedy"`
	Repaired bool    `json:"repaired"`
}

// Count is how much was checked.
type Count struct {
	Accounts, Messages, Contents, Bytes int64
	Findings, Repaired                  int64
}

// Options say what to check.
type Options struct {
	Account string // "": all
	Quick   bool   // without reading the contents
	Repair  bool   // remove leftovers, and read mail again whose rows are not complete
}

// ErrNoAccount says that there is no account of that name.
var ErrNoAccount = errors.New("there is no such account")

// batchBytes is about what one call checks.
const batchBytes = 64 << 20

type verifier struct {
	Options
	conn    *pgx.Conn
	count   Count
	found   func(Finding) error
	tell    func(Count)
	account account
}

type account struct {
	ID   int64
	Name *string // nil where table accounts has none
}

func (a account) String() string {
	if a.Name == nil {
		return fmt.Sprintf("(account_id %d)", a.ID)
	}
	return *a.Name
}

// Run checks the database, with queries that each see one moment of it; what
// looks wrong is looked at again before found hears of it. tell hears how far
// it is.
func Run(ctx context.Context, conn *pgx.Conn, o Options, found func(Finding) error, tell func(Count)) (Count, error) {
	v := &verifier{Options: o, conn: conn, found: found, tell: tell}
	accounts, err := v.accounts(ctx)
	if err != nil {
		return v.count, fmt.Errorf("list accounts: %w", err)
	}
	if o.Account != "" && len(accounts) == 0 {
		return v.count, fmt.Errorf("verify account %s: %w", o.Account, ErrNoAccount)
	}
	for _, v.account = range accounts {
		v.count.Accounts++
		for _, check := range []func(context.Context) error{v.messages, v.contents, v.strays} {
			if err := check(ctx); err != nil {
				return v.count, fmt.Errorf("verify account %s: %w", v.account, err)
			}
		}
	}
	return v.count, nil
}

// accounts are those of the table, and those that any mail is of.
func (v *verifier) accounts(ctx context.Context) ([]account, error) {
	rows, err := v.conn.Query(ctx, `
		with recursive mail as (
			select t.name, k.account_id from (values ('messages'), ('deliveries'), ('blobs'), ('message_parts'),
				('message_addresses'), ('thread_ids'), ('identities')) t (name)
			cross join lateral mailrow.next_account(t.name, null) k (account_id)
			union all
			select m.name, mailrow.next_account(m.name, m.account_id) from mail m where m.account_id is not null
		)
		select i.account_id, a.name
		from (select account_id from mailrow.accounts union select account_id from mail where account_id is not null) i
		left join mailrow.accounts a on a.account_id = i.account_id
		where $1 = '' or a.name = $1
		order by i.account_id`, v.Account)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[account])
}

// report tells of a finding.
func (v *verifier) report(f Finding) error {
	f.Account = v.account.String()
	if f.Remedy == "" {
		f.Remedy = remedies[f.Kind]
	}
	v.count.Findings++
	if f.Repaired {
		v.count.Repaired++
	}
	return v.found(f)
}

// isDamage says that the server cannot read a row: not what is in it, but that
// it is there.
func isDamage(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && len(pg.Code) == 5 && (pg.Code[:2] == "XX" || pg.Code[:2] == "58")
}

// scan goes through the keys from lo to hi. batch checks some of them from the
// first on and gives the last it checked; hi when no more follow. Keys that the
// server cannot read are found by halving.
func scan(lo, hi uint64, batch func(lo, hi uint64) (uint64, error), damaged func(key uint64, err error) error) error {
	for {
		last, err := batch(lo, hi)
		switch {
		case isDamage(err) && lo == hi:
			return damaged(lo, err)
		case isDamage(err):
			middle := lo + (hi-lo)/2
			if err := scan(lo, middle, batch, damaged); err != nil {
				return err
			}
			lo = middle + 1
			continue
		case err != nil:
			return err
		case last >= hi:
			return nil
		}
		lo = last + 1
	}
}

// checked is a row of verify_messages and verify_blobs.
type checked struct {
	key        uint64
	sha256     []byte
	size       int64
	kind, what *string
}

func (v *verifier) messages(ctx context.Context) error {
	rows := func(lo, hi uint64) ([]checked, error) {
		rows, err := v.conn.Query(ctx, `select message, size, kind, what from mailrow.verify_messages($1, $2, $3, $4, $5)`,
			v.account.ID, int64(lo), int64(hi), v.Quick, batchBytes)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c checked, err error) {
			var id int64
			err = row.Scan(&id, &c.size, &c.kind, &c.what)
			c.key = uint64(id)
			return c, err
		})
	}
	batch := func(lo, hi uint64) (uint64, error) {
		list, err := rows(lo, hi)
		if err != nil {
			return 0, fmt.Errorf("verify messages from %d: %w", lo, err)
		}
		return v.batch(list, hi, &v.count.Messages, func(c checked) error {
			again, err := rows(c.key, c.key)
			if err != nil {
				return fmt.Errorf("verify message %d: %w", c.key, err)
			}
			if !confirms(again, c) {
				return nil
			}
			mails, err := v.mailsOf(ctx, `message = $2`, int64(c.key))
			if err != nil {
				return err
			}
			f := Finding{Kind: Kind(*c.kind), Message: int64(c.key), Mails: mails, What: *c.what}
			if v.Repair && f.Kind == Part {
				if err := v.reread(ctx, f.Message); err != nil {
					return err
				}
				again, err := rows(c.key, c.key)
				if err != nil {
					return fmt.Errorf("verify message %d: %w", c.key, err)
				}
				f.Repaired = !confirms(again, c)
			}
			return v.report(f)
		})
	}
	return scan(0, math.MaxInt64, batch, func(id uint64, err error) error {
		return v.report(Finding{Kind: RowUnreadable, Message: int64(id), What: "its row in table messages: " + reason(err)})
	})
}

func (v *verifier) contents(ctx context.Context) error {
	rows := func(from, to []byte) ([]checked, error) {
		rows, err := v.conn.Query(ctx, `select sha256, size, kind, what from mailrow.verify_blobs($1, $2, $3, $4, $5)`,
			v.account.ID, from, to, v.Quick, batchBytes)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c checked, err error) {
			err = row.Scan(&c.sha256, &c.size, &c.kind, &c.what)
			c.key = prefix(c.sha256)
			return c, err
		})
	}
	batch := func(lo, hi uint64) (uint64, error) {
		list, err := rows(binary.BigEndian.AppendUint64(nil, lo), lastOf(hi))
		if err != nil {
			return 0, fmt.Errorf("verify contents from %016x: %w", lo, err)
		}
		return v.batch(list, hi, &v.count.Contents, func(c checked) error {
			again, err := rows(c.sha256, c.sha256)
			if err != nil {
				return fmt.Errorf("verify content %x: %w", c.sha256, err)
			}
			if !confirms(again, c) {
				return nil
			}
			mails, err := v.mailsOf(ctx, `message in (select m.id from mailrow.messages m
				where m.account_id = $1 and m.blobs @> array[$2::bytea])`, c.sha256)
			if err != nil {
				return err
			}
			return v.report(Finding{Kind: Kind(*c.kind), SHA256: hex.EncodeToString(c.sha256), Mails: mails, What: *c.what})
		})
	}
	return scan(0, math.MaxUint64, batch, func(key uint64, err error) error {
		return v.report(Finding{Kind: RowUnreadable, SHA256: fmt.Sprintf("%016x", key), What: "its row in table blobs: " + reason(err)})
	})
}

// prefix is the key of a content in a scan.
func prefix(sha256 []byte) uint64 {
	var key [8]byte
	copy(key[:], sha256)
	return binary.BigEndian.Uint64(key[:])
}

// lastOf is the last SHA-256 with that prefix; longer ones are damaged, and found.
func lastOf(key uint64) []byte {
	last := binary.BigEndian.AppendUint64(nil, key)
	for len(last) < 64 {
		last = append(last, 0xff)
	}
	return last
}

// batch counts what was checked, looks at what is wrong again, and gives the
// key to go on after.
func (v *verifier) batch(list []checked, hi uint64, count *int64, wrong func(checked) error) (uint64, error) {
	for i, c := range list {
		if i == 0 || list[i-1].key != c.key {
			*count++
			v.count.Bytes += c.size
		}
		if c.kind != nil {
			if err := wrong(c); err != nil {
				return 0, err
			}
		}
	}
	v.tell(v.count)
	if len(list) == 0 {
		return hi, nil
	}
	return list[len(list)-1].key, nil
}

// confirms says that the same is wrong still.
func confirms(again []checked, c checked) bool {
	for _, a := range again {
		if a.key == c.key && a.kind != nil && *a.kind == *c.kind && *a.what == *c.what {
			return true
		}
	}
	return false
}

// mailsOf gives the first ids of arrivals for a finding.
func (v *verifier) mailsOf(ctx context.Context, condition string, arg any) ([]int64, error) {
	rows, err := v.conn.Query(ctx, `select id from mailrow.deliveries where account_id = $1 and `+condition+` order by id limit 5`,
		v.account.ID, arg)
	if err != nil {
		return nil, fmt.Errorf("find its mails: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if isDamage(err) {
		return nil, nil
	}
	return ids, err
}

// reason is what the server says of it.
func reason(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message
	}
	return err.Error()
}
