package client

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mailrow/poller/dial"
)

// Response is what the server says in one piece.
type Response struct {
	// Name is OK, NO, BAD, BYE, PREAUTH, FETCH, EXISTS, LIST, …; "+" asks for more,
	// and "" is what could not be understood.
	Name   string
	Number uint32 // before the name: * 23 EXISTS
	Args   []byte // after it, literals included

	// Of OK and its like: the code in brackets, its arguments, and the text.
	Code, CodeArgs, Text string

	Done  *Command // the command that this ends
	Fetch *Fetch   // of a FETCH
}

const (
	// A server without ESEARCH gives a million UIDs in one line.
	maxLine = 16 << 20
	// The most memory that is kept from one line to the next.
	maxKeptLine = 1 << 20
	// Literals that are no mail: names, flags.
	maxLiteral = 1 << 20
	// Lines in a row that say nothing to us.
	maxIgnored = 10_000
)

// next reads one response and gives it to whom it belongs. The body of a FETCH
// that nobody has read is skipped.
func (c *Conn) next() (*Response, error) {
	if c.err != nil {
		return nil, c.err
	}
	if c.fetch != nil {
		if err := c.fetch.Body.skip(); err != nil {
			return nil, err
		}
	}
	r, err := c.readResponse()
	if err != nil {
		return nil, c.fail(err)
	}
	if r.Name == "" {
		if c.ignored++; c.ignored > maxIgnored {
			return nil, c.fail(fmt.Errorf("read from %s: %d lines that are not IMAP", c.server, c.ignored))
		}
		return r, nil
	}
	c.ignored = 0
	return r, c.dispatch(r)
}

func (c *Conn) dispatch(r *Response) error {
	switch r.Name {
	case "CAPABILITY":
		c.setCaps(string(r.Args))
	case "ENABLED":
		for name := range strings.FieldsSeq(strings.ToUpper(string(r.Args))) {
			c.enabled[name] = true
		}
	case "BYE":
		return c.fail(fmt.Errorf("connection to %s: %w", c.server, &ByeError{dial.Clean(r.Text)}))
	}
	if r.Code == "CAPABILITY" {
		c.setCaps(r.CodeArgs)
	}
	if r.Done != nil || r.Name == "+" {
		return nil
	}
	for _, cmd := range c.pending {
		if cmd.Take != nil && cmd.Take(r) {
			return nil
		}
	}
	if c.Unasked != nil {
		c.Unasked(r)
	}
	return nil
}

func (c *Conn) readResponse() (*Response, error) {
	line, err := c.readLine(c.line[:0])
	if c.line = line; cap(line) > maxKeptLine {
		c.line = nil
	}
	if err != nil {
		return nil, err
	}
	text, untagged := bytes.CutPrefix(line, []byte("* "))
	switch {
	case untagged:
		return c.readUntagged(text)
	case bytes.HasPrefix(line, []byte("+")):
		return &Response{Name: "+", Text: string(bytes.TrimSpace(line[1:]))}, nil
	}
	tag, rest, _ := bytes.Cut(line, []byte(" "))
	for i, cmd := range c.pending {
		if cmd.tag == string(tag) {
			r, ok := status(rest)
			if !ok {
				return nil, fmt.Errorf("read from %s: the end of %s is no answer: %q", c.server, cmd.Name(), dial.Clean(string(rest)))
			}
			c.pending = append(c.pending[:i:i], c.pending[i+1:]...)
			cmd.Result, r.Done = r, cmd
			if c.hide != nil {
				r.Text = c.hide(r.Text)
			}
			return r, nil
		}
	}
	return &Response{Text: string(line)}, nil
}

func (c *Conn) readUntagged(text []byte) (*Response, error) {
	if r, ok := status(text); ok {
		if c.hide != nil {
			r.Text = c.hide(r.Text)
		}
		return r, nil
	}
	r := &Response{Text: string(text[:min(len(text), 100)])}
	word, rest, _ := bytes.Cut(text, []byte(" "))
	if n, err := strconv.ParseUint(string(word), 10, 32); err == nil {
		r.Number = uint32(n)
		word, rest, _ = bytes.Cut(rest, []byte(" "))
	}
	r.Name = strings.ToUpper(string(word))
	if r.Name == "FETCH" {
		return r, c.readFetch(r, rest)
	}
	args, err := c.readLiterals(bytes.Clone(rest))
	r.Args = args
	return r, err
}

// status reads OK, NO, BAD, BYE and PREAUTH. Their text is any text: what looks
// like a literal at its end is none.
func status(text []byte) (*Response, bool) {
	word, rest, _ := strings.Cut(string(text), " ")
	r := &Response{Name: strings.ToUpper(word), Text: rest}
	switch r.Name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
	default:
		return nil, false
	}
	if code, ok := strings.CutPrefix(rest, "["); ok {
		if end := codeEnd(code); end >= 0 {
			r.Code, r.CodeArgs, _ = strings.Cut(code[:end], " ")
			r.Code = strings.ToUpper(r.Code)
			r.Text = strings.TrimSpace(code[end+1:])
		}
	}
	return r, true
}

// codeEnd finds the bracket that ends a code: flags, in parentheses, may have
// brackets in their names.
func codeEnd(code string) int {
	depth := 0
	for i := range len(code) {
		switch code[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ']':
			if depth <= 0 {
				return i
			}
		}
	}
	return strings.IndexByte(code, ']')
}

// readLine appends a line without its end.
func (c *Conn) readLine(line []byte) ([]byte, error) {
	start := len(line)
	for {
		piece, err := c.raw.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case err == nil:
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			c.trace(line[start:])
			c.heard(line[start:])
			c.heard(crlf)
			return line, nil
		case len(piece) == 0 || len(line) > maxLine:
			if len(line) > maxLine {
				err = fmt.Errorf("read from %s: a line of more than %d bytes", c.server, maxLine)
			}
			return line, err
		}
	}
}

var crlf = []byte("\r\n")

func (c *Conn) heard(text []byte) {
	if c.hear != nil {
		c.hear(text)
	}
}

func (c *Conn) trace(line []byte) {
	if c.server.Trace == nil {
		return
	}
	text := dial.Clean(string(line))
	if c.hide != nil {
		text = c.hide(text)
	}
	c.raw.Trace("S", text)
}

// readLiterals reads on after a line that ends with the length of a literal.
func (c *Conn) readLiterals(text []byte) ([]byte, error) {
	for {
		n, ok := literalLength(text)
		if !ok {
			return text, nil
		}
		var err error
		if text, err = c.readLiteral(text, n); err != nil {
			return nil, err
		}
	}
}

// readLiteral appends a literal and the line after it.
func (c *Conn) readLiteral(text []byte, n int64) ([]byte, error) {
	if n > maxLiteral || len(text) > maxLine {
		return nil, fmt.Errorf("read from %s: %d bytes that are no mail", c.server, n)
	}
	text = append(text, "\r\n"...)
	start := len(text)
	text = append(text, make([]byte, n)...)
	if _, err := io.ReadFull(c.raw, text[start:]); err != nil {
		return nil, err
	}
	c.heard(text[start:])
	return c.readLine(text)
}

// literalLength is that of the literal that a line announces at its end: {12},
// {12+}, and with ~ before for binary ones.
func literalLength(line []byte) (int64, bool) {
	if !bytes.HasSuffix(line, []byte("}")) {
		return 0, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	digits := bytes.TrimSuffix(line[open+1:len(line)-1], []byte("+"))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, err == nil && n >= 0
}
