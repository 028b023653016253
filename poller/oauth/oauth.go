// Package oauth gets tokens for mailboxes: by a code that a person enters in a
// browser anywhere (RFC 8628), by a browser that comes back to this machine (RFC
// 8252, 7636) and for clients with rights of their own (RFC 6749 4.4); and it
// refreshes them.
package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailrow/poller/dial"
	"mailrow/poller/sasl"
)

// Client is whom a provider knows this installation as.
type Client struct {
	ID string
	// Secret is not there for public clients. That of a program which people run on
	// their own machines is none (RFC 8252 8.5), but Google wants it all the same.
	Secret sasl.Secret
	HTTP   *http.Client // nil: one with deadlines
}

// Token is what a provider has given.
type Token struct {
	Access  sasl.Secret
	Refresh *sasl.Secret // nil: there is none, or the one before stays good
	Life    time.Duration
	Scope   string // "": what was asked for
}

// margin is how long before its end an access token is no longer used: clocks
// differ, and a login takes its time.
const margin = 2 * time.Minute

// Usable is how long the access token may be used.
func (t Token) Usable() time.Duration { return t.Life - min(margin, t.Life/4) }

// unknownLife is that of a token whose provider does not tell (RFC 6749 5.1).
const unknownLife = 10 * time.Minute

// Error is a provider's refusal (RFC 6749 5.2). Asking again does not help.
type Error struct {
	Code string // such as "invalid_grant"
	Text string // the provider's, for people; may be ""
}

func (e *Error) Error() string {
	if e.Text == "" {
		return "the provider says " + e.Code
	}
	return fmt.Sprintf("the provider says %s (%s)", e.Code, e.Text)
}

// Revoked says that a refresh token is no longer good.
func Revoked(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "invalid_grant"
}

// AwayError is a provider that cannot be reached or has trouble: it may pass.
type AwayError struct {
	Host  string
	Err   error         // nil where it has answered
	Says  string        // what it has answered
	After time.Duration // when it wants to be asked again; 0: it does not say
}

func (e *AwayError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("ask %s for a token: %v", e.Host, e.Err)
	}
	return fmt.Sprintf("ask %s for a token: it says %s", e.Host, e.Says)
}

func (e *AwayError) Unwrap() error { return e.Err }

// Refresh gets another access token. The refresh token may end with that: the new
// one has to be kept.
func (c *Client) Refresh(ctx context.Context, endpoint string, refresh sasl.Secret) (Token, error) {
	return c.insist(ctx, endpoint, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}})
}

// Own gets an access token by the client's own rights (RFC 6749 4.4).
func (c *Client) Own(ctx context.Context, endpoint, scope string) (Token, error) {
	return c.insist(ctx, endpoint, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
}

const (
	tries     = 3
	firstWait = time.Second
	// longest is how long a provider may let us wait between tries: the run's own
	// back-off is for longer times.
	longest = 10 * time.Second
)

// insist tries again what may pass. A request that was sent is not given up when
// ctx ends: the answer may have the only refresh token that is still good.
func (c *Client) insist(ctx context.Context, endpoint string, form url.Values) (Token, error) {
	wait := firstWait
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return Token{}, err
		}
		t, err := c.token(context.WithoutCancel(ctx), endpoint, form)
		var away *AwayError
		if !errors.As(err, &away) || try == tries || away.After > longest {
			return t, err
		}
		select {
		case <-ctx.Done():
			return t, err
		case <-time.After(max(wait, away.After)):
		}
		wait *= 2
	}
}

// number is one that some providers write as a string.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	// What cannot be read, and what would overflow, counts as not said.
	if err == nil && f > 0 && f < 1e9 {
		*n = number(f)
	}
	return nil
}

// token asks a token endpoint once.
func (c *Client) token(ctx context.Context, endpoint string, form url.Values) (Token, error) {
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Type    string `json:"token_type"`
		Life    number `json:"expires_in"`
		Scope   string `json:"scope"`
	}
	if err := c.post(ctx, endpoint, form, &answer); err != nil {
		return Token{}, err
	}
	if answer.Access == "" || answer.Type != "" && !strings.EqualFold(answer.Type, "bearer") {
		return Token{}, &AwayError{Host: host(endpoint), Says: "something that has no bearer token"}
	}
	t := Token{Access: sasl.NewSecret(answer.Access), Life: time.Duration(answer.Life) * time.Second, Scope: answer.Scope}
	if t.Life == 0 {
		t.Life = unknownLife
	}
	if answer.Refresh != "" {
		s := sasl.NewSecret(answer.Refresh)
		t.Refresh = &s
	}
	return t, nil
}

// post sends a form and reads the answer. The secret of the client goes in the
// form, where Google, Microsoft and Yahoo take it; a provider that does not know the
// client then is asked once more with it in the header (RFC 6749 2.3.1). The error is
// an *Error, an *AwayError or that of ctx, and shows no secret, even if the provider
// does.
func (c *Client) post(ctx context.Context, endpoint string, form url.Values, answer any) error {
	secret := c.Secret.Reveal()
	inForm := url.Values{"client_id": {c.ID}}
	if secret != "" {
		inForm.Set("client_secret", secret)
	}
	maps.Copy(inForm, form)
	first := c.send(ctx, endpoint, inForm, "", answer)
	if secret == "" || !unknownClient(first) {
		return first
	}
	both := url.QueryEscape(c.ID) + ":" + url.QueryEscape(secret)
	err := c.send(ctx, endpoint, form, base64.StdEncoding.EncodeToString([]byte(both)), answer)
	if unknownClient(err) {
		return first
	}
	return err
}

func unknownClient(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Code == "invalid_client"
}

// send sends a form, with what is the client's own in the header unless it is "".
func (c *Client) send(ctx context.Context, endpoint string, form url.Values, basic string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("ask for a token: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic != "" {
		request.Header.Set("Authorization", "Basic "+basic)
	}
	return c.do(request, answer, func(text string) string {
		text = c.Secret.Hide(sasl.NewSecret(basic).Hide(text))
		for _, name := range []string{"refresh_token", "device_code", "code", "code_verifier"} {
			text = sasl.NewSecret(form.Get(name)).Hide(text)
		}
		return dial.Clean(text)
	})
}

const maxAnswer = 1 << 20

// deadline is that of one question and its answer.
const deadline = 30 * time.Second

// do sends a request and reads JSON. clean makes the provider's words fit to be
// shown.
func (c *Client) do(request *http.Request, answer any, clean func(string) string) error {
	at := request.URL.Host
	ctx, cancel := context.WithTimeout(request.Context(), deadline)
	defer cancel()
	request.Header.Set("Accept", "application/json")
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	// A secret goes where it belongs, and to no other place.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return &AwayError{Host: at, Err: reason(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &AwayError{Host: at, Err: err}
	}
	var refusal struct {
		Code string `json:"error"`
		Text string `json:"error_description"`
	}
	readable := json.Unmarshal(body, &refusal) == nil
	switch {
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests || refusal.Code == "temporarily_unavailable":
		after, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return &AwayError{Host: at, Says: response.Status, After: time.Duration(min(max(after, 0), 1e6)) * time.Second}
	case readable && refusal.Code != "":
		return &Error{clean(refusal.Code), clean(refusal.Text)}
	case response.StatusCode != http.StatusOK:
		return &AwayError{Host: at, Says: response.Status}
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return &AwayError{Host: at, Says: "something that is not the JSON of a token"}
	}
	return nil
}

// reason is an error of package http without the URL, which AwayError has.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func host(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "the provider"
	}
	return u.Host
}
