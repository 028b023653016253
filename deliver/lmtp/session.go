package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Conn is a connection to a client. Where it has deadlines, as a net.Conn, a
// client that says nothing is not waited for in vain.
type Conn interface {
	io.Reader
	io.Writer
	io.Closer
}

type deadliner interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// timely writes to a client that has so long to take each piece.
type timely struct {
	conn    Conn
	timeout time.Duration
}

func (w timely) Write(p []byte) (int, error) {
	if d, ok := w.conn.(deadliner); ok && w.timeout > 0 {
		d.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	return w.conn.Write(p)
}

const (
	// maxCommand is for a command with its line end, in bytes: RFC 5321 4.5.3.1.4 asks
	// for 512 and what extensions add. Postfix takes lines of 2048, and writes an address
	// again as ORCPT, three times as long at the most.
	maxCommand = 16 << 10
	maxErrors  = 50 // commands that cannot be understood, before we hang up
)

// session is one client. It reads commands and answers them in order; replies are
// sent when there is nothing more to read at once (RFC 2920 3.2).
type session struct {
	server *Server
	conn   Conn
	in     *bufio.Reader
	out    *bufio.Writer

	greeted bool // LHLO was said
	client  Client
	mail    *transaction // nil outside of one
	errors  int

	mails int // that were replied to

	mu       sync.Mutex
	waiting  bool          // for a command: Shutdown may interrupt
	patience time.Duration // how long Shutdown waits for that command
	timeout  time.Duration // from the next read of the connection on; 0: as it is
	stopped  bool
}

func newSession(s *Server, conn Conn) *session {
	c := &session{server: s, conn: conn, out: bufio.NewWriter(timely{conn, s.CommandTimeout})}
	c.in = bufio.NewReaderSize(wire{c}, 64<<10)
	return c
}

// wire is the connection of a session. What is awaited may take its time from when the
// client has to be waited for: most lines have come with others.
type wire struct{ c *session }

func (w wire) Read(p []byte) (int, error) {
	w.c.mu.Lock()
	if d, ok := w.c.conn.(deadliner); ok && w.c.timeout > 0 {
		d.SetReadDeadline(time.Now().Add(w.c.timeout))
		w.c.timeout = 0
	}
	w.c.mu.Unlock()
	return w.c.conn.Read(p)
}

// lastWord is how long Shutdown waits for the next command of a client that has a mail
// to send: of one that has just come, or is amid a transaction. Sent away, the mail
// server would put the mail off for minutes.
const lastWord = 2 * time.Second

// interrupt makes a client that has no mail to send go now, and others after theirs.
func (c *session) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if d, ok := c.conn.(deadliner); ok && c.waiting {
		d.SetReadDeadline(time.Now().Add(c.patience))
		c.timeout = 0
	}
}

// await sets how long what is read next may take. It says whether there is to be none,
// since the session was stopped, which only matters where a command is awaited.
func (c *session) await(timeout time.Duration, command bool) (stopped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.patience = command, 0
	if c.mail != nil || c.mails == 0 {
		c.patience = lastWord
	}
	if command && c.stopped {
		if timeout = c.patience; timeout == 0 {
			return true
		}
	}
	c.timeout = timeout
	return false
}

func (c *session) isStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

func (c *session) run() {
	defer func() {
		if p := recover(); p != nil {
			c.reply(Reply{421, "4.3.0", fmt.Sprintf("internal error: %v", p)})
			c.flush()
		}
		c.reset()
	}()
	if !c.greet() {
		return
	}
	for {
		line, err := c.command()
		switch {
		case err == errLong:
			c.refuse(Reply{500, "5.5.2", "command too long"})
		case err != nil:
			c.giveUp()
			return
		default:
			if quit := c.execute(line); quit {
				c.flush()
				return
			}
		}
		if c.errors > maxErrors {
			c.reply(Reply{421, "4.7.0", "too many errors"})
			c.flush()
			return
		}
		if c.in.Buffered() == 0 && c.flush() != nil {
			return
		}
	}
}

// greet says who we are, or that there is no taking mail now.
func (c *session) greet() bool {
	s := c.server
	if s.Ready != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.DeliverTimeout)
		defer cancel()
		if err := s.Ready(ctx); err != nil {
			c.reply(Reply{421, "4.3.0", err.Error()})
			c.flush()
			return false
		}
	}
	c.reply(Reply{220, "", s.Hostname + " LMTP mailrow"})
	return c.flush() == nil
}

// giveUp ends a session whose client is gone, or slow, or has to go.
func (c *session) giveUp() {
	if c.isStopped() {
		c.reply(shuttingDown)
	} else {
		c.reply(Reply{421, "4.4.2", "no command came"})
	}
	c.flush()
}

var errLong = fmt.Errorf("command of more than %d bytes", maxCommand)

// command reads one line without its end. A line that is too long is read to its
// end, and is errLong.
func (c *session) command() (string, error) {
	if c.await(c.server.CommandTimeout, true) {
		return "", io.EOF
	}
	line, err := c.in.ReadSlice('\n')
	long := len(line) > maxCommand
	for err == bufio.ErrBufferFull {
		long = true
		_, err = c.in.ReadSlice('\n')
	}
	if err != nil {
		return "", err
	}
	c.await(c.server.DataTimeout, false)
	if long {
		return "", errLong
	}
	return string(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})), nil
}

// reply queues one reply, and counts it if it says no.
func (c *session) reply(r Reply) {
	if r.Code >= 400 {
		c.server.refused(r)
	}
	c.queue(r)
}

func (c *session) queue(r Reply) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, r.Text)
	if r.Enhanced != "" {
		text = r.Enhanced + " " + text
	}
	const maxReply = 500 // RFC 5321 4.5.3.1.5: 512 with code and line end
	if len(text) > maxReply {
		text = strings.ToValidUTF8(text[:maxReply], "")
	}
	fmt.Fprintf(c.out, "%d %s\r\n", r.Code, text) // an error stays in the buffer until flush
}

// refuse replies to what is no command, or one out of order.
func (c *session) refuse(r Reply) {
	c.errors++
	c.reply(r)
}

func (c *session) flush() error { return c.out.Flush() }

// reset forgets the transaction.
func (c *session) reset() {
	if c.mail != nil {
		c.mail.release()
		c.mail = nil
	}
}
