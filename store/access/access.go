// Package access says who may do what in the database: which accounts a reader
// sees, and how the programs that deliver get in.
package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoRole and ErrNoAccount say what a grant needs and the database has not.
var (
	ErrNoRole    = errors.New("there is no such role")
	ErrNoAccount = errors.New("there is no such account")
)

// Grant is what a role may read. Account is nil for every account, also those
// to come.
type Grant struct {
	Role      string    `json:"role"`
	Account   *string   `json:"account"`
	GrantedAt time.Time `json:"granted_at"`
}

// List gives all grants, by role.
func List(ctx context.Context, conn *pgx.Conn) ([]Grant, error) {
	rows, err := conn.Query(ctx, `
		select g.role_name, a.name, g.granted_at
		from mailrow.grants g
		left join mailrow.accounts a on a.account_id = g.account_id
		order by g.role_name, a.name nulls first`)
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	grants, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Grant])
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	return grants, nil
}

// Allow lets a role read an account, or every account where it is nil. It is
// ErrNoRole or ErrNoAccount where there is none of that name.
func Allow(ctx context.Context, conn *pgx.Conn, role string, account *string) error {
	_, err := conn.Exec(ctx, `select mailrow.grant_account($1, $2)`, role, account)
	if err != nil {
		return fmt.Errorf("grant: %w", missing(err))
	}
	return nil
}

// Withdraw takes back what Allow gave; false when it had not been given.
func Withdraw(ctx context.Context, conn *pgx.Conn, role string, account *string) (bool, error) {
	var found bool
	err := conn.QueryRow(ctx, `select mailrow.revoke_account($1, $2)`, role, account).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("revoke: %w", missing(err))
	}
	return found, nil
}

func missing(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "42704":
			return ErrNoRole
		case "P0002":
			return ErrNoAccount
		}
	}
	return err
}
