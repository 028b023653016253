// Package poller brings mail from mailboxes into the store.
//
// Its law: store, commit, and only then remove, archive or mark at the source.
// What is known of each mail at its source is a row of table source_messages,
// written in the transaction that stores the mail: a crash at any point loses nothing and
// repeats nothing.
package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Source is the place that a URI names, opened: a file, a directory, a
// connection. It is not safe for simultaneous use.
type Source interface {
	// Folders gives the names of the folders that match any of the patterns, each
	// once: "*" stands for anything, "%" for anything but "/" (RFC 9051 6.3.9).
	// Without patterns it gives the one folder that the URI names by itself.
	// Levels are divided by "/", names are UTF-8, and INBOX is that folder which
	// has no name of its own. A pattern without wildcard that names no folder is an
	// error that says so.
	Folders(ctx context.Context, patterns []string) ([]string, error)

	// Folder opens the folder of a name that Folders gave. A folder that is
	// missing or forbidden is an error, and nothing is touched.
	Folder(ctx context.Context, name string) (Folder, error)

	Close() error
}

// Folder is one folder of a source, opened. It is not safe for simultaneous use.
type Folder interface {
	// List gives what is in the folder. since is Revision of an earlier Listing of
	// which everything is settled, or ""; it allows to leave out what was there then.
	List(ctx context.Context, since string) (*Listing, error)

	// Open gives the mail itself, byte for byte as it was received: without what
	// only the form of the mailbox puts around it. Its errors concern this mail
	// alone (ErrGone when somebody has removed it), unless they are a BrokenError.
	// A reader fails rather than end before the mail does.
	Open(ctx context.Context, e Entry) (io.ReadCloser, error)

	// Close gives back locks and files. What Remove and its like have returned
	// from is done and durable by then.
	Close() error
}

// Listing is what a folder held when it was listed.
type Listing struct {
	// Entries gives the mails in the order of the folder; an error ends it. It is
	// read once, and Open may be called while it is. Memory does not grow with the
	// number of entries where the form of the mailbox allows it.
	Entries iter.Seq2[Entry, error]

	// Revision changes whenever a mail may have come or gone. It was taken before
	// the listing, so what comes meanwhile is seen next time. It is valid once
	// Entries has ended; "" means that nothing can be told from it.
	Revision string

	// Partial says that Entries leaves out what was there at since: that an id is
	// not among them does not mean that it is gone. Valid once Entries has ended.
	Partial bool
}

// Entry is a mail as a folder lists it.
type Entry struct {
	// ID names the mail in its folder across restarts, moves of its neighbours and
	// changes of its flags. Two entries of one id are the same bytes.
	ID string

	// Stamp is what else tells the mail from another one that the server may give this
	// ID later, which it should not: the mail is read again when it changes. "" where
	// there is no such thing, or no need.
	Stamp string

	Size       int64     // in bytes as Open gives them; -1 where that takes reading
	Flags      []string  // IMAP flags (RFC 9051 2.3.2) and keywords
	ReceivedAt time.Time // when it came into the mailbox; zero where nobody knows
	Sender     *string   // reverse-path, "" for the null one; nil where nobody knows

	// Place is for the folder alone: where the mail is, as of this listing.
	Place any

	// Content is, once the mail is stored, by what it is known again: the first 16 bytes
	// of its identity.Sum. nil where an earlier version stored it.
	Content []byte
}

// Remover is a folder that mails can be removed from. Neither this nor its like
// below is asked for while Entries of a Listing is read, and the listing is of no
// use afterwards.
type Remover interface {
	// Remove removes mails for good, together where that is cheaper. One that is
	// gone already is no error. After an error some may be removed, and none that
	// was not asked for. Its error is an *OtherMailError where only those are left.
	Remove(ctx context.Context, entries []Entry) error
}

// OtherMailError says that there are other mails by now under ids of mails that were
// to be removed, or that nobody can tell: they were left, and are to be stored.
type OtherMailError struct{ IDs []string }

func (e *OtherMailError) Error() string {
	return fmt.Sprintf("the server has given ids to other mails, the first of which is %q: they are read again, and stored before they are removed", e.IDs[0])
}

// Archiver is a folder that mails can be moved from.
type Archiver interface {
	// Archive moves mails to another folder of the same source, which it makes
	// where it is missing. At every moment each mail is in one of the two, or in
	// both; repeating it after a crash leaves each once in the archive.
	Archive(ctx context.Context, entries []Entry, folder string) error
}

// ArchiveChecker is a source of which two names may be one folder, or which cannot
// make a folder of every name.
type ArchiveChecker interface {
	// CheckArchive says why mail of some folders cannot be moved to another one. It is
	// asked before anything is stored, and touches nothing.
	CheckArchive(folders []string, archive string) error
}

// Marker is a folder whose mails can be marked.
type Marker interface {
	// MarkSeen sets the flag \Seen, in the folder's own way.
	MarkSeen(ctx context.Context, entries []Entry) error
}

// Watcher is a folder that tells when mail may have come.
type Watcher interface {
	// Wait returns nil when something changed since the folder was opened or Wait
	// last returned, and the error of ctx when that ends first. Any other error
	// means that nothing will be told, and the folder has to be listed now and then.
	Wait(ctx context.Context) error
}

// ErrGone says that a mail is not there any more: somebody else has removed it.
var ErrGone = errors.New("the mail is gone")

// BrokenError says that a folder, not only one mail of it, is of no use any more:
// a lost connection, a file that somebody has replaced.
type BrokenError struct{ Err error }

func (e *BrokenError) Error() string { return e.Err.Error() }
func (e *BrokenError) Unwrap() error { return e.Err }
