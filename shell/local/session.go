// Package local is a session with a mailbox in the files of this machine, of any
// kind that the poller reads.
//
// Its law: looking changes nothing, and takes locks only where the form of the
// mailbox wants it, for a moment; each command looks anew, and a mail keeps the number
// that it had first.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mailrow/poller"
	"mailrow/shell"
)

// Session is with one source.
type Session struct {
	source   poller.Source
	kind     string
	folder   poller.Folder
	name     string // of the folder
	numbers  map[key]uint32
	highest  map[string]uint32 // by folder
	found    []uint32
	commands []shell.Command
}

// key is the id of a mail; of several that are the same, which.
type key struct {
	folder, id string
	nth        int
}

// mail is an entry, by its number.
type mail struct {
	number uint32
	poller.Entry
}

var _ shell.Mailbox = (*Session)(nil)

// New is a session with a source of a kind, in the first folder that its URI means.
func New(ctx context.Context, source poller.Source, u poller.URI) (*Session, error) {
	s := &Session{source: source, kind: u.Kind, numbers: map[key]uint32{}, highest: map[string]uint32{}}
	s.commands = s.all()
	names, err := source.Folders(ctx, u.Folders)
	if err != nil {
		if len(u.Folders) > 0 {
			return nil, err
		}
		return s, nil // it has folders, and none without a name
	}
	if len(names) > 0 {
		return s, s.open(ctx, names[0])
	}
	return s, nil
}

func (s *Session) open(ctx context.Context, name string) error {
	f, err := s.source.Folder(ctx, name)
	if err != nil {
		return err
	}
	if s.folder != nil {
		_ = s.folder.Close() // it was only read
	}
	s.folder, s.name, s.found = f, name, nil
	return nil
}

// list looks which mails there are.
func (s *Session) list(ctx context.Context) ([]mail, error) {
	if s.folder == nil {
		return nil, errors.New("no folder is selected: list shows them, select opens one")
	}
	mails, err := s.listOnce(ctx)
	var broken *poller.BrokenError
	if errors.As(err, &broken) { // somebody has replaced the file
		if err := s.open(ctx, s.name); err != nil {
			return nil, err
		}
		return s.listOnce(ctx)
	}
	return mails, err
}

func (s *Session) listOnce(ctx context.Context) ([]mail, error) {
	listing, err := s.folder.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var mails []mail
	seen := map[string]int{}
	for e, err := range listing.Entries {
		if err != nil {
			return nil, err
		}
		k := key{s.name, e.ID, seen[e.ID]}
		seen[e.ID]++
		n, known := s.numbers[k]
		if !known {
			s.highest[s.name]++
			n = s.highest[s.name]
			s.numbers[k] = n
		}
		mails = append(mails, mail{n, e})
	}
	return mails, nil
}

// these are the mails that an operand means, of those that are there.
func (s *Session) these(ctx context.Context, text string) ([]mail, error) {
	uids, err := shell.ParseUIDs(text, s.found)
	if err != nil {
		return nil, err
	}
	mails, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var there []uint32
	byNumber := map[uint32]mail{}
	for _, m := range mails {
		there = append(there, m.number)
		byNumber[m.number] = m
	}
	meant, err := uids.Some(there, s.name)
	var some []mail
	for _, n := range meant {
		some = append(some, byNumber[n])
	}
	return some, err
}

// one is these where that has to be one mail.
func (s *Session) one(ctx context.Context, text string) (mail, error) {
	mails, err := s.these(ctx, text)
	if err == nil && len(mails) > 1 {
		err = fmt.Errorf("%s are %d mails: name one", text, len(mails))
	}
	if err != nil {
		return mail{}, err
	}
	return mails[0], nil
}

func entries(mails []mail) []poller.Entry {
	var all []poller.Entry
	for _, m := range mails {
		all = append(all, m.Entry)
	}
	return all
}

// described is a mail as a list has it, but for its header.
func described(m mail) shell.Mail {
	one := shell.Mail{UID: m.number, ID: m.ID, Size: m.Size, Flags: m.Flags}
	if at := m.ReceivedAt; !at.IsZero() {
		at = at.Truncate(time.Second)
		one.ReceivedAt = &at
	}
	return one
}

// read gives at most so many bytes of a mail.
func (s *Session) read(ctx context.Context, m mail, most int64) ([]byte, error) {
	r, err := s.folder.Open(ctx, m.Entry)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, most))
}

// Prompt is the folder.
func (s *Session) Prompt() string {
	if s.folder == nil {
		return s.kind
	}
	return s.name
}

// Folders are those of the source.
func (s *Session) Folders(ctx context.Context) []string {
	names, err := s.source.Folders(ctx, []string{"*"})
	if err != nil {
		return nil
	}
	return names
}

// Commands are those for files.
func (s *Session) Commands() []shell.Command { return s.commands }

// Close closes the folder and the source.
func (s *Session) Close(context.Context, bool) (string, error) {
	var err error
	if s.folder != nil {
		err = s.folder.Close()
	}
	return "", errors.Join(err, s.source.Close())
}

// Instead names what other mailboxes have.
func (s *Session) Instead() map[string]string {
	all := map[string]string{
		"copy":    "files are copied by save UIDS PATH; move moves mails to another folder",
		"append":  "mails are only read here: mailrow export writes mailboxes",
		"expunge": "there are no marks here: dele UIDS removes mails",
		"stat":    "status counts the mails",
		"top":     "show UID headers shows the header",
		"retr":    "show UID raw shows a mail as it is",
		"uidl":    "fetch lists the mails; with --json their ids too",
		"lsub":    "there are no subscriptions here: list lists the folders",
	}
	for _, name := range []string{"login", "logout", "capability", "capa", "noop", "namespace", "quota", "acl", "raw", "rset"} {
		all[name] = "there is no server here, only files"
	}
	for _, name := range []string{"create", "delete", "rename", "subscribe", "unsubscribe"} {
		all[name] = "folders are files and directories here: change them with other programs"
	}
	return all
}
