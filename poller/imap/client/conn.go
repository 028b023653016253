// Package client speaks IMAP (RFC 3501, RFC 9051) to servers as they are.
//
// It holds no goroutine: one command after another is sent, several at a time
// where that is faster, and their answers are read when somebody wants them. What
// it does not understand it leaves out; what it must not misunderstand, such as the
// length of a mail, it checks. go-imap's client ends the connection at any
// response it does not know, waits for ever for a server that is silent, and
// gives the end of a lost connection for the end of a mail.
package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailrow/poller/dial"
)

// Conn is a connection to an IMAP server. One goroutine uses it.
type Conn struct {
	// Unasked gets what no command has asked for. It must not use the connection.
	Unasked func(*Response)
	// Spill may read a mail that comes while another command is waited for; else it
	// is skipped.
	Spill func(*Fetch) error
	// CondStore asks for Mailbox.ModSeq (RFC 7162), which servers count only from
	// the first time that somebody wants it.
	CondStore bool

	raw     *dial.Conn
	server  *dial.Server
	caps    map[string]bool
	enabled map[string]bool
	preauth bool
	tags    int
	pending []*Command // sent and not completed, oldest first
	fetch   *Fetch     // its body has not been read to its end
	ignored int        // lines in a row that say nothing
	line    []byte
	err     error // why there is no connection any more
	hide    func(string) string
	hear    func([]byte) // of Raw
}

// ByeError says that the server has ended the session, in its own words.
type ByeError struct{ Text string }

func (e *ByeError) Error() string { return fmt.Sprintf("the server ends the session (%s)", e.Text) }

// Dial connects, and starts TLS where that is a command. It does not log in.
func Dial(ctx context.Context, s *dial.Server) (*Conn, error) {
	raw, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &Conn{raw: raw, server: s, enabled: map[string]bool{}}
	defer c.guard(ctx)()
	if err := c.greet(ctx); err != nil {
		_ = raw.Close() // the first error says why
		return nil, c.told(ctx, err)
	}
	return c, nil
}

func (c *Conn) greet(ctx context.Context) error {
	r, err := c.next()
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	switch r.Name {
	case "OK":
	case "PREAUTH":
		c.preauth = true
	default:
		return fmt.Errorf("greeting of %s: %q is not IMAP: check the port", c.server, dial.Clean(r.Text))
	}
	if c.server.Security != dial.StartTLS || len(c.server.Command) > 0 {
		return c.needCaps()
	}
	return c.startTLS(ctx)
}

// ErrNoTLS says that a server does not start TLS, or that somebody between keeps
// it from saying so.
var ErrNoTLS = errors.New("the server does not start TLS on this port, and nothing was sent to it in clear: use TLS from the first byte (+ssl), and ask the provider")

func (c *Conn) startTLS(ctx context.Context) error {
	// RFC 9051 7.1.4: after PREAUTH there is no way to TLS.
	if c.preauth {
		return fmt.Errorf("start TLS with %s: it takes us for logged in, in clear: %w", c.server, ErrNoTLS)
	}
	if err := c.needCaps(); err != nil {
		return err
	}
	if !c.Has("STARTTLS") {
		return fmt.Errorf("start TLS with %s: %w", c.server, ErrNoTLS)
	}
	cmd := NewCommand("STARTTLS")
	if err := c.do(cmd); err != nil {
		return fmt.Errorf("start TLS with %s: %w", c.server, errors.Join(err, ErrNoTLS))
	}
	if err := c.raw.StartTLS(ctx); err != nil {
		return err
	}
	c.caps = nil // who was on the way could have changed them
	return c.needCaps()
}

// needCaps asks what the server can do, unless it has said so.
func (c *Conn) needCaps() error {
	if c.caps != nil {
		return nil
	}
	return c.do(NewCommand("CAPABILITY"))
}

// Has says whether the server can do something: "UIDPLUS", "AUTH=PLAIN".
func (c *Conn) Has(capability string) bool { return c.caps[capability] }

