package archive

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"mailrow/store"
)

// contests are how often a transaction that lost to another is tried again.
const contests = 5

// Transact does something in a transaction that sees what others commit
// meanwhile, as the functions that delete insist on. It is done anew when the
// transaction lost to another, in a deadlock with a delivery for instance.
func Transact(ctx context.Context, conn *pgx.Conn, do func(pgx.Tx) error) (err error) {
	for range contests {
		err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, do)
		if store.TroubleOf(err) != store.TroubleContest {
			break
		}
	}
	return err
}

// Delete removes one arrival, and its message with the last one, or gives
// ErrNotFound.
func Delete(ctx context.Context, conn *pgx.Conn, id int64) error {
	n, err := DeleteAll(ctx, conn, []int64{id})
	if err == nil && n == 0 {
		err = fmt.Errorf("delete mail %d: %w", id, ErrNotFound)
	}
	return err
}

// DeleteAll removes arrivals in one transaction, and gives how many there were.
func DeleteAll(ctx context.Context, conn *pgx.Conn, ids []int64) (n int, err error) {
	err = Transact(ctx, conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select mailrow.delete_mails($1)`, ids).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("delete mail %s: %w", first(ids), err)
	}
	return n, nil
}

// first names ids in an error.
func first(ids []int64) string {
	switch len(ids) {
	case 0:
		return "none"
	case 1:
		return strconv.FormatInt(ids[0], 10)
	}
	return fmt.Sprintf("%d and %d more", ids[0], len(ids)-1)
}

// DeleteAccount removes an account with all its mail; without one of that name
// it does nothing.
func DeleteAccount(ctx context.Context, conn *pgx.Conn, name string) error {
	err := Transact(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select mailrow.delete_account($1)`, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete account %s: %w", name, err)
	}
	return nil
}
