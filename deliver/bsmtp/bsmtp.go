// Package bsmtp reads mails from a batch of SMTP commands (RFC 2442), as Exim's
// use_bsmtp writes it.
package bsmtp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"mailrow/message"
)

// Mail is one transaction of a batch. Raw is valid until the next one is read.
type Mail struct {
	Sender     string // reverse-path, "" for the null one
	Recipients []string
	Helo       string // argument of the last HELO, EHLO or LHLO
	Raw        []byte // exact bytes between DATA and the final dot, dot-stuffing undone
	TooLarge   bool   // Raw would be larger than allowed, and is nil
}

// SyntaxError is a line that is no command, or one out of order.
type SyntaxError struct {
	Line int // counted from 1
	Text string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %q", e.Line, e.Text) }

// Reader reads a batch with line ends of LF or CRLF.
type Reader struct {
	lines *bufio.Reader
	count int
	helo  string
	raw   []byte // in the room for a mail, which is its capacity
}

// NewReader reads from r, each mail into room; one that does not fit is passed over.
func NewReader(r io.Reader, room []byte) *Reader {
	return &Reader{lines: bufio.NewReaderSize(r, 64<<10), raw: room[:0:len(room)]}
}

// Next gives the next mail, io.EOF after the last one. It is
// io.ErrUnexpectedEOF when the batch ends before a final dot, and a
// *SyntaxError when it is no batch.
func (r *Reader) Next() (*Mail, error) {
	var m *Mail
	for {
		line, err := r.command()
		if err == io.EOF && m == nil {
			return nil, io.EOF
		}
		if err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		verb, argument, _ := strings.Cut(line, " ")
		switch verb = strings.ToUpper(verb); {
		case line == "", verb == "NOOP", verb == "QUIT":
		case verb == "RSET":
			m = nil
		case verb == "HELO", verb == "EHLO", verb == "LHLO":
			r.helo = strings.TrimSpace(argument)
		case verb == "MAIL" && m == nil:
			path, ok := pathOf(argument, "FROM:")
			if !ok {
				return nil, &SyntaxError{r.count, line}
			}
			m = &Mail{Sender: message.ReversePath(path), Helo: r.helo}
		case verb == "RCPT" && m != nil:
			path, ok := pathOf(argument, "TO:")
			if !ok || path == "" {
				return nil, &SyntaxError{r.count, line}
			}
			m.Recipients = append(m.Recipients, message.ForwardPath(path))
		case verb == "DATA" && m != nil && len(m.Recipients) > 0:
			return m, r.data(m)
		default:
			return nil, &SyntaxError{r.count, line}
		}
	}
}

// command reads one line without its end.
func (r *Reader) command() (string, error) {
	line, err := r.lines.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 {
		return "", io.EOF
	}
	r.count++
	if err == bufio.ErrBufferFull {
		return "", &SyntaxError{r.count, string(line[:60]) + "..."}
	}
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read batch: %w", err)
	}
	return string(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})), nil
}

// pathOf takes the path out of "FROM:<path> PARAMETERS"; quoted strings in it
// may hold blanks and angle brackets.
func pathOf(argument, keyword string) (string, bool) {
	argument = strings.TrimSpace(argument)
	if len(argument) < len(keyword) || !strings.EqualFold(argument[:len(keyword)], keyword) {
		return "", false
	}
	path := strings.TrimSpace(argument[len(keyword):])
	if !strings.HasPrefix(path, "<") {
		return "", false
	}
	quoted := false
	for i := 1; i < len(path); i++ {
		switch {
		case path[i] == '\\':
			i++
		case path[i] == '"':
			quoted = !quoted
		case path[i] == '>' && !quoted:
			return path[1:i], true
		}
	}
	return "", false
}

// data reads up to the line that is a single dot, in pieces: a line may be longer
// than any buffer. A dot without its line end is none: it may be the first of two
// that a writer had no time for.
func (r *Reader) data(m *Mail) error {
	r.raw = r.raw[:0]
	atStart := true
	for {
		piece, err := r.lines.ReadSlice('\n')
		switch {
		case err == nil:
			r.count++
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return fmt.Errorf("read batch: %w", err)
		}
		if atStart && (string(piece) == ".\n" || string(piece) == ".\r\n") {
			if !m.TooLarge {
				m.Raw = r.raw
			}
			return nil
		}
		if atStart {
			piece = bytes.TrimPrefix(piece, []byte{'.'})
		}
		if len(r.raw)+len(piece) > cap(r.raw) {
			m.TooLarge = true
		}
		if !m.TooLarge {
			r.raw = append(r.raw, piece...)
		}
		atStart = err == nil
	}
}