// Capabilities are all that it can do.
func (c *Conn) Capabilities() []string { return slices.Sorted(maps.Keys(c.caps)) }

// Err is why the connection is of no use any more; nil while it is.
func (c *Conn) Err() error { return c.err }

// Do sends a command and waits for its end. An answer of NO or BAD is a
// *RefusedError.
func (c *Conn) Do(ctx context.Context, cmd *Command) error {
	defer c.guard(ctx)()
	return c.told(ctx, c.do(cmd))
}

func (c *Conn) do(cmd *Command) error {
	if err := c.send(cmd); err != nil {
		return err
	}
	return c.wait(cmd)
}

// Send sends a command without waiting for the answer. A server may answer while
// it reads, so what is on the way stays small: a few commands.
func (c *Conn) Send(ctx context.Context, cmd *Command) error {
	defer c.guard(ctx)()
	return c.told(ctx, c.send(cmd))
}

// Wait reads responses until a command ends.
func (c *Conn) Wait(ctx context.Context, cmd *Command) error {
	defer c.guard(ctx)()
	return c.told(ctx, c.wait(cmd))
}

func (c *Conn) wait(cmd *Command) error {
	for cmd.Result == nil {
		r, err := c.next()
		if err != nil {
			return err
		}
		if r.Fetch != nil && r.Fetch.Body != nil && c.Spill != nil {
			if err := c.Spill(r.Fetch); err != nil {
				return err
			}
		}
	}
	return cmd.err()
}

// Next reads one response. What belongs to a command it has got already. The body
// of a FETCH is read under the same ctx.
func (c *Conn) Next(ctx context.Context) (*Response, error) {
	defer c.guard(ctx)()
	r, err := c.next()
	if err == nil && r.Fetch != nil && r.Fetch.Body != nil {
		r.Fetch.Body.ctx = ctx
	}
	return r, c.told(ctx, err)
}

// guard ends the connection when ctx ends: what was asked will be answered some
// time, and nobody would wait for it.
func (c *Conn) guard(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	return func() { stop() }
}

// told: the end of ctx is the reason for the error that it has caused.
func (c *Conn) told(ctx context.Context, err error) error {
	if err != nil && c.err != nil && ctx.Err() != nil {
		c.err = fmt.Errorf("connection to %s given up: %w", c.server, context.Cause(ctx))
		return c.err
	}
	return err
}

// fail ends the connection.
func (c *Conn) fail(err error) error {
	if c.err == nil {
		c.err = err
		_ = c.raw.Close() // err says more
	}
	return c.err
}

// Close ends the session, saying so where that takes no time.
func (c *Conn) Close() error {
	if c.err == nil && len(c.pending) == 0 && c.fetch == nil {
		_, _ = c.raw.Write([]byte("bye LOGOUT\r\n"))
	}
	err := c.raw.Close()
	_ = c.fail(fmt.Errorf("connection to %s: it was closed here", c.server))
	return err
}

// What IMAP4rev2 has within (RFC 9051 appendix E), as far as it is of use here.
var rev2 = []string{"UIDPLUS", "MOVE", "ESEARCH", "IDLE", "ENABLE", "NAMESPACE", "SASL-IR", "LITERAL-"}

// setCaps keeps what the server says of its abilities. IMAP4rev2 beside IMAP4rev1
// would have to be enabled, and is not.
func (c *Conn) setCaps(list string) {
	c.caps = map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		c.caps[strings.ToUpper(name)] = true
	}
	if c.caps["IMAP4REV2"] && !c.caps["IMAP4REV1"] {
		for _, name := range rev2 {
			c.caps[name] = true
		}
	}
}

// utf8 says whether names and quoted strings are UTF-8.
func (c *Conn) utf8() bool {
	return c.enabled["UTF8=ACCEPT"] || c.caps["IMAP4REV2"] && !c.caps["IMAP4REV1"]
}
