// Package mmdf reads mailboxes in the form of MMDF and of SCO: one file of mails,
// each between two lines of four Control-A. A From_ line may stand on top of a
// mail and is not part of it. No line is quoted, and no byte changed.
package mmdf

import (
	"bytes"
	"io"
	"time"

	"mailrow/message"
	"mailrow/poller/mailfile"
)

// Options are what the file itself does not tell.
type Options = mailfile.Options

// Reader reads the mails of an MMDF file in one pass.
type Reader struct {
	win  *mailfile.Window
	scan mailfile.Scanner
	o    Options
}

var mark = []byte("\n\x01\x01\x01\x01")

// NewReader reads an MMDF file from where r stands.
func NewReader(r io.Reader, o Options) *Reader {
	if o.Location == nil {
		o.Location = time.UTC
	}
	m := &Reader{win: mailfile.NewWindow(r), o: o}
	m.scan = mailfile.Scanner{Win: m.win, Mark: mark, Ends: m.ends, Tail: m.tail}
	return m
}

// Sniff tells from the begin of a file whether it is MMDF.
func Sniff(first []byte) bool { return lineLength(first) > 0 }

// lineLength is the length of the line of Control-As that b begins with, or 0.
func lineLength(b []byte) int {
	rest, found := bytes.CutPrefix(b, mark[1:])
	switch {
	case !found:
		return 0
	case len(rest) == 0:
		return 4
	case rest[0] == '\n':
		return 5
	case bytes.HasPrefix(rest, []byte("\r\n")):
		return 6
	}
	return 0
}

func (r *Reader) ends(at int) bool { return lineLength(r.win.Ahead(at + 6)[at:]) > 0 }

// tail: where there is only one line between two mails, it belongs to the second.
func (r *Reader) tail(content []byte) (own, behind int) {
	after := r.win.Ahead(len(content) + 12)[len(content):]
	line := lineLength(after)
	if after = after[line:]; len(after) > 0 && lineLength(after) == 0 {
		return 0, 0
	}
	return 0, line
}

// Next goes to the next mail. Its error is io.EOF when there is none.
func (r *Reader) Next() (*mailfile.Mail, error) {
	if err := r.scan.Leave(); err != nil {
		return nil, err
	}
	ahead := r.win.Ahead(6)
	if err := r.win.Err(); err != nil && len(ahead) < 6 {
		return nil, err
	}
	if len(ahead) == 0 {
		return nil, io.EOF
	}
	m := mailfile.Mail{Start: r.win.Offset()}
	line := lineLength(ahead)
	if line == 0 {
		return nil, &mailfile.NotOneError{Form: "MMDF", Want: "a line of four Control-A"}
	}
	r.win.Skip(line)
	r.fromLine(&m)
	m.Flags = mailfile.ReadNotes(r.win.Header()).Flags
	r.scan.Begin()
	return &m, nil
}

func (r *Reader) fromLine(m *mailfile.Mail) {
	const longest = 2 << 10
	ahead := r.win.Ahead(longest)
	end := bytes.IndexByte(ahead, '\n') + 1
	if f, ok := message.ParseFromLine(ahead[:end]); ok && (f.Dated || message.BeginsWithField(ahead[end:])) {
		r.win.Skip(end)
		m.Sender, m.ReceivedAt = f.Sender, f.In(r.o.Location)
	}
}

// Read reads the bytes of the mail.
func (r *Reader) Read(p []byte) (int, error) { return r.scan.Read(p) }

// End is where the mail that was read ends in the file, its last line of
// Control-As included.
func (r *Reader) End() int64 { return r.win.Offset() }
