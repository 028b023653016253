package collection

import (
	"context"
	"errors"
	"fmt"

	"mailrow/message"
	"mailrow/poller"
)

// entries are the mails of a folder of a source, as a unit or as a part of one.
type entries struct {
	reader *Reader
	unit   *Unit
	past   Past
	path   string // for people
	folder string // of the mails
	prefix string // of their ids in the unit
	number int    // of those that were met
	size   int64  // of those
}

// read reads the mails that are not settled. The revision is that of the past
// where there is nothing to read. Its error is the visitor's.
func (e *entries) read(ctx context.Context, source poller.Source) (revision string, err error) {
	folder, err := source.Folder(ctx, inbox)
	if err == nil {
		defer folder.Close()
		revision, err = e.readFolder(ctx, folder)
	}
	var ended *visitorError
	switch {
	case errors.As(err, &ended):
		return "", ended.err
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		e.reader.visitor.Failed(e.unit, e.path, plainReason(err))
		return "", nil
	}
	return revision, nil
}

func (e *entries) readFolder(ctx context.Context, folder poller.Folder) (revision string, err error) {
	listing, err := folder.List(ctx, e.past.Revision)
	if err != nil {
		return "", err
	}
	for entry, err := range listing.Entries {
		e.number++
		switch {
		case err != nil:
			return "", err
		case e.past.Has != nil && e.past.Has(e.prefix+entry.ID):
			e.reader.visitor.Known(e.unit, entry.Size)
		default:
			if err := e.readEntry(ctx, folder, entry); err != nil {
				return "", err
			}
		}
		e.size += max(entry.Size, 0)
		e.reader.visitor.Advance(max(entry.Size, 0))
	}
	return listing.Revision, nil
}

// readEntry reads one mail. One that somebody has removed meanwhile is no trouble.
func (e *entries) readEntry(ctx context.Context, folder poller.Folder, entry poller.Entry) error {
	place := fmt.Sprintf("%s, mail %d", e.path, e.number)
	if e.unit.Kind == KindMaildir {
		place = fmt.Sprintf("%s, mail %s", e.path, entry.ID)
	}
	raw, err := e.open(ctx, folder, entry)
	var broken *poller.BrokenError
	var ended *visitorError
	switch {
	case err == nil:
	case errors.As(err, &broken), errors.As(err, &ended):
		return err
	case errors.Is(err, poller.ErrGone):
		return nil
	default:
		e.reader.visitor.Failed(e.unit, place, plainReason(err))
		return nil
	}
	mail := &Mail{
		Unit: e.unit, ID: e.prefix + entry.ID, Path: place, Folder: e.folder,
		Flags: entry.Flags, ReceivedAt: entry.ReceivedAt, Sender: entry.Sender,
	}
	mail.Raw = raw
	if e.unit.Kind == KindMaildir || e.unit.Kind == KindMH {
		mail.Raw, mail.Sender = message.SplitFromLine(raw)
	} else {
		mail.Identity = entry.ID
	}
	if len(mail.Raw) == 0 {
		e.reader.visitor.Failed(e.unit, place, errEmpty)
		return nil
	}
	if err := e.reader.visitor.Mail(ctx, mail); err != nil {
		return &visitorError{err}
	}
	return nil
}

func (e *entries) open(ctx context.Context, folder poller.Folder, entry poller.Entry) ([]byte, error) {
	body, err := folder.Open(ctx, entry)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return e.reader.readLimited(ctx, body, entry.Size)
}
