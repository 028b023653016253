// Package routing keeps the routes: which account and mailbox a recipient's
// mail goes to.
package routing

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/store"
)

// Route sends mail for the recipients that match Pattern to Account. Mailbox is
// nil where the route leaves it as it is without one; a * in it stands for the
// recipient's extension.
type Route struct {
	Pattern string  `json:"pattern"`
	Account string  `json:"account"`
	Mailbox *string `json:"mailbox"`
}

// ErrExists says that the pattern has a route already.
var ErrExists = errors.New("there is a route for it already")

// PatternError is a pattern that no recipient can match.
type PatternError struct {
	Pattern, Reason string
}

func (e *PatternError) Error() string { return fmt.Sprintf("pattern %q %s", e.Pattern, e.Reason) }

// Pattern brings a pattern into the form of the table. It refuses what would
// never match, since a route that does nothing loses no mail but misleads.
func Pattern(s string) (string, error) {
	pattern := strings.ToLower(strings.TrimSpace(s))
	if pattern == "*" {
		return pattern, nil
	}
	at := strings.LastIndexByte(pattern, '@')
	local, domain := pattern[:max(at, 0)], pattern[at+1:]
	switch star := strings.IndexByte(local, '*'); {
	case at < 0 || domain == "":
		return "", &PatternError{s, "is neither an address nor user+*@domain, @domain or *"}
	case strings.Contains(domain, "*"):
		return "", &PatternError{s, "has a * in its domain: a route matches one domain, or all as *"}
	case local == "*":
		return "", &PatternError{s, "is written @" + domain}
	case star >= 0 && (star != len(local)-1 || star < 2):
		return "", &PatternError{s, "has a * elsewhere than in user+*@domain"}
	}
	return pattern, nil
}

// List gives the routes, the most exact kinds first, as they win.
func List(ctx context.Context, conn *pgx.Conn) ([]Route, error) {
	rows, err := conn.Query(ctx, `
		select pattern, account, mailbox from mailrow.routes
		order by case when pattern = '*' then 3 when pattern like '@%' then 2 when pattern like '%*@%' then 1 else 0 end,
		         pattern`)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	routes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Route])
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// Add makes a route. It is ErrExists where the pattern has one, a *PatternError
// where it can match nothing.
func Add(ctx context.Context, conn *pgx.Conn, r Route) error {
	pattern, err := Pattern(r.Pattern)
	if err != nil {
		return fmt.Errorf("add route: %w", err)
	}
	_, err = conn.Exec(ctx, `insert into mailrow.routes (pattern, account, mailbox) values ($1, $2, $3)`,
		pattern, r.Account, r.Mailbox)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		err = ErrExists
	}
	if err != nil {
		return fmt.Errorf("add route: %w", err)
	}
	return nil
}

// Remove takes a route away; false when the pattern has none.
func Remove(ctx context.Context, conn *pgx.Conn, pattern string) (bool, error) {
	tag, err := conn.Exec(ctx, `delete from mailrow.routes where pattern = lower($1)`, strings.TrimSpace(pattern))
	if err != nil {
		return false, fmt.Errorf("remove route: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// Destination is where mail for a recipient goes.
type Destination struct {
	Pattern *string `json:"pattern"` // of the route; nil without one
	Account string  `json:"account"`
	Mailbox string  `json:"mailbox"`
	Exists  bool    `json:"account_exists"` // otherwise the first mail makes the account
}

// Options are those of a delivery that bear on the destination.
type Options struct {
	Account, Mailbox string
	ExtensionMailbox bool
}

// Resolve tells the destination of a recipient, by the rules of
// mailrow_delivery.deliver.
func Resolve(ctx context.Context, conn *pgx.Conn, l store.Lookup, o Options) (Destination, error) {
	var d Destination
	err := conn.QueryRow(ctx, `
		with route as (
			select pattern, account, replace(mailbox, '*', lower($4)) as mailbox from mailrow.routes
			where $5 = '' and pattern in ($1, nullif($2, ''), $3, substring($3 from '@[^@]*$'), '*')
			order by case pattern when $1 then 1 when $2 then 2 when $3 then 3 when '*' then 5 else 4 end
			limit 1
		), destination as (
			select (select pattern from route) as pattern,
			       coalesce(nullif($5, ''), (select account from route), $3) as account,
			       coalesce(case when $7 then lower(nullif($4, '')) end, nullif($6, ''),
			                nullif((select mailbox from route), ''), 'INBOX') as mailbox
		)
		select pattern, account, case lower(mailbox) when 'inbox' then 'INBOX' else mailbox end, exists (select from mailrow.accounts a where a.name = account)
		from destination`,
		l.Address, l.Wildcard, l.Base, l.Extension, o.Account, o.Mailbox, o.ExtensionMailbox,
	).Scan(&d.Pattern, &d.Account, &d.Mailbox, &d.Exists)
	if err != nil {
		return d, fmt.Errorf("resolve %s: %w", l.Address, err)
	}
	return d, nil
}
