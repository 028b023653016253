// Package credentials gives each source what it logs in with: its password from
// where its row says that it is, and its OAuth2 token, refreshed when it is due.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/poller"
	"mailrow/poller/oauth"
	"mailrow/poller/sasl"
	"mailrow/poller/secret"
	"mailrow/store/source"
)

// Keeper knows where secrets are.
type Keeper struct {
	Key     secret.KeyFile
	Connect func(context.Context) (*pgx.Conn, error) // as mailrow_poller at least
	HTTP    *http.Client                             // nil: a plain one
}

// RevokedError says that the owner of a mailbox has to agree anew.
type RevokedError struct {
	Source, Provider string
	Err              error
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("refresh the token of source %s: the grant has expired or was revoked: run mailrow auth %s --source '%s' again: %v",
		e.Source, e.Provider, e.Source, e.Err)
}

func (e *RevokedError) Unwrap() error { return e.Err }

// Is says that it is sasl.ErrDenied.
func (e *RevokedError) Is(target error) bool { return target == sasl.ErrDenied }

// RefusedError says that the provider takes neither us nor what we ask for.
type RefusedError struct {
	Source, Provider string
	Err              error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refresh the token of source %s: %v: check the client's id, secret and rights at the provider, then run mailrow auth %s --source '%s' again",
		e.Source, e.Err, e.Provider, e.Source)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Is says that it is sasl.ErrDenied.
func (e *RefusedError) Is(target error) bool { return target == sasl.ErrDenied }

// Of gives what a source logs in with. Nothing secret is got before it is needed.
func (k *Keeper) Of(ctx context.Context, s source.Source) (sasl.Credentials, error) {
	u, err := poller.ParseURI(s.URI)
	if err != nil {
		return sasl.Credentials{}, err
	}
	c := sasl.Credentials{User: u.User}
	if s.Secret != nil {
		reference, err := secret.Parse(*s.Secret)
		if err != nil {
			return c, fmt.Errorf("find the password of source %s: %w", s, err)
		}
		c.Password = func(ctx context.Context) (sasl.Secret, error) {
			return reference.Get(ctx, k.Key, owner(s, u, secret.Password))
		}
	}
	switch _, err := k.read(ctx, s); {
	case err == nil:
		c.Token = func(ctx context.Context) (sasl.Secret, error) { return k.token(ctx, s, u) }
	case !errors.Is(err, source.ErrNoToken):
		return c, err
	}
	return c, nil
}

func owner(s source.Source, u poller.URI, use secret.Use) secret.Owner {
	return secret.Owner{Source: s.ID, Place: u.Place(), Use: use}
}

func (k *Keeper) read(ctx context.Context, s source.Source) (source.Token, error) {
	conn, err := k.Connect(ctx)
	if err != nil {
		return source.Token{}, err
	}
	defer hangUp(conn)
	return source.ReadToken(ctx, conn, s.ID)
}

func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // what is to be kept is committed
}

// patience is how long a token may take: the provider's time and that of another
// poller which refreshes it.
const patience = 3 * time.Minute

// token is the access token that the row has or, when it is due, another one.
func (k *Keeper) token(ctx context.Context, s source.Source, u poller.URI) (sasl.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := k.Connect(ctx)
	if err != nil {
		return sasl.Secret{}, err
	}
	defer hangUp(conn)
	t, err := source.ReadToken(ctx, conn, s.ID)
	if err == nil && t.Access == nil {
		return k.refresh(ctx, conn, s, u)
	}
	if err != nil {
		return sasl.Secret{}, err
	}
	return k.open(ctx, *t.Access, owner(s, u, secret.AccessToken))
}

func (k *Keeper) open(ctx context.Context, reference string, of secret.Owner) (sasl.Secret, error) {
	r, err := secret.Parse(reference)
	if err != nil {
		return sasl.Secret{}, err
	}
	return r.Get(ctx, k.Key, of)
}

// refresh gets another token while nobody else does. A refresh token may work only
// once: from the provider's answer on, what it gave must come into the row.
func (k *Keeper) refresh(ctx context.Context, conn *pgx.Conn, s source.Source, u poller.URI) (sasl.Secret, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return sasl.Secret{}, fmt.Errorf("refresh the token of source %s: %w", s, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing in it, or committed
	t, err := source.LockToken(ctx, tx, s.ID)
	if err != nil {
		return sasl.Secret{}, err
	}
	if t.Access != nil { // another poller has been here
		return k.open(ctx, *t.Access, owner(s, u, secret.AccessToken))
	}
	fresh, err := k.ask(ctx, s, u, t)
	if err != nil {
		return sasl.Secret{}, err
	}
	refresh, access := t.Refresh, ""
	if fresh.Refresh != nil && t.Refresh != nil {
		sealed, err := k.Key.Seal(*fresh.Refresh, owner(s, u, secret.RefreshToken))
		if err != nil {
			return sasl.Secret{}, err
		}
		text := sealed.String()
		refresh = &text
	}
	sealed, err := k.Key.Seal(fresh.Access, owner(s, u, secret.AccessToken))
	if err != nil {
		return sasl.Secret{}, err
	}
	access = sealed.String()
	if err := k.keep(context.WithoutCancel(ctx), conn, tx, s, func(ctx context.Context, conn *pgx.Conn) error {
		// Where somebody has authorised it anew meanwhile, that stays.
		_, err := source.RotateToken(ctx, conn, s.ID, t, refresh, access, fresh.Usable())
		return err
	}); err != nil {
		return sasl.Secret{}, err
	}
	return fresh.Access, nil
}

// ask asks the provider.
func (k *Keeper) ask(ctx context.Context, s source.Source, u poller.URI, t source.Token) (fresh oauth.Token, err error) {
	client := oauth.Client{ID: t.ClientID, HTTP: k.HTTP}
	if t.ClientSecret != nil {
		if client.Secret, err = k.open(ctx, *t.ClientSecret, owner(s, u, secret.ClientSecret)); err != nil {
			return fresh, err
		}
	}
	if t.Refresh == nil {
		fresh, err = client.Own(ctx, t.Endpoint, t.Scope)
	} else {
		var refresh sasl.Secret
		if refresh, err = k.open(ctx, *t.Refresh, owner(s, u, secret.RefreshToken)); err != nil {
			return fresh, err
		}
		fresh, err = client.Refresh(ctx, t.Endpoint, refresh)
	}
	var refused *oauth.Error
	switch {
	case oauth.Revoked(err) && t.Refresh != nil:
		err = &RevokedError{s.String(), t.Provider, err}
	case errors.As(err, &refused):
		err = &RefusedError{s.String(), t.Provider, err}
	case err != nil:
		err = fmt.Errorf("refresh the token of source %s: %w", s, err)
	}
	return fresh, err
}

const (
	keepFor   = time.Minute
	keepPause = time.Second
)

// keep stores in the transaction or, when its connection is lost, in another one,
// for as long as there is hope.
func (k *Keeper) keep(ctx context.Context, conn *pgx.Conn, tx pgx.Tx, s source.Source, store func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, keepFor)
	defer cancel()
	err := store(ctx, conn)
	if err == nil {
		err = tx.Commit(ctx)
	}
	for err != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("keep the refreshed token of source %s, which may have to be authorised again: %w", s, err)
		case <-time.After(keepPause):
		}
		var again *pgx.Conn
		if again, err = k.Connect(ctx); err != nil {
			continue
		}
		err = store(ctx, again)
		hangUp(again)
	}
	return nil
}
