package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Mail is a mail as it comes (RETR). It is lost when something else is asked of the
// connection before it has ended.
type Mail struct {
	c   *Conn
	ctx context.Context // of Retrieve; nil while it is only skipped
	// bare: the server ends its own lines with LF alone, so it does those of mails.
	bare bool
	// start: what comes next begins a line, and half: the last byte was a CR.
	start, half bool
	size        int64
	err         error
}

// Retrieve asks for a mail by its number. next are those that are likely to be
// wanted after it: where the server can (RFC 2449 6.6) they are asked for ahead.
func (c *Conn) Retrieve(ctx context.Context, number uint32, next []uint32) (*Mail, error) {
	defer c.guard(ctx)()
	m, err := c.retrieve(number, next)
	if err != nil {
		return nil, c.told(ctx, err)
	}
	m.ctx = ctx
	return m, nil
}

func (c *Conn) retrieve(number uint32, next []uint32) (*Mail, error) {
	if err := c.skip(); err != nil {
		return nil, err
	}
	for len(c.flying) > 0 && c.flying[0] != number {
		if err := c.land(); err != nil {
			return nil, err
		}
	}
	if err := c.ask(number, next); err != nil {
		return nil, err
	}
	return c.arrive()
}

// ask sends RETR for what is wanted and was not asked for.
func (c *Conn) ask(number uint32, next []uint32) error {
	wanted := []uint32{number}
	if c.Has("PIPELINING") {
		wanted = append(wanted, next...)
	}
	if len(c.flying) > len(wanted) || !slices.Equal(c.flying, wanted[:len(c.flying)]) {
		return nil // another order than before: as soon as those have landed
	}
	if len(c.flying) > len(wanted)/2 {
		return nil // many at a time, not one for each that lands
	}
	var commands []string
	for _, n := range wanted[len(c.flying):] {
		commands = append(commands, "RETR "+strconv.FormatUint(uint64(n), 10))
	}
	if err := c.send(commands...); err != nil {
		return err
	}
	c.flying = wanted
	return nil
}

// arrive reads the first answer of those in flight.
func (c *Conn) arrive() (*Mail, error) {
	line, bare, err := c.readLine()
	if err != nil {
		return nil, err
	}
	c.flying = c.flying[1:]
	if _, err := c.status("RETR", line); err != nil {
		return nil, err
	}
	c.open = &Mail{c: c, bare: bare, start: true}
	return c.open, nil
}

// land takes the first mail in flight for nobody.
func (c *Conn) land() error {
	_, err := c.arrive()
	var refused *RefusedError
	if errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.skip()
}

// skip reads the mail that is coming for nobody.
func (c *Conn) skip() error {
	if c.open == nil {
		return nil
	}
	m := *c.open
	c.open, m.ctx = &m, nil // whoever has the other one has lost it
	_, err := io.Copy(io.Discard, &m)
	return err
}

// settle skips all that was asked for.
func (c *Conn) settle() error {
	if err := c.skip(); err != nil {
		return err
	}
	for len(c.flying) > 0 {
		if err := c.land(); err != nil {
			return err
		}
	}
	return nil
}

var errSkipped = errors.New("the mail was not read while it came")

// Read gives the mail without what the protocol adds. It ends with io.EOF when the
// line that ends it has come.
func (m *Mail) Read(p []byte) (int, error) {
	if m.err == nil && m.c.open != m {
		m.err = errSkipped
		if m.c.err != nil {
			m.err = m.c.err
		}
	}
	if m.err != nil || len(p) == 0 {
		return 0, m.err
	}
	if m.ctx != nil {
		defer m.c.guard(m.ctx)()
	}
	n, err := m.fill(p)
	if err == nil || err == io.EOF {
		m.err = err
		return n, err
	}
	m.err = m.c.fail(fmt.Errorf("after %d bytes of a mail: %w", m.size, err))
	if m.ctx != nil {
		m.err = m.c.told(m.ctx, m.err)
	}
	return n, m.err
}

// fill waits for something, and gives what there is.
func (m *Mail) fill(p []byte) (n int, err error) {
	// What a dot means is in three bytes.
	for n == 0 || n < len(p) && m.c.raw.Buffered() >= 3 {
		some, err := m.line(p[n:])
		n += some
		m.size += int64(some)
		if err == io.EOF {
			m.c.open = nil
			m.c.raw.Trace("S", fmt.Sprintf("(%d bytes)", m.size))
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// line gives a part of the mail without dots that are not its own.
func (m *Mail) line(p []byte) (int, error) {
	raw := m.c.raw
	if m.start {
		ended, err := m.dot()
		if err != nil {
			return 0, err
		}
		if ended {
			return 0, io.EOF
		}
		m.start = false
	}
	if _, err := raw.Peek(1); err != nil {
		return 0, err
	}
	text, err := raw.Peek(min(raw.Buffered(), len(p)))
	if err != nil {
		return 0, err
	}
	n := copy(p, m.upToDot(text))
	_, err = raw.Discard(n)
	return n, err
}

// dot looks at the first byte of a line. A line that begins with two dots had one
// (RFC 1939 3). One that begins with one is from a server that does not know this,
// and stays as it is.
func (m *Mail) dot() (ended bool, err error) {
	raw := m.c.raw
	first, err := raw.Peek(1)
	if err != nil || first[0] != '.' {
		return false, err
	}
	two, err := raw.Peek(2)
	if err != nil {
		return false, err
	}
	switch {
	case two[1] == '.':
		_, err = raw.Discard(1)
		return false, err
	case two[1] == '\n' && m.bare:
		_, err = raw.Discard(2)
		return true, err
	case two[1] != '\r':
		return false, nil
	}
	three, err := raw.Peek(3)
	if err != nil || three[2] != '\n' {
		return false, err
	}
	_, err = raw.Discard(3)
	return true, err
}

var lineDot = []byte("\r\n.")

// upToDot is as much of a text as can be taken without looking for a dot. Only
// CRLF ends a line: LF alone is a byte like any other.
func (m *Mail) upToDot(text []byte) []byte {
	search := lineDot
	if m.bare {
		search = lineDot[1:]
	}
	if m.half && text[0] == '\n' {
		m.half, m.start = false, true
		return text[:1]
	}
	end := search[:len(search)-1]
	if i := bytes.Index(text, search); i >= 0 {
		text = text[:i+len(end)]
	}
	m.start = bytes.HasSuffix(text, end)
	m.half = !m.bare && text[len(text)-1] == '\r'
	return text
}
