// Package babyl reads mailboxes in the form of Emacs Rmail before version 23: one
// file that begins with options, then mails, each between Control-_ Control-L and
// Control-_. Below a line of labels there is the header as it came, the line
// "*** EOOH ***" (end of original header), the header as Rmail showed it, and the
// body. The mail is the original header, where there is one, and the body.
//
// Rmail ends a mail with its last line. Python's mailbox adds an LF of its own,
// and writes no header to be shown; what it writes is told by the first line of
// the file, which lacks "rmail". A mail that Rmail has decoded or folded anew
// cannot be had back as it came.
package babyl

import (
	"bytes"
	"io"
	"strings"
	"time"

	"mailrow/message"
	"mailrow/poller/mailfile"
)

// Options are what the file itself does not tell.
type Options = mailfile.Options

// Reader reads the mails of a Babyl file in one pass.
type Reader struct {
	win    *mailfile.Window
	scan   mailfile.Scanner
	o      Options
	began  bool
	python bool
	header []byte // what is left to read of the original header
}

const (
	options = "BABYL OPTIONS:"
	// maxHead is how much of labels and original header is looked through.
	maxHead = 1 << 20
)

var (
	mark = []byte("\n\x1f")
	eooh = []byte("*** EOOH ***")
)

// NewReader reads a Babyl file from where r stands.
func NewReader(r io.Reader, o Options) *Reader {
	if o.Location == nil {
		o.Location = time.UTC
	}
	b := &Reader{win: mailfile.NewWindow(r), o: o}
	b.scan = mailfile.Scanner{Win: b.win, Mark: mark, Ends: b.ends, Tail: b.tail}
	return b
}

// Sniff tells from the begin of a file whether it is Babyl.
func Sniff(first []byte) bool {
	return len(first) >= len(options) && strings.EqualFold(string(first[:len(options)]), options)
}

// ends: Control-_ may be in a mail, but not alone at the end of the file, and not
// before another mail.
func (r *Reader) ends(at int) bool {
	after := r.win.Ahead(at + 8)[at+1:]
	if len(bytes.Trim(after, "\r\n")) == 0 {
		return true
	}
	labels := afterFormFeed(after)
	return len(labels) > 1 && (labels[0] == '0' || labels[0] == '1') && labels[1] == ','
}

// afterFormFeed is what follows the line of Control-L that b begins with, or nil.
func afterFormFeed(b []byte) []byte {
	for _, line := range []string{"\f\n", "\f\r\n"} {
		if rest, found := bytes.CutPrefix(b, []byte(line)); found {
			return rest
		}
	}
	return nil
}

func (r *Reader) tail(content []byte) (own, behind int) {
	if len(r.win.Ahead(len(content)+1)) > len(content) {
		behind = 1
	}
	if !r.python || behind == 0 {
		return 0, behind
	}
	for _, end := range []string{"\r\n", "\n"} {
		if bytes.HasSuffix(content, []byte(end)) {
			return len(end), behind
		}
	}
	return 0, behind
}

// Next goes to the next mail. Its error is io.EOF when there is none.
func (r *Reader) Next() (*mailfile.Mail, error) {
	if err := r.leave(); err != nil {
		return nil, err
	}
	ahead := r.win.Ahead(8)
	if err := r.win.Err(); err != nil && len(ahead) < 8 {
		return nil, err
	}
	if afterFormFeed(ahead) == nil {
		return nil, io.EOF
	}
	m := &mailfile.Mail{Start: r.win.Offset()}
	r.win.Skip(len(ahead) - len(afterFormFeed(ahead)))
	r.enter(m)
	return m, nil
}

// leave goes to the end of the mail, or of the options.
func (r *Reader) leave() error {
	r.header = nil
	if !r.began {
		ahead := r.win.Ahead(256)
		if err := r.win.Err(); err != nil {
			return err
		}
		if len(ahead) > 0 && !Sniff(ahead) {
			return &mailfile.NotOneError{Form: "Babyl", Want: options}
		}
		r.began, r.python = true, isPython(ahead)
		r.scan.Begin()
	}
	return r.scan.Leave()
}

// isPython tells by the begin of a file whether Python's mailbox has written it.
func isPython(first []byte) bool { return !bytes.Contains(bytes.ToLower(line(first)), []byte("rmail")) }

