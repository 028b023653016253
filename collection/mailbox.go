package collection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"mailrow/poller"
	"mailrow/poller/babyl"
	"mailrow/poller/identity"
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
func (s *stream) readMailbox(m member, kind Kind, body io.Reader) error {
	mails := newMailfile(m.name, kind, body)
	folder := s.reader.folder(m.dir, s.reader.mailboxName(m))
	var first *Mail // kept back until there is a second
	for number := 1; ; number++ {
		found, err := mails.Next()
		if first != nil {
			if err == io.EOF {
				first.Folder = s.reader.folder(m.dir, "")
				if file, is := mails.(*mbox.Reader); is {
					first.Raw = append(first.Raw, file.Blank()...)
				}
			}
			first.Identity = identity.TextOf(first.Raw)
			if err := s.give(first); err != nil {
				return err
			}
			first = nil
		}
		if err == io.EOF {
			return nil
		}
		place := fmt.Sprintf("%s, mail %d", m.path, number)
		if err != nil {
			return within(err, place)
		}
		raw, err := s.reader.readLimited(s.ctx, mails, -1)
		if errors.Is(err, errTooLarge) {
			s.reader.visitor.Failed(s.unit, place, err)
			continue
		}
		if err != nil {
			return within(err, place)
		}
		if len(raw) == 0 {
			s.reader.visitor.Failed(s.unit, place, errEmpty)
			continue
		}
		mail := &Mail{
			Path: place, Folder: folder, Raw: raw, ModTime: m.modTime,
			Flags: found.Flags, ReceivedAt: found.ReceivedAt, Sender: found.Sender,
		}
		if number == 1 && mayBeOne(m.name) {
			first = mail
			continue
		}
		mail.Identity = identity.TextOf(mail.Raw)
		if err := s.give(mail); err != nil {
			return err
		}
	}
}

// mayBeOne tells names of files such as MH and others give to mails. One that begins
// with a From_ line and holds one mail is that mail, as an MTA would hand it over,
// and no mailbox.
func mayBeOne(name string) bool {
	return name != "" && name[0] >= '0' && name[0] <= '9' || isMailName(name)
}

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
	source, err := maildir.Open(p.path, maildir.Options{})
	unit := &Unit{Path: p.path, Kind: KindMaildir, Folder: r.folder(p.dir+"/cur", "")}
	return r.readSource(ctx, unit, source, err)
}

// readMH reads the mail of an MH folder, and of none below it.
func (r *Reader) readMH(ctx context.Context, p place) error {
	source, err := mh.Open(p.path)
	return r.readSource(ctx, &Unit{Path: p.path, Kind: KindMH, Folder: r.folder(p.dir, "")}, source, err)
}

// readSource reads that folder of a source that has no name, as a unit.
func (r *Reader) readSource(ctx context.Context, unit *Unit, source poller.Source, err error) error {
	if err != nil {
		r.visitor.Failed(unit.Within, unit.Path, plainReason(err))
		return nil
	}
	defer source.Close()
	past, err := r.visitor.Enter(ctx, unit)
	if err != nil {
		return err
	}
	in := entries{reader: r, unit: unit, past: past, path: unit.Path, folder: unit.Folder}
	revision, err := in.read(ctx, source)
	if err != nil {
		return err
	}
	// One that changed a moment ago is listed all the same, and what it has is counted.
	if past.Revision != "" && revision == past.Revision && in.number == 0 {
		r.visitor.Unchanged(unit)
		r.visitor.Advance(past.Bytes)
		return nil
	}
	r.visitor.Leave(unit, revision)
	return nil
}

// openMailfile opens a file of many mails, which other programs may write to.
func openMailfile(path string, kind Kind) (poller.Source, error) {
	switch kind {
	case KindMMDF:
		return mmdf.Open(path, mmdf.Options{})
	case KindBabyl:
		return babyl.Open(path, babyl.Options{})
	}
	return mbox.Open(path, mbox.Options{})
}

// readMailfile reads a file of many mails: by itself, or as a part of the folder
// that it is in where it is small.
func (r *Reader) readMailfile(ctx context.Context, m member, kind Kind, in *Unit, known func(string) bool) error {
	source, err := openMailfile(m.path, kind)
	folder := r.folder(m.dir, r.mailboxName(m))
	if in == nil || m.size > smallMailbox {
		return r.readSource(ctx, &Unit{Path: m.path, Kind: kind, Folder: folder, Within: in}, source, err)
	}
	if err != nil {
		r.visitor.Failed(in, m.path, plainReason(err))
		return nil
	}
	defer source.Close()
	part := entries{
		reader: r, unit: in, past: Past{Has: known}, path: m.path, folder: folder,
		prefix: m.name + "\x00", // the same mail may be in another file
	}
	_, err = part.read(ctx, source)
	r.visitor.Advance(max(0, m.size-part.size))
	return err
}

// holdsOne says whether there is but one mail in a file.
func holdsOne(m member, kind Kind) bool {
	f, err := os.Open(m.path)
	if err != nil {
		return false
	}
	defer f.Close()
	mails := newMailfile(m.name, kind, f)
	_, first := mails.Next()
	_, second := mails.Next()
	return first == nil && second == io.EOF
}
