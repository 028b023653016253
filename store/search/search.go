// Package search finds mail by what it says, also while its index lags behind.
package search

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Options narrow and order what a query finds.
type Options struct {
	Account   string    // "": of every account that the role may read
	Limit     int       // 0: all
	Ranked    bool      // the best first instead of the newest
	Highlight [2]string // before and after each hit in an excerpt; both "": «»
}

// Result is one arrival of a mail that a query found.
type Result struct {
	ID          int64     `json:"id"`
	Account     string    `json:"account"`
	Mailbox     string    `json:"mailbox"`
	ReceivedAt  time.Time `json:"received_at"`
	FromName    *string   `json:"from_name"`
	FromAddress *string   `json:"from_address"`
	Subject     *string   `json:"subject"`
	Attachments int       `json:"attachments"`
	Thread      int64     `json:"thread"`
	Rank        *float32  `json:"rank,omitempty"` // with Options.Ranked
	Excerpt     string    `json:"excerpt"`
}

// QueryError says what of a query cannot be understood.
type QueryError struct {
	Problem, Remedy string
}

func (e *QueryError) Error() string { return e.Problem + ": " + e.Remedy }

// Search gives what a query finds among the mail that the connected role may
// read. The language of queries is that of function mailrow.search(). It is a
// *QueryError when the query cannot be understood.
func Search(ctx context.Context, conn *pgx.Conn, query string, o Options) ([]Result, error) {
	within := o.Limit
	switch {
	case strings.ContainsAny(o.Account, `"*`): // the language cannot quote these
		within = 0
	case o.Account != "":
		query = `account:"` + o.Account + `" (` + query
	}
	if o.Highlight == [2]string{} {
		o.Highlight = [2]string{"«", "»"}
	}
	rows, err := conn.Query(ctx, `
		select id, coalesce(account, ''), coalesce(mailbox, ''), received_at, from_name, from_address, subject, attachments,
		       coalesce(thread, 0), rank, excerpt
		from mailrow.search($1, nullif($2, 0), $3, $4, $5) where $6 = '' or account = $6 limit nullif($7::bigint, 0)`,
		query, within, o.Ranked, o.Highlight[0], o.Highlight[1], o.Account, o.Limit)
	if err != nil {
		return nil, fmt.Errorf("search: %w", Explain(err))
	}
	results, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Result])
	if err != nil {
		return nil, fmt.Errorf("search: %w", Explain(err))
	}
	return results, nil
}

// Explain gives the *QueryError that an error of any function is which has
// searched, and otherwise the error.
func Explain(err error) error {
	var pg *pgconn.PgError
	// Others than PL/pgSQL say 22023 of damaged data, such as base64 that is none.
	if errors.As(err, &pg) && pg.Code == "22023" && pg.Routine == "exec_stmt_raise" {
		return &QueryError{Problem: strings.TrimPrefix(pg.Message, "mailrow: "), Remedy: pg.Hint}
	}
	return err
}
