// Package mailfile is a mailbox that is one file of many mails, whatever stands
// between them.
package mailfile

import "time"

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

// NotOneError says that a file is not what it was said to be.
type NotOneError struct {
	Form string // mbox, MMDF, Babyl
	Want string // what it would begin with
}

func (e *NotOneError) Error() string {
	return "no " + e.Form + " file: it does not begin with " + e.Want
}
