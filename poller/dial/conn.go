package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// stream is a network connection or the pipes of a program.
type stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Conn is a connection to a mail server. Its reads are buffered and, like its
// writes, end by the timeouts of the server. One goroutine uses it; only Close
// may be called by others.
type Conn struct {
	*bufio.Reader

	server   *Server
	timeouts Timeouts
	tls      bool
	greeted  bool
	manual   bool // the read deadline is set by Await

	mu     sync.Mutex
	stream stream
	closed bool
}

// bufferSize holds a few mails of common size.
const bufferSize = 64 << 10

func newConn(s *Server, raw stream) *Conn {
	c := &Conn{server: s, timeouts: s.Timeouts.withDefaults(), stream: raw}
	c.Reader = bufio.NewReaderSize(reader{c}, bufferSize)
	return c
}

// reader arms the deadline before each read.
type reader struct{ c *Conn }

func (r reader) Read(p []byte) (int, error) {
	c := r.c
	if !c.manual {
		timeout := c.timeouts.Read
		if !c.greeted {
			timeout = c.timeouts.Greeting
		}
		if err := c.stream.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return 0, c.explain("read from", err)
		}
	}
	n, err := c.stream.Read(p)
	if n > 0 {
		c.greeted = true
		return n, nil // an error comes again
	}
	if c.manual && errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	return n, c.explain("read from", err)
}

// explain: io.EOF stays recognisable as io.ErrUnexpectedEOF, for a protocol ends
// by its own words.
func (c *Conn) explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		wait, of := c.timeouts.Read, "answer"
		if !c.greeted {
			wait, of = c.timeouts.Greeting, "greeting"
		}
		if what == "write to" {
			wait, of = c.timeouts.Write, "reading"
		}
		return fmt.Errorf("%s %s: no %s for %v: %w", what, c.server, of, wait, os.ErrDeadlineExceeded)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
		if c.tls {
			break
		}
		if p, ok := c.stream.(*program); ok {
			return fmt.Errorf("%s %s: it has ended%s: %w", what, c.server, p.said(), err)
		}
	}
	return fmt.Errorf("%s %s: the connection is lost: %w", what, c.server, err)
}

func (c *Conn) Write(p []byte) (int, error) {
	if err := c.stream.SetWriteDeadline(time.Now().Add(c.timeouts.Write)); err != nil {
		return 0, c.explain("write to", err)
	}
	n, err := c.stream.Write(p)
	return n, c.explain("write to", err)
}

// Encrypted says whether TLS has begun.
func (c *Conn) Encrypted() bool { return c.tls }

// Private says whether nobody on a network can listen: TLS, or no network.
func (c *Conn) Private() bool {
	_, local := c.stream.(*program)
	return c.tls || local
}

// Await waits until there is something to read, until timeout (false without an
// error) or until ctx ends (its error). The connection lives on in all three.
func (c *Conn) Await(ctx context.Context, timeout time.Duration) (bool, error) {
	if c.Buffered() > 0 {
		return true, nil
	}
	c.manual = true
	defer func() { c.manual = false }()
	if err := c.stream.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return false, c.explain("read from", err)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = c.stream.SetReadDeadline(time.Unix(1, 0)) // or the read ends by its timeout
	})
	_, err := c.Peek(1)
	if !stop() {
		<-woken // before anybody sets another deadline
	}
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return false, err
	}
	return false, ctx.Err()
}

// ErrInjected says that a server, or somebody between, has sent more than the
// answer to STARTTLS in clear, hoping that it is taken for something encrypted.
var ErrInjected = errors.New("bytes before TLS began: somebody may be tampering with the connection: use TLS from the first byte (+ssl)")

// StartTLS begins TLS on a connection in clear. What came in clear after the
// answer to the command is never read; the caller forgets what he was told before.
func (c *Conn) StartTLS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeouts.Connect)
	defer cancel()
	if n := c.Buffered(); n > 0 {
		return errors.Join(fmt.Errorf("start TLS with %s: %d %w", c.server, n, ErrInjected), c.Close())
	}
	return c.handshake(ctx)
}

// handshake closes the connection when it fails.
func (c *Conn) handshake(ctx context.Context) error {
	raw, ok := c.stream.(net.Conn)
	if !ok {
		return fmt.Errorf("start TLS with %s: it is a program on this machine", c.server)
	}
	conf, err := c.server.Verify.config(c.server)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	secure := tls.Client(raw, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close() // the handshake's error says more
		return fmt.Errorf("start TLS with %s: %w%s", c.server, err, c.server.tlsRemedy(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream, c.tls = secure, true
	if c.closed {
		return errors.Join(net.ErrClosed, raw.Close())
	}
	return nil
}

// Close ends the connection, and the program where it is one. Whatever waits on
// it fails.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if secure, ok := c.stream.(*tls.Conn); ok {
		// tls.Conn.Close waits up to 5 s to say goodbye to a peer that does not read.
		return secure.NetConn().Close()
	}
	return c.stream.Close()
}

// Trace tells what is said, where somebody wants to know.
func (c *Conn) Trace(from, line string) {
	if c.server.Trace != nil {
		c.server.Trace(from + ": " + line)
	}
}
