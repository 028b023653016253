package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Token is how a source is logged into with OAuth2. Nothing in it is in clear.
type Token struct {
	Provider     string // what mailrow auth was called with
	Endpoint     string // the token endpoint
	ClientID     string
	ClientSecret *string // reference
	Scope        string
	Refresh      *string // sealed; nil: client credentials
	Access       *string // sealed; nil: to be refreshed
}

// ErrNoToken says that the source is not logged into with OAuth2.
var ErrNoToken = errors.New("the source has no OAuth2 token")

// ReadToken gives the token of a source, or ErrNoToken.
func ReadToken(ctx context.Context, conn *pgx.Conn, source int64) (Token, error) {
	return readToken(ctx, conn, source, false)
}

// LockToken is ReadToken by one poller at a time: the others wait until the
// transaction ends.
func LockToken(ctx context.Context, tx pgx.Tx, source int64) (Token, error) {
	return readToken(ctx, tx.Conn(), source, true)
}

func readToken(ctx context.Context, conn *pgx.Conn, source int64, lock bool) (t Token, err error) {
	err = conn.QueryRow(ctx, `
		select provider, token_endpoint, client_id, client_secret, scope, refresh_token, access_token
		from mailrow_polling.token($1, $2)`, source, lock).
		Scan(&t.Provider, &t.Endpoint, &t.ClientID, &t.ClientSecret, &t.Scope, &t.Refresh, &t.Access)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoToken
	}
	if err != nil {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}

// RotateToken stores what t became when it was refreshed; access is to be used for
// that time. It is false when somebody has authorised the source anew meanwhile.
func RotateToken(ctx context.Context, conn *pgx.Conn, source int64, t Token, refresh *string, access string, usable time.Duration) (bool, error) {
	var stored bool
	err := conn.QueryRow(ctx, `select mailrow_polling.rotate_token($1, $2, $3, $4, $5)`,
		source, t.Refresh, refresh, access, usable.Seconds()).Scan(&stored)
	if err != nil {
		return false, fmt.Errorf("store refreshed token: %w", err)
	}
	return stored, nil
}

// SetToken stores what an operator has authorised, in place of what was. Access is
// left out: the first poll gets it, which shows that it can.
func SetToken(ctx context.Context, conn *pgx.Conn, source int64, t Token) error {
	_, err := conn.Exec(ctx, `
		insert into mailrow.source_tokens (source_id, provider, token_endpoint, client_id, client_secret, scope, refresh_token)
		values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (source_id) do update set provider = excluded.provider, token_endpoint = excluded.token_endpoint,
			client_id = excluded.client_id, client_secret = excluded.client_secret, scope = excluded.scope,
			refresh_token = excluded.refresh_token, access_token = null, usable_until = null, refreshed_at = null,
			authorised_at = now()`,
		source, t.Provider, t.Endpoint, t.ClientID, t.ClientSecret, t.Scope, t.Refresh)
	if err != nil {
		return fmt.Errorf("store token: %w", refusal(err))
	}
	return dueNow(ctx, conn, source)
}

// SetSecret says where the password of a source is; nil: there is none.
func SetSecret(ctx context.Context, conn *pgx.Conn, source int64, reference *string) error {
	if _, err := conn.Exec(ctx, `update mailrow.sources set secret = $2 where source_id = $1`, source, reference); err != nil {
		return fmt.Errorf("store reference: %w", refusal(err))
	}
	return dueNow(ctx, conn, source)
}

// dueNow lets a source that could not be logged into be polled at once.
func dueNow(ctx context.Context, conn *pgx.Conn, source int64) error {
	if _, err := conn.Exec(ctx, `update mailrow.sources set next_run_at = now(), failures = 0 where source_id = $1`, source); err != nil {
		return fmt.Errorf("let source be polled: %w", err)
	}
	return nil
}
