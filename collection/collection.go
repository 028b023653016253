// Package collection reads mail in whatever form people keep it: folders and
// files of every kind, archives and compressed files, one inside the other.
//
// What something is its content says, never its name; a name only decides where
// the content says nothing. An archive is read once, from its begin to its end,
// and nothing is unpacked to disk. Trouble with one thing is told and does not
// keep the next from being read. Nothing is ever written, locked for long, or
// waited for: pipes and devices are not opened.
package collection

import (
	"bytes"
	"context"
	"io"
	"time"
)

// Mail is one mail with what its place says of it.
type Mail struct {
	Unit   *Unit  // nil for a mail that was named by itself
	ID     string // names it in its unit; two mails of one id are the same bytes, but for status fields
	Path   string // for people: the file, and the way inside it
	Folder string // levels divided by "/"; INBOX is that without a name
	Size   int64  // on disk or in its archive, for what tells of progress

	Raw        []byte
	Flags      []string  // IMAP flags and keywords
	ReceivedAt time.Time // when it came into the mailbox; zero where the place does not tell
	ModTime    time.Time // of its file, which may only be when that was copied; zero without
	Sender     *string   // reverse-path, "" for the null one; nil where nobody knows

	// Identity is what stays the same when a mail program writes status fields into
	// the mail (package identity); "" where the form knows none.
	Identity string
}

// Unit is what is settled as a whole: a folder, or a file that holds many mails.
type Unit struct {
	Path   string // of the file or folder on disk, absolute
	Kind   Kind
	Folder string // where its mail is; of an archive, what is above its own folders
	Within *Unit  // a folder that is settled only when this is; nil without
}

// Past is what is known of a unit from another time.
type Past struct {
	Revision string // of the time when all of it was settled; "" for never
	Bytes    int64  // of its mails
	Has      func(id string) bool
}

// Visitor is told what a reader finds, in the order of the reading. An error of
// its methods ends that.
type Visitor interface {
	// Enter is told of a unit before it is read, and what is known of it.
	Enter(ctx context.Context, u *Unit) (Past, error)

	// Reserve is asked before a mail is read that is large, with its size or, where
	// that is not known, the largest that may be. It may wait until there is room.
	Reserve(ctx context.Context, bytes int64) error

	// Mail gets a mail, which is its own from then on.
	Mail(ctx context.Context, m *Mail) error

	// Known is told of a mail that Past has, instead of Mail.
	Known(u *Unit, size int64)

	// Unchanged is told of a unit that is as it was at Past, instead of Leave.
	Unchanged(u *Unit)

	// Leave is told that a unit has been read to its end, or that an error ended
	// it. Revision changes when the unit does; "" means that nothing can be told.
	Leave(u *Unit, revision string)

	// Skipped is told of what is no mail.
	Skipped(path string)

	// Failed is told of what should be mail and cannot be read. The unit is nil
	// where it is in none.
	Failed(u *Unit, path string, err error)

	// Advance is told of bytes on disk that are dealt with.
	Advance(bytes int64)
}

// Options are how to read.
type Options struct {
	MaxSize int64  // bytes of a mail; a larger one fails
	Strip   int    // leave out so many leading levels of folder names
	Owner   string // a file of this name that holds a mailbox is its INBOX, as /var/mail/ann
}

// maxDepth is how deep archives and compressed files may be in each other.
const maxDepth = 8

// Reader reads collections and tells a visitor.
type Reader struct {
	Options
	visitor Visitor
	seen    map[fileID]bool // folders that were read, so that no link leads round
	links   []place         // folders that links lead to: read last
	small   bytes.Buffer    // for readLimited
}

// NewReader makes a reader.
func NewReader(v Visitor, o Options) *Reader {
	return &Reader{Options: o, visitor: v, seen: map[fileID]bool{}}
}

// Read reads what is at a path: a file, or a folder with all below it. Its
// error is the visitor's own, or that there is nothing of mail to read at all.
func (r *Reader) Read(ctx context.Context, path string) error {
	return r.readPath(ctx, path)
}

// ReadStream reads what comes from a stream, such as standard input.
func (r *Reader) ReadStream(ctx context.Context, name string, body io.Reader) error {
	s := stream{reader: r, ctx: ctx}
	return s.readAll(member{path: name, size: -1, named: true}, &counted{from: body, count: r.visitor.Advance})
}

// counted tells how much of a stream on disk was read.
type counted struct {
	from  io.Reader
	count func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.count(int64(n))
	return n, err
}
