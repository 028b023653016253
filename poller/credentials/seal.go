package credentials

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"mailrow/poller"
	"mailrow/poller/oauth"
	"mailrow/poller/sasl"
	"mailrow/poller/secret"
	"mailrow/store/source"
)

// Password is where the password of a source is to be: a Reference, or the Text
// that is to be sealed. The zero Password is none.
type Password struct {
	Reference secret.Reference
	Text      *sasl.Secret
}

// Set stores in the row of a source where its password is.
func (k *Keeper) Set(ctx context.Context, conn *pgx.Conn, s source.Source, p Password) error {
	u, err := poller.ParseURI(s.URI)
	if err != nil {
		return err
	}
	if p.Text != nil {
		if p.Reference, err = k.Key.Seal(*p.Text, owner(s, u, secret.Password)); err != nil {
			return err
		}
	}
	var reference *string
	if text := p.Reference.String(); text != "" {
		reference = &text
	}
	return source.SetSecret(ctx, conn, s.ID, reference)
}

// Grant is what somebody has agreed to.
type Grant struct {
	Provider oauth.Provider
	Client   oauth.Client
	// ClientSecret is where the client's secret is; the zero Reference: it is sealed.
	ClientSecret secret.Reference
	Refresh      *sasl.Secret // nil: the client has rights of its own
}

// ErrNoRefresh says that a token would end within the hour.
var ErrNoRefresh = errors.New("the provider gave no refresh token: revoke what it was given in the settings of the account, or ask for more with --scope, and run the command again")

// Authorise stores a grant with a source.
func (k *Keeper) Authorise(ctx context.Context, conn *pgx.Conn, s source.Source, g Grant) error {
	u, err := poller.ParseURI(s.URI)
	if err != nil {
		return err
	}
	t := source.Token{Provider: g.Provider.Name, Endpoint: g.Provider.Token, ClientID: g.Client.ID, Scope: g.Provider.Scope}
	if g.Refresh == nil {
		t.Scope = g.Provider.Own
	} else if t.Refresh, err = k.seal(*g.Refresh, owner(s, u, secret.RefreshToken)); err != nil {
		return err
	}
	switch text := g.ClientSecret.String(); {
	case text != "":
		t.ClientSecret = &text
	case g.Client.Secret.Reveal() != "":
		if t.ClientSecret, err = k.seal(g.Client.Secret, owner(s, u, secret.ClientSecret)); err != nil {
			return err
		}
	}
	return source.SetToken(ctx, conn, s.ID, t)
}

func (k *Keeper) seal(s sasl.Secret, of secret.Owner) (*string, error) {
	r, err := k.Key.Seal(s, of)
	if err != nil {
		return nil, err
	}
	text := r.String()
	return &text, nil
}
