package pop3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"mailrow/poller"
	"mailrow/poller/pop3/client"
)

// Folder is the mailbox.
type Folder struct {
	s      *Source
	passed uint32 // the mail that was opened last, 0 for none
	window int    // mails to ask for ahead
}

var (
	_ poller.Folder  = (*Folder)(nil)
	_ poller.Remover = (*Folder)(nil)
)

// place is where a mail is as long as the session lives.
type place struct {
	session int
	number  uint32
}

// List begins a session, which sees what has come until now. There is no revision:
// all unique-ids are asked for in one round trip. Where a mail has none of its own
// (RFC 1939 does not ask for UIDL, and some servers repeat ids), it is fetched to be
// named by its bytes, with every listing.
func (f *Folder) List(ctx context.Context, _ string) (*poller.Listing, error) {
	s := f.s
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	f.passed, f.window = 0, 0
	session, drop := s.session, s.drop
	l := &poller.Listing{}
	l.Entries = func(yield func(poller.Entry, error) bool) {
		for _, r := range drop.rows {
			e := poller.Entry{ID: string(drop.id(r)), Size: -1, Place: place{session, r.number}}
			if r.size != unknownSize {
				e.Size, e.Stamp = int64(r.size), strconv.FormatUint(uint64(r.size), 10)
			}
			if r.length == 0 || r.repeated {
				var err error
				if e.ID, err = f.contentID(ctx, drop, session, r); err != nil {
					var broken *poller.BrokenError
					if errors.As(err, &broken) {
						yield(poller.Entry{}, err)
						return
					}
					s.conf.Server.Warnf("mail %d has no unique-id and cannot be read to make one, so it is left out: %v", r.number, err)
					l.Partial = true
					continue
				}
			}
			if !yield(e, nil) {
				return
			}
		}
	}
	return l, nil
}

// sum begins the id of a mail that is named by its bytes; its unique-id is before
// it where it has one. There is no blank in a unique-id (RFC 1939 7).
const sum = "sha256:"

func namedByContent(id string) bool { return strings.Contains(" "+id, " "+sum) }

// contentID fetches a mail to name it.
func (f *Folder) contentID(ctx context.Context, drop *maildrop, session int, r row) (string, error) {
	if session != f.s.session || !f.s.live() {
		return "", &poller.BrokenError{Err: fmt.Errorf("list %s: the session in which the listing began is over", &f.s.conf.Server)}
	}
	m, err := f.retrieve(ctx, drop, r.number)
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, m); err != nil {
		return "", f.s.fault(fmt.Sprintf("read mail %d of", r.number), err)
	}
	prefix := ""
	if r.length > 0 {
		prefix = string(drop.id(r)) + " "
	}
	return prefix + sum + hex.EncodeToString(digest.Sum(nil)), nil
}

// maxWindow is how many mails are asked for ahead.
const maxWindow = 32

// retrieve asks for a mail, and ahead for the more of those behind it the longer
// one after the other is wanted. The first is asked for alone: it may be there that the
// connection broke, and it is not to blame for those behind it.
func (f *Folder) retrieve(ctx context.Context, drop *maildrop, number uint32) (*client.Mail, error) {
	if f.passed > 0 && f.passed+1 == number {
		f.window = min(max(1, 2*f.window), maxWindow)
	} else {
		f.window = 0
	}
	f.passed = number
	return f.s.retrieve(ctx, number, drop.next(number, f.window))
}

func (s *Source) retrieve(ctx context.Context, number uint32, next []uint32) (*client.Mail, error) {
	m, err := s.conn.Retrieve(ctx, number, next)
	if err != nil {
		return nil, s.fault(fmt.Sprintf("read mail %d of", number), err)
	}
	return m, nil
}

// Open gives a mail as it comes from the server. It is lost when something else is
// asked of the source before it has ended.
func (f *Folder) Open(ctx context.Context, e poller.Entry) (io.ReadCloser, error) {
	s := f.s
	at, ok := e.Place.(place)
	if !ok || at.session != s.session || !s.live() || s.drop == nil {
		return nil, &poller.BrokenError{Err: fmt.Errorf("read mail %q of %s: the session in which it was listed is over: list again", e.ID, &s.conf.Server)}
	}
	m, err := f.retrieve(ctx, s.drop, at.number)
	if err != nil {
		return nil, err
	}
	b := &body{s: s, mail: m, row: s.drop.row(at.number)}
	if _, want, found := strings.Cut(" "+e.ID, " "+sum); found {
		b.digest, b.want = sha256.New(), want
	}
	return b, nil
}

// body is a mail that is being read.
type body struct {
	s      *Source
	mail   *client.Mail
	row    *row
	size   int64
	digest hash.Hash // of a mail that is named by its bytes
	want   string
}

// Read also fails where there is no mail, or another one than was listed.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.mail.Read(p)
	b.size += int64(n)
	if b.digest != nil {
		b.digest.Write(p[:n])
	}
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
	case b.size == 0:
		err = errors.New("the server gives no text for it: look at it with another program")
	case b.digest != nil && hex.EncodeToString(b.digest.Sum(nil)) != b.want:
		err = errors.New("the server gives other bytes for it than when it was listed: it is listed again")
	default:
		b.row.sure = true
		return n, io.EOF
	}
	return n, b.s.fault(fmt.Sprintf("read mail %d of", b.row.number), err)
}

// Close leaves what is unread to be skipped.
func (b *body) Close() error { return nil }

// Close forgets the folder; its session goes on until the source is closed.
func (f *Folder) Close() error { return nil }
