package sasl

import (
	"context"
	"errors"
)

// LogIn goes the ways of an offer, best first, until one leads in. exchange says
// with a *DeniedError that the secret was not believed; any other error of it is
// final. A denied token is tried a second time where it is another one by then, for
// somebody has refreshed it.
func (c *Credentials) LogIn(ctx context.Context, o Offer, warn func(text string), exchange func(*Exchange) error) error {
	attempts, err := c.Attempts(o)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if a.Warning != "" {
			warn(a.Warning)
		}
		var denied *DeniedError
		if err = a.try(ctx, exchange); err == nil || !errors.As(err, &denied) {
			return err
		}
	}
	return err
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
