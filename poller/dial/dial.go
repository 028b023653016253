// Package dial connects to mail servers: over TCP, over TLS, or to a program's
// standard input and output.
//
// Its law: a connection never waits for ever, a server is who its certificate
// says unless the operator has said otherwise, and then he is reminded each time.
package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Security says when TLS begins.
type Security int

// The ways to secure a connection.
const (
	TLS      Security = iota // from the first byte
	StartTLS                 // after a command; without it there is no session
	Clear                    // never
)

// Server is a mail server, and how to reach it.
type Server struct {
	Host string
	Port int

	// Command is a program that speaks the protocol on its standard input and
	// output, such as ssh HOST imapd. Host is then only a name for errors.
	Command []string

	Security Security
	Verify   Verify
	Timeouts Timeouts

	// Warn is told what the operator should know of each connection.
	Warn func(text string)
	// Trace is told what is said, a line at a time: "C: a1 NOOP". Secrets and
	// mails are not in it.
	Trace func(line string)
}

// Timeouts end what takes too long. Zero is the default.
type Timeouts struct {
	Connect  time.Duration // name, TCP and TLS; 30 s
	Greeting time.Duration // the server's first line; 60 s
	// Read is how long the server may be silent when it has to answer, 5 min. Every
	// byte begins it anew, so a slow line is no dead one.
	Read  time.Duration
	Write time.Duration // 5 min
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Connect:  cmp.Or(t.Connect, 30*time.Second),
		Greeting: cmp.Or(t.Greeting, time.Minute),
		Read:     cmp.Or(t.Read, 5*time.Minute),
		Write:    cmp.Or(t.Write, 5*time.Minute),
	}
}

// String is what errors call the server.
func (s *Server) String() string {
	if len(s.Command) > 0 {
		return cmp.Or(s.Host, s.Command[0])
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

// Warnf tells the operator something about the server, if somebody listens.
func (s *Server) Warnf(format string, args ...any) {
	if s.Warn != nil {
		s.Warn(s.String() + ": " + fmt.Sprintf(format, args...))
	}
}

// Dial connects. The first Read waits for the greeting.
func (s *Server) Dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeouts.withDefaults().Connect)
	defer cancel()
	if len(s.Command) > 0 {
		return s.start()
	}
	if err := s.Verify.check(); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s, err)
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", s.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w%s", s, err, s.dialRemedy(err))
	}
	c := newConn(s, raw)
	if s.Security == TLS {
		if err := c.handshake(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (s *Server) dialRemedy(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return ": check the name of the server"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nothing listens there; check the port"
	case errors.Is(err, context.DeadlineExceeded):
		return ": check server, port and firewall"
	}
	return ""
}

// Clean makes a text of a server fit for one line of an error or a log.
func Clean(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
