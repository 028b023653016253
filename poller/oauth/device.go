package oauth

import (
	"context"
	"errors"
	"net/url"
	"time"

	"mailrow/poller/sasl"
)

// Device is a question to a person, to be answered in a browser on any machine.
type Device struct {
	URL  string // to open
	Code string // to enter there
	Ends time.Time

	code     sasl.Secret
	interval time.Duration
}

// Errors of a person who did not agree.
var (
	ErrDenied  = errors.New("access was denied in the browser: run the command again, and agree")
	ErrExpired = errors.New("nobody has agreed in time: run the command again")
)

const (
	// usual is the interval where a provider does not say one (RFC 8628 3.2).
	usual = 5 * time.Second
	// slower is how much more "slow_down" asks for (RFC 8628 3.5).
	slower = 5 * time.Second
)

// AskDevice asks for a code that a person enters.
func (c *Client) AskDevice(ctx context.Context, p Provider) (*Device, error) {
	var answer struct {
		Code     string `json:"device_code"`
		UserCode string `json:"user_code"`
		URL      string `json:"verification_uri"`
		OldURL   string `json:"verification_url"` // of drafts
		Life     number `json:"expires_in"`
		Interval number `json:"interval"`
	}
	if err := c.post(ctx, p.Device, url.Values{"scope": {p.Scope}}, &answer); err != nil {
		return nil, err
	}
	if answer.URL == "" {
		answer.URL = answer.OldURL
	}
	if answer.Code == "" || answer.UserCode == "" || answer.URL == "" {
		return nil, &AwayError{Host: host(p.Device), Says: "something that has no code to enter"}
	}
	d := &Device{URL: answer.URL, Code: answer.UserCode, code: sasl.NewSecret(answer.Code), interval: time.Duration(answer.Interval) * time.Second}
	if d.interval == 0 {
		d.interval = usual
	}
	if answer.Life == 0 {
		answer.Life = 900
	}
	d.Ends = time.Now().Add(time.Duration(answer.Life) * time.Second)
	return d, nil
}

// WaitDevice waits until the person has agreed; else it is ErrDenied or ErrExpired.
func (c *Client) WaitDevice(ctx context.Context, p Provider, d *Device) (Token, error) {
	interval := d.interval
	for {
		select {
		case <-ctx.Done():
			return Token{}, ctx.Err()
		case <-time.After(interval):
		}
		if time.Now().After(d.Ends) {
			return Token{}, ErrExpired
		}
		t, err := c.token(ctx, p.Token, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.code.Reveal()},
		})
		var refused *Error
		var away *AwayError
		switch {
		case err == nil:
			return t, nil
		case errors.As(err, &away) && ctx.Err() == nil:
			interval = min(interval*2, time.Minute) // RFC 8628 3.5, of timeouts
		case !errors.As(err, &refused):
			return Token{}, err
		case refused.Code == "authorization_pending":
		case refused.Code == "slow_down":
			interval += slower
		case refused.Code == "access_denied", refused.Code == "authorization_declined": // Microsoft's word
			return Token{}, ErrDenied
		case refused.Code == "expired_token":
			return Token{}, ErrExpired
		default:
			return Token{}, err
		}
	}
}
