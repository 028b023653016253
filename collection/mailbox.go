package collection

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"mailrow/message"
	"mailrow/poller"
	"mailrow/poller/babyl"
	"mailrow/poller/maildir"
	"mailrow/poller/mailfile"
	"mailrow/poller/mbox"
	"mailrow/poller/mh"
	"mailrow/poller/mmdf"
)

// newMailfile makes the reader of a file of many mails.
func newMailfile(name string, kind Kind, body io.Reader) mailfile.Reader {
	switch kind {
	case KindMMDF:
		return mmdf.NewReader(body, mmdf.Options{})
	case KindBabyl:
		return babyl.NewReader(body, babyl.Options{})
	}
	var o mbox.Options
	if strings.EqualFold(path.Ext(name), ".mboxrd") {
		o.Dialect = mbox.RD
	}
	return mbox.NewReader(body, o)
}

// readMailbox reads a file of many mails.
func (s *stream) readMailbox(m member, kind Kind, body *bufio.Reader) error {
	mails := newMailfile(m.name, kind, body)
	folder := s.reader.folder(m.dir, s.reader.mailboxName(m))
	var first *Mail // kept back until there is a second
	for number := 1; ; number++ {
		found, err := mails.Next()
		if first != nil {
			if err == io.EOF {
				first.Folder = s.reader.folder(m.dir, "")
			}
			if err := s.give(first); err != nil {
				return err
			}
			first = nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		place := fmt.Sprintf("%s, mail %d", m.path, number)
		raw, err := s.reader.readLimited(mails, -1)
		if errors.Is(err, errTooLarge) {
			s.reader.visitor.Failed(s.unit, place, err)
			continue
		}
		if err != nil {
			return err
		}
		if len(raw) == 0 {
			s.reader.visitor.Failed(s.unit, place, errEmpty)
			continue
		}
		mail := &Mail{
			Path: place, Folder: folder, Raw: raw, ModTime: m.modTime,
			Flags: found.Flags, ReceivedAt: found.ReceivedAt, Sender: found.Sender,
		}
		if number == 1 && isNumbered(m.name) {
			first = mail
		} else if err := s.give(mail); err != nil {
			return err
		}
	}
}

// isNumbered tells names of files such as MH gives to mails. One that begins
// with a From_ line and holds one mail is that mail, and no mailbox.
func isNumbered(name string) bool { return name != "" && name[0] >= '0' && name[0] <= '9' }

// mailboxName is the name of a file of many mails, as that of a folder. The
// spool file of a user has the user's name; what is called a mail is one that has
// a From_ line above it.
func (r *Reader) mailboxName(m member) string {
	if m.named && r.Owner != "" && strings.EqualFold(m.name, r.Owner) || isMailName(m.name) {
		return ""
	}
	return m.name
}

// readMaildir reads the mail of a Maildir, and of none of its folders.
func (r *Reader) readMaildir(ctx context.Context, p place) error {
	unit := &Unit{Path: p.path, Kind: KindMaildir, Folder: r.folder(p.dir+"/cur", "")}
	source, err := maildir.Open(p.path, maildir.Options{})
	if err != nil {
		r.visitor.Failed(nil, p.path, plainReason(err))
		return nil
	}
	defer source.Close()
	return r.readFolder(ctx, unit, source)
}

// readMH reads the mail of an MH folder, and of none below it.
func (r *Reader) readMH(ctx context.Context, p place) error {
	unit := &Unit{Path: p.path, Kind: KindMH, Folder: r.folder(p.dir, "")}
	source, err := mh.Open(p.path)
	if err != nil {
		r.visitor.Failed(nil, p.path, plainReason(err))
		return nil
	}
	defer source.Close()
	return r.readFolder(ctx, unit, source)
}

// readFolder reads that folder of a source that has no name.
func (r *Reader) readFolder(ctx context.Context, unit *Unit, source poller.Source) error {
	past, err := r.visitor.Enter(ctx, unit)
	if err != nil {
		return err
	}
	revision := ""
	folder, err := source.Folder(ctx, inbox)
	if err == nil {
		defer folder.Close()
		revision, err = r.readEntries(ctx, unit, past, folder)
	}
	var ended *visitorError
	switch {
	case errors.As(err, &ended):
		return ended.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.visitor.Failed(unit, unit.Path, plainReason(err))
	case past.Revision != "" && revision == past.Revision:
		r.visitor.Unchanged(unit)
		r.visitor.Advance(past.Bytes)
		return nil
	}
	r.visitor.Leave(unit, revision)
	return nil
}

// readEntries reads the mails of a folder that are not settled. The revision is
// that of past when there is nothing to read.
func (r *Reader) readEntries(ctx context.Context, unit *Unit, past Past, folder poller.Folder) (revision string, err error) {
	listing, err := folder.List(ctx, past.Revision)
	if err != nil {
		return "", err
	}
	for entry, err := range listing.Entries {
		switch {
		case err != nil:
			return "", err
		case past.Has != nil && past.Has(entry.ID):
			r.visitor.Known(unit, entry.Size)
		default:
			if err := r.readEntry(ctx, unit, folder, entry); err != nil {
				return "", err
			}
		}
		r.visitor.Advance(max(entry.Size, 0))
	}
	return listing.Revision, nil
}

// readEntry reads one mail of a folder. One that somebody has removed meanwhile
// is no trouble.
func (r *Reader) readEntry(ctx context.Context, unit *Unit, folder poller.Folder, e poller.Entry) error {
	place := fmt.Sprintf("%s, mail %s", unit.Path, e.ID)
	raw, err := r.openEntry(ctx, folder, e)
	var broken *poller.BrokenError
	switch {
	case err == nil:
	case errors.As(err, &broken):
		return err
	case errors.Is(err, poller.ErrGone):
		return nil
	default:
		r.visitor.Failed(unit, place, plainReason(err))
		return nil
	}
	mail := &Mail{
		Unit: unit, ID: e.ID, Path: place, Folder: unit.Folder,
		Flags: e.Flags, ReceivedAt: e.ReceivedAt, Sender: e.Sender,
	}
	var sender *string
	if mail.Raw, sender = message.SplitFromLine(raw); mail.Sender == nil {
		mail.Sender = sender
	}
	if len(mail.Raw) == 0 {
		r.visitor.Failed(unit, place, errEmpty)
		return nil
	}
	if err := r.visitor.Mail(ctx, mail); err != nil {
		return &visitorError{err}
	}
	return nil
}

func (r *Reader) openEntry(ctx context.Context, folder poller.Folder, e poller.Entry) ([]byte, error) {
	body, err := folder.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return r.readLimited(body, e.Size)
}
