package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/nearest"
)

// AbsentError says that there is no account or mailbox of a name, or none that
// the connected role may see: the database does not tell the two apart.
type AbsentError struct {
	What    string // account or mailbox
	Name    string
	Account string   // that the mailbox would be in; "": any
	Near    []string // names that may have been meant
}

func (e *AbsentError) Error() string {
	if e.Account != "" {
		return fmt.Sprintf("there is no %s %q in account %q", e.What, e.Name, e.Account)
	}
	return fmt.Sprintf("there is no %s %q", e.What, e.Name)
}

// FindPlace gives an *AbsentError where there is no such account, or no such
// mailbox in it; "" stands for any.
func FindPlace(ctx context.Context, conn *pgx.Conn, account, mailbox string) error {
	var isAccount, isMailbox bool
	err := conn.QueryRow(ctx, `select
		$1 = '' or exists (select from mailrow.accounts a where a.name = $1),
		$2 = '' or exists (select from mailrow.mailboxes b left join mailrow.accounts a using (account_id)
		                   where b.name = $2 and ($1 = '' or a.name = $1))`, account, mailbox).Scan(&isAccount, &isMailbox)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "42501":
		return nil // before PostgreSQL 15 readers have views alone, which do not tell
	case err != nil:
		return fmt.Errorf("find account and mailbox: %w", err)
	case !isAccount:
		return absent(ctx, conn, &AbsentError{What: "account", Name: account}, `select a.name from mailrow.accounts a`)
	case !isMailbox:
		return absent(ctx, conn, &AbsentError{What: "mailbox", Name: mailbox, Account: account}, `
			select distinct b.name from mailrow.mailboxes b left join mailrow.accounts a using (account_id)
			where $1 = '' or a.name = $1`, account)
	}
	return nil
}

// absent adds to an error which of the names that there are may be meant.
func absent(ctx context.Context, conn *pgx.Conn, missing *AbsentError, sql string, args ...any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return missing
	}
	defer rows.Close()
	missing.Near = nearest.Names(missing.Name, func(yield func(string) bool) {
		for rows.Next() {
			var name string
			if rows.Scan(&name) != nil || !yield(name) {
				return
			}
		}
	})
	return missing
}
