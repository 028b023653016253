package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Fetch is what a FETCH says of one mail.
type Fetch struct {
	Seq   uint32
	UID   uint32 // 0: it does not say
	Size  int64  // RFC822.SIZE; -1: it does not say
	Date  time.Time
	Flags []string // nil: it does not say
	Body  *Body    // nil: it does not say
	// Header is what was asked for by BODY.PEEK[HEADER.FIELDS (…)]<0.…>; nil: it does
	// not say.
	Header []byte

	conn *Conn
}

// Body is the mail itself, BODY[]. It has to be read before anything else is read
// from the connection, or is lost. What the response says after it, the UID maybe,
// is known when it has ended.
type Body struct {
	Length int64
	// Missing is a server that has no text for the mail, NIL.
	Missing bool

	fetch *Fetch
	ctx   context.Context // of Next; nil while a command is waited for
	left  int64
	short []byte // a quoted string in place of a literal
	ended bool
	err   error
}

// ErrLength says that after the announced bytes of a mail there is something that
// cannot be there: the length is wrong, and who knows where the mail ends.
var ErrLength = errors.New("the length of a mail is wrong: what follows it is no IMAP: look at the mail with another program")

// readFetch reads a FETCH up to the text of the mail, or its end.
func (c *Conn) readFetch(r *Response, text []byte) error {
	f := &Fetch{Seq: r.Number, Size: -1, conn: c}
	r.Fetch = f
	for {
		n, ok := literalLength(text)
		if !ok {
			f.parse(text)
			return nil
		}
		head := text[:bytes.LastIndexByte(text, '{')]
		if f.Body == nil && endsWithBody(bytes.TrimRight(head, "~")) {
			f.parse(bytes.TrimRight(head, "~"))
			f.Body = &Body{Length: n, left: n, fetch: f}
			c.fetch = f
			return nil
		}
		var err error
		if text, err = c.readLiteral(text, n); err != nil {
			return err
		}
	}
}

func endsWithBody(head []byte) bool {
	head = bytes.ToUpper(head[max(0, len(head)-16):])
	return bytes.HasSuffix(head, []byte("BODY[] ")) || bytes.HasSuffix(head, []byte("BODY[]<0> "))
}

// parse takes what it knows from a list of items, or a part of it.
func (f *Fetch) parse(text []byte) {
	s := scanner{bytes.TrimPrefix(bytes.TrimLeft(text, " "), []byte("("))}
	items := s.list(0)
	for i := 0; i+1 < len(items); i += 2 {
		f.item(strings.ToUpper(items[i].Text), items[i+1])
	}
}

func (f *Fetch) item(name string, value Token) {
	switch name {
	case "UID":
		if uid, ok := Uint32(value.Text); ok && f.UID == 0 {
			f.UID = uid
		}
	case "RFC822.SIZE":
		if n, err := strconv.ParseInt(value.Text, 10, 64); err == nil && n >= 0 {
			f.Size = n
		}
	case "INTERNALDATE":
		f.Date = parseDate(value.Text)
	case "FLAGS":
		f.Flags = []string{}
		for _, flag := range value.List {
			f.Flags = append(f.Flags, flag.Text)
		}
	case "BODY[]", "BODY[]<0>":
		if f.Body == nil {
			f.Body = &Body{fetch: f, Missing: value.Nil(), short: []byte(value.Text), Length: int64(len(value.Text)), ended: true}
		}
	default:
		if strings.HasPrefix(name, "BODY[HEADER") {
			f.Header = []byte(value.Text)
		}
	}
}

// parseDate gives the zero time for what is no date.
func parseDate(text string) time.Time {
	for _, layout := range []string{"_2-Jan-2006 15:04:05 -0700", "02-Jan-2006 15:04:05 -0700", "2-Jan-2006 15:04:05 MST"} {
		if t, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// Read reads the mail. It ends with io.EOF when the mail has come whole, and so
// has what follows it.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.fetch.conn.fetch != b.fetch || b.ended {
		return b.readShort(p)
	}
	if b.ctx != nil {
		defer b.fetch.conn.guard(b.ctx)()
	}
	if b.left == 0 {
		return 0, b.finish()
	}
	n, err := b.fetch.conn.raw.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.fetch.conn.heard(p[:n])
	if err != nil {
		b.err = b.fail(fmt.Errorf("%d of %d bytes of a mail: %w", b.Length-b.left, b.Length, err))
		return n, b.err
	}
	return n, nil
}

func (b *Body) readShort(p []byte) (int, error) {
	if !b.ended {
		b.err = errors.New("the mail was not read while it came")
		return 0, b.err
	}
	if len(b.short) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.short)
	b.short = b.short[n:]
	return n, nil
}

// finish reads the response to its end.
func (b *Body) finish() error {
	c := b.fetch.conn
	c.fetch = nil
	b.ended = true
	if c.server.Trace != nil {
		c.raw.Trace("S", fmt.Sprintf("(%d bytes)", b.Length))
	}
	text, err := c.readLine(nil)
	if err == nil {
		text, err = c.readLiterals(text)
	}
	if err == nil && !bytes.HasPrefix(text, []byte(")")) && !bytes.HasPrefix(text, []byte(" ")) {
		err = fmt.Errorf("read from %s: %w", c.server, ErrLength)
	}
	if err != nil {
		b.err = b.fail(err)
		return b.err
	}
	b.fetch.parse(text)
	b.err = io.EOF
	return io.EOF
}

func (b *Body) fail(err error) error {
	err = b.fetch.conn.fail(err)
	if b.ctx != nil {
		return b.fetch.conn.told(b.ctx, err)
	}
	return err
}

// skip reads the mail to its end for nobody.
func (b *Body) skip() error {
	if _, err := io.Copy(io.Discard, b); err != nil {
		return err
	}
	return nil
}
