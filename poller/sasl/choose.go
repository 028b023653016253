package sasl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Offer is what a server takes, and on which connection.
type Offer struct {
	Mechanisms []string // in capitals
	// Command says that the protocol's own command for user and password is open
	// too: LOGIN, USER and PASS. Its exchange has Mechanism "" .
	Command bool
	// Private says that nobody on the way can listen.
	Private bool
	Host    string
	Port    int
}

// ErrDenied is what all errors are that say: trying again is of no use until somebody
// gives another secret, or other rights.
var ErrDenied = errors.New("not let in")

// DeniedError says that the server knows whom we claim to be, and does not believe
// it.
type DeniedError struct {
	User, Mechanism string // Mechanism is "" for the protocol's own command
	Text            string // the server's
}

func (e *DeniedError) Error() string {
	how, remedy := e.Mechanism, "check user and password; some providers want a password made for this program alone"
	switch e.Mechanism {
	case "XOAUTH2", "OAUTHBEARER":
		remedy = "the token has expired, was revoked or is for something else: authorise again"
	case "EXTERNAL":
		remedy = "check user and client certificate"
	case APOP:
		remedy = "check user and password; a server that keeps only a hash of it needs TLS (+ssl or +tls)"
	case "":
		how = "user and password"
	}
	return fmt.Sprintf("log in as %q by %s: denied (%s): %s", e.User, how, e.Text, remedy)
}

// Is says that it is ErrDenied.
func (e *DeniedError) Is(target error) bool { return target == ErrDenied }

// NoWayError says that the server offers no way to log in that we can go.
type NoWayError struct {
	User    string
	Offered []string
	Reason  string
}

func (e *NoWayError) Error() string {
	offered := "nothing"
	if len(e.Offered) > 0 {
		offered = strings.Join(e.Offered, ", ")
	}
	return fmt.Sprintf("log in as %q: %s; the server offers %s", e.User, e.Reason, offered)
}

// Is says that it is ErrDenied.
func (e *NoWayError) Is(target error) bool { return target == ErrDenied }

// Attempt is a way to log in; Start gets the secret.
type Attempt struct {
	Mechanism string // "" is the protocol's own command
	Token     bool   // an OAuth2 token, which may have expired
	Warning   string
	secret    func(context.Context) (Secret, error)
	peer      peer
}

// Start begins the attempt. For the protocol's own command only Secret is of use.
func (a *Attempt) Start(ctx context.Context) (*Exchange, error) {
	p := a.peer
	if a.secret != nil {
		var err error
		if p.secret, err = a.secret(ctx); err != nil {
			return nil, fmt.Errorf("get the secret of %q: %w", p.user, err)
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if a.Mechanism == "" {
		return &Exchange{Secret: p.secret}, nil
	}
	return newExchange(a.Mechanism, p), nil
}

// Attempts are the ways to log in, best first: a token before the password, which
// is for when the server denies the token. Of the ways for one secret there is
// only the best: who is denied there is denied by the others, and counted as
// guessing.
func (c *Credentials) Attempts(o Offer) ([]Attempt, error) {
	token := []string{"OAUTHBEARER", "XOAUTH2"}
	password := []string{"PLAIN", "LOGIN", "", "CRAM-MD5", APOP}
	if !o.Private {
		password = []string{"CRAM-MD5", APOP, "PLAIN", "LOGIN", ""}
	}
	var all []Attempt
	add := func(ways []string, secret func(context.Context) (Secret, error)) {
		if secret == nil {
			return
		}
		for _, way := range ways {
			if c.Mechanism != "" && way != c.Mechanism || !o.has(way) {
				continue
			}
			all = append(all, Attempt{way, isToken(way), warning(way, o), secret, peer{user: c.User, host: o.Host, port: o.Port}})
			return
		}
	}
	switch {
	case c.Mechanism == "EXTERNAL" && o.has("EXTERNAL"):
		return []Attempt{{Mechanism: "EXTERNAL", peer: peer{user: c.User}}}, nil
	case c.Mechanism != "" && c.Mechanism != "EXTERNAL" && mechanisms[c.Mechanism] == nil:
		return nil, &NoWayError{c.User, o.Mechanisms, fmt.Sprintf("there is no mechanism %q here", c.Mechanism)}
	}
	add(token, c.Token)
	add(password, c.Password)
	if len(all) > 0 {
		return all, nil
	}
	reason := "no way fits"
	switch {
	case c.Mechanism != "":
		reason = c.Mechanism + " does not do: take it out to have one chosen"
	case c.Password == nil && c.Token == nil:
		reason = "there is neither a password nor a token"
	case c.Password == nil:
		reason = "there is only an OAuth2 token, and the server takes none"
	case !o.Private:
		reason = "the server wants no password in clear: use TLS (+ssl or +tls)"
	}
	return nil, &NoWayError{c.User, o.Mechanisms, reason}
}

func (o Offer) has(way string) bool {
	if way == "" {
		return o.Command
	}
	return slices.Contains(o.Mechanisms, way)
}

func isToken(way string) bool { return way == "OAUTHBEARER" || way == "XOAUTH2" }

func warning(way string, o Offer) string {
	secret := "password"
	if isToken(way) {
		secret = "token"
	}
	switch {
	case (way == "CRAM-MD5" || way == APOP) && !o.Private:
		return "logging in by " + way + " over a connection in clear: whoever listens can guess the password: use TLS (+ssl or +tls)"
	case way == "CRAM-MD5" || way == APOP:
		return "logging in by " + way + ", for the server offers nothing better: whoever sees it can guess the password; ask the provider for TLS and PLAIN"
	case !o.Private:
		return "the " + secret + " goes over the network in clear: use TLS (+ssl or +tls)"
	}
	return ""
}
