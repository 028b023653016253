package sasl

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
)

// LogIn goes the ways of an offer, best first, until one leads in. exchange says
// with a *DeniedError that the secret was not believed; any other error of it is
// final. A denied token is tried a second time where it is another one by then, for
// somebody has refreshed it.
func (c *Credentials) LogIn(ctx context.Context, o Offer, warn func(format string, args ...any), exchange func(*Exchange) error) error {
	attempts, err := c.Attempts(o)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if a.Warning != "" {
			warn("%s", a.Warning)
		}
		var denied *DeniedError
		if err = a.try(ctx, exchange); err == nil || !errors.As(err, &denied) {
			return err
		}
	}
	return err
}

// Encode writes what a client says, as all protocols do; nothing is "=" (RFC 4422 5).
func Encode(said []byte) string {
	if len(said) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(said)
}

// Decode reads a challenge of a server. Those of LOGIN are only words with some.
func Decode(challenge []byte) []byte {
	challenge = bytes.TrimSpace(challenge)
	plain, err := base64.StdEncoding.DecodeString(string(challenge))
	if err != nil {
		return challenge
	}
	return plain
}

func (a *Attempt) try(ctx context.Context, exchange func(*Exchange) error) error {
	x, err := a.Start(ctx)
	if err != nil {
		return err
	}
	err = exchange(x)
	var denied *DeniedError
	if !a.Token || !errors.As(err, &denied) {
		return err
	}
	if next, nextErr := a.Start(ctx); nextErr == nil && next.Secret.Reveal() != x.Secret.Reveal() {
		return exchange(next)
	}
	return err
}