// enter reads what stands above the body of a mail.
func (r *Reader) enter(m *mailfile.Mail) {
	ahead := r.head()
	labels := line(ahead)
	m.Flags = flags(string(labels))
	r.win.Skip(len(labels))
	ahead = ahead[len(labels):]

	header, below, found := cutEooh(ahead)
	if found {
		r.win.Skip(len(header) + len(line(ahead[len(header):])))
		m.Sender, m.ReceivedAt, header = r.own(header)
		r.header = bytes.Clone(header)
		if len(header) > 0 {
			r.win.Skip(shownLength(header, below))
		}
	}
	r.scan.Begin()
}

// head looks at the begin of a mail, up to its body if that is near.
func (r *Reader) head() []byte {
	for n := 8 << 10; ; n *= 4 {
		ahead := r.win.Ahead(n)
		_, below, found := cutEooh(ahead)
		if found && bytes.Contains(below, []byte("\n\n")) || endOfMail(ahead) < len(ahead) || n >= maxHead || r.win.Ended() {
			return ahead
		}
	}
}

// endOfMail is where the mail that b begins with must have ended.
func endOfMail(b []byte) int {
	if end := bytes.Index(b, []byte("\n\x1f\f")); end >= 0 {
		return end + 1
	}
	return len(b)
}

// cutEooh cuts at the line *** EOOH ***, unless the mail ends before.
func cutEooh(b []byte) (header, below []byte, found bool) {
	b = b[:endOfMail(b)]
	for from := 0; ; {
		hit := bytes.Index(b[from:], eooh)
		if hit < 0 {
			return nil, nil, false
		}
		from += hit
		whole := line(b[from:])
		if (from == 0 || b[from-1] == '\n') && len(bytes.TrimRight(whole, "\r\n")) == len(eooh) {
			return b[:from], b[from+len(whole):], true
		}
		from += len(eooh)
	}
}

// own takes off what Rmail writes above a header: its summary, and the From_ line
// that the mail had in an mbox.
func (r *Reader) own(header []byte) (sender *string, at time.Time, rest []byte) {
	for {
		first := line(header)
		switch {
		case bytes.HasPrefix(first, []byte("Summary-line: ")):
		case bytes.HasPrefix(first, []byte("Mail-from: From ")):
			f, _ := message.ParseFromLine(first[len("Mail-from: "):])
			sender, at = f.Sender, f.In(r.o.Location)
		default:
			return sender, at, header
		}
		header = header[len(first):]
	}
}

// shownLength is the length of the header that Rmail showed, with the empty line
// after it. It has fields, and the first of them is in the original header: what
// else stands there is the body.
func shownLength(original, below []byte) int {
	name, _, _ := bytes.Cut(line(below), []byte{':'})
	known := false
	for rest := original; len(rest) > 0; rest = rest[len(line(rest)):] {
		if len(rest) > len(name) && rest[len(name)] == ':' && bytes.EqualFold(rest[:len(name)], name) {
			known = true
			break
		}
	}
	if !known {
		return 0
	}
	for at := 0; at < len(below); {
		one := line(below[at:])
		at += len(one)
		switch {
		case len(bytes.TrimRight(one, "\r\n")) == 0:
			return at
		case one[0] != ' ' && one[0] != '\t' && !message.BeginsWithField(one):
			return 0
		}
	}
	return 0
}

func line(b []byte) []byte {
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return b[:end+1]
	}
	return b
}

// flags reads the line of labels: "1, answered,, label,". Those before the double
// comma are Rmail's own.
func flags(labels string) []string {
	_, labels, _ = strings.Cut(strings.TrimSpace(labels), ",")
	var all []string
	seen := true
	for _, label := range strings.FieldsFunc(labels, func(c rune) bool { return c == ',' || c == ' ' }) {
		switch label {
		case "unseen":
			seen = false
		case "answered":
			all = append(all, `\Answered`)
		case "deleted":
			all = append(all, `\Deleted`)
		case "forwarded":
			all = append(all, "$Forwarded")
		default:
			all = append(all, label)
		}
	}
	if seen {
		all = append(all, `\Seen`)
	}
	return all
}

// Read reads the bytes of the mail.
func (r *Reader) Read(p []byte) (int, error) {
	if len(r.header) > 0 {
		n := copy(p, r.header)
		r.header = r.header[n:]
		return n, nil
	}
	return r.scan.Read(p)
}

// End is where the mail that was read ends in the file, its Control-_ included.
func (r *Reader) End() int64 { return r.win.Offset() }
