// Package mbox reads mailboxes that are one file of mails, each below a From_
// line, and takes mails out of them.
//
// A line "From sender date" begins a mail. It is believed
//
//   - at the begin of the file;
//   - after an empty line, which is the mbox's own and not the mail's;
//   - after any other line, if a header field follows: some programs forget the
//     empty line, and readers of mbox do not ask for it.
//
// Without a date ("From -"), or with that of a patch (git), it is believed only
// before a header field, where the mail it would end began with such a line too,
// and only after an empty line, unless it is the very line without a date that
// mail began with. All other lines are text, unquoted or not.
//
// Content-Length is believed for one mail where it leads to a From_ line or to
// the end of the file, and then no line before that is a separator (mboxcl2).
//
// Whether ">From " was "From " cannot be seen: a file of dialect mboxo, which
// leaves ">From " as it is, is also one of mboxrd, which made it ">>From ". Taking
// a ">" off where it belongs to the mail would damage it, so it stays, unless it
// is said that the file is mboxrd: by Options, by a name that ends in .mboxrd, or
// by the From_ lines of public-inbox, whose sender is mboxrd@z, in 1970.
package mbox

import (
	"bytes"
	"io"
	"strings"
	"time"

	"mailrow/message"
	"mailrow/poller/mailfile"
)

// Dialect says how lines of a mail that look like From_ lines were kept apart
// from those.
type Dialect string

// The dialects.
const (
	Auto Dialect = "" // by what the file itself proves
	O    Dialect = "mboxo"
	// RD has one ">" more before each line of ">"s and "From ". As store/export
	// writes it, one LF is added to each mail whatever it ends with.
	RD  Dialect = "mboxrd"
	CL  Dialect = "mboxcl"
	CL2 Dialect = "mboxcl2"
)

// Options say how a file is read.
type Options struct {
	Dialect Dialect
	mailfile.Options
}

// kind tells From_ lines apart that are believed in different places.
type kind int

const (
	none kind = iota
	dated
	bare  // without a date
	patch // of git format-patch
)

// fromLine is a From_ line that was found.
type fromLine struct {
	message.FromLine
	kind kind
	text string // the line
}

// Reader reads the mails of an mbox in one pass.
type Reader struct {
	win   *mailfile.Window
	scan  mailfile.Scanner
	o     Options
	alone bool // all there is belongs to one mail
	began bool

	from     fromLine // of the mail
	next     fromLine // of the mail after it, once that is known
	nextAt   int64    // and where it stands
	rd       bool     // the mail is quoted as mboxrd is
	believed int64    // where the mail ends if Content-Length is right; -1 without
	verdict  verdict

	blank []byte // what stands after the mail, once it was read

	plain   int  // bytes to give as they are
	drop    bool // and a ">" after them that is not the mail's
	quoting bool // all that was read of this line is ">"
}

// verdict is what looking where Content-Length leads has shown.
type verdict int

const (
	untried verdict = iota
	right
	wrong
)

// publicInbox is the From_ line of each mail of an archive of public-inbox.
const publicInbox = "From mboxrd@z Thu Jan  1 00:00:00 1970"

// NewReader reads an mbox from where r stands.
func NewReader(r io.Reader, o Options) *Reader {
	if o.Location == nil {
		o.Location = time.UTC
	}
	m := &Reader{win: mailfile.NewWindow(r), o: o}
	m.scan = mailfile.Scanner{Win: m.win, Mark: separator, Ends: m.separates, Tail: func(content []byte) (own, behind int) {
		own = m.tail(content)
		m.blank = append(m.blank[:0], content[len(content)-own:]...)
		return own, 0
	}}
	return m
}

// Sniff tells from the begin of a file whether it is an mbox. 4 KB will do.
func Sniff(first []byte) bool {
	r := NewReader(bytes.NewReader(first), Options{})
	r.skipBlank()
	return r.begins(r.win.Ahead(lookAhead), true).kind != none
}

var errNotMbox = &mailfile.NotOneError{Form: "mbox", Want: `a line "From sender date"`}

// Next goes to the next mail. Its error is io.EOF when there is none.
func (r *Reader) Next() (*mailfile.Mail, error) {
	for {
		r.plain, r.drop = 0, false
		if err := r.scan.Leave(); err != nil {
			return nil, err
		}
		first := !r.began
		if first {
			r.skipBlank()
		}
		ahead := r.win.Ahead(lookAhead)
		if err := r.win.Err(); err != nil && len(ahead) < lookAhead {
			return nil, err
		}
		if len(ahead) == 0 {
			return nil, io.EOF
		}
		if first || r.nextAt != r.win.Offset() {
			if r.next = r.begins(ahead, true); r.next.kind == none {
				return nil, errNotMbox
			}
		}
		r.began = true
		m := r.enter()
		notes := r.readNotes()
		m.Flags = notes.Flags
		if !first || r.alone || !notes.Internal {
			return m, nil
		}
	}
}

// Read reads the bytes of the mail.
func (r *Reader) Read(p []byte) (int, error) {
	if !r.rd {
		return r.scan.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for r.plain == 0 {
		switch {
		case r.drop:
			r.scan.Skip(1)
			r.drop = false
		case r.scan.Safe > 0:
			r.plan()
		case !r.scan.Inside:
			return 0, io.EOF
		default:
			if err := r.scan.Advance(); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, r.win.Ahead(r.plain)[:r.plain])
	r.scan.Skip(n)
	r.plain -= n
	return n, nil
}

// End is where the mail that was read ends in the file, its empty line included.
func (r *Reader) End() int64 { return r.win.Offset() }

// Blank is the empty line at the end of the mail that was read, which is the mbox's
// own: where the file was no mbox, but that mail alone, it is the mail's.
func (r *Reader) Blank() []byte { return r.blank }

// skipBlank goes to the first line that is not empty. A byte order mark was
// written by an editor.
func (r *Reader) skipBlank() {
	if bytes.HasPrefix(r.win.Ahead(3), []byte("\xef\xbb\xbf")) {
		r.win.Skip(3)
	}
	for {
		ahead := r.win.Ahead(1)
		rest := bytes.TrimLeft(ahead, "\r\n")
		r.win.Skip(len(ahead) - len(rest))
		if len(rest) > 0 || len(ahead) == 0 {
			return
		}
	}
}

// enter begins the mail whose From_ line is ahead.
func (r *Reader) enter() *mailfile.Mail {
	r.from = r.next
	f := r.from
	m := &mailfile.Mail{Start: r.win.Offset()}
	if f.kind != patch {
		m.Sender, m.ReceivedAt = f.Sender, f.In(r.o.Location)
	}
	r.rd = r.o.Dialect == RD || r.o.Dialect == Auto && strings.TrimRight(f.text, "\r\n") == publicInbox
	r.believed, r.verdict = -1, untried
	r.win.Skip(len(f.text))
	r.quoting = true
	r.scan.Begin()
	return m
}

// readNotes reads the notes in the mail's header.
func (r *Reader) readNotes() mailfile.Notes {
	header := r.win.Header()
	for at := 0; ; {
		hit := bytes.Index(header[at:], separator)
		if hit < 0 {
			break
		}
		at += hit + 1
		if r.separates(at) { // a header, and nothing else
			header = r.win.Ahead(at)[:at]
			break
		}
		header = r.win.Ahead(len(header))[:len(header)]
	}
	notes := mailfile.ReadNotes(header)
	if notes.Length >= 0 && !r.rd && r.o.Dialect != O {
		r.believed = r.win.Offset() + int64(len(header)+emptyLine(r.win.Ahead(len(header) + 2)[len(header):])) + notes.Length
	}
	return notes
}
