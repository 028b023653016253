// Package mailfile is a mailbox that is one file of many mails, whatever stands
// between them, and a directory of such files.
//
// Its law: other programs deliver to these files and change them at any time. A
// mail is believed to be where it was listed only if its bytes are those of its
// id, when it is read and again, under both locks, when it is removed. What is
// not removed stays byte for byte.
package mailfile

import (
	"fmt"
	"io"
	"time"
)

// Mail is what a file says of a mail, its bytes aside.
type Mail struct {
	// Start is where it begins in the file, with what stands before its bytes.
	Start int64

	Sender     *string   // reverse-path, "" for the null one; nil where nobody knows
	ReceivedAt time.Time // zero where nobody knows
	Flags      []string  // of IMAP, and keywords
}

// Reader reads the mails of a file one after the other, in one pass. Its memory
// grows neither with the mails nor with their number.
type Reader interface {
	// Next goes to the next mail, whether or not this one was read to its end. Its
	// error is io.EOF when there is none.
	Next() (*Mail, error)

	// Read reads the bytes of the mail; io.EOF is their end.
	Read(p []byte) (int, error)

	// End is where the mail ends in the file, with what belongs to it there. It is
	// known once Read has returned io.EOF.
	End() int64
}

// Form is how mails stand in a file.
type Form interface {
	Name() string // for people
	Sniff(first []byte) bool

	// NewReader reads a file from a place where it begins, or a mail does.
	NewReader(r io.Reader) Reader
	// NewPiece reads a piece that was found to be one mail. first is the begin of
	// the file that it is from.
	NewPiece(r io.Reader, first []byte) Reader

	// Appended reports whether b, which came after the end of a whole file, cannot
	// belong to the last mail there.
	Appended(b []byte) bool
	// Seen is the change to the begin of a piece that marks its mail as seen, nil
	// where it is, or cannot be.
	Seen(head []byte) *Edit
	// Join is what a file that ends in tail needs before a piece can be appended
	// that comes from a file that begins with first: how many bytes less and which
	// more.
	Join(tail, first []byte) (less int, more []byte)
	// Finish is what a piece that ends in tail lacks before another can follow.
	Finish(tail []byte) []byte
}

// Edit puts text in the place of some bytes.
type Edit struct {
	Start, End int64
	Text       []byte
}

// Options are what the file itself does not tell.
type Options struct {
	// Location is that of times without a zone. nil is where this machine is when a
	// mailbox is opened, since MTAs write local time, and else UTC.
	Location *time.Location
	// LockTimeout is how long to wait for the locks of others; 0 is 30 s.
	LockTimeout time.Duration
	// Note is told once of what an operator may want to mend; nil is nobody.
	Note func(text string)
}

func (o Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// NotOneError says that a file is not what it was said to be.
type NotOneError struct {
	Form string // mbox, MMDF, Babyl
	Want string // what it would begin with
}

func (e *NotOneError) Error() string {
	return "it is no " + e.Form + " file: it does not begin with " + e.Want
}
