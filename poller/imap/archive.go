package imap

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"mailrow/poller"
	"mailrow/poller/imap/client"
)

// archiving is the keyword of mails that are being copied by a server without
// MOVE. Those that have it when we come may have been copied before a crash.
const archiving = "$MailrowArchiving"

// Archive moves mails by MOVE (RFC 6851), which a crash cannot divide. Where there
// is none, they are copied, and only then removed; copies of an earlier attempt
// are found by their bytes.
func (f *Folder) Archive(ctx context.Context, entries []poller.Entry, folder string) error {
	what := fmt.Sprintf("move mail to folder %q from", folder)
	wire, err := f.s.archive(ctx, folder)
	if err != nil {
		return f.fault(what, err)
	}
	if wire == f.wire {
		return fmt.Errorf("%s %s: it is the same folder: name another with archive=", what, f)
	}
	return f.change(ctx, what, entries, func(uids []uint32) error {
		if f.conn.Has("MOVE") {
			return f.into(ctx, "UID MOVE", uids, wire)
		}
		return f.copyOver(ctx, uids, wire)
	})
}

// archive finds how the server calls a folder, which may not exist yet.
func (s *Source) archive(ctx context.Context, folder string) (string, error) {
	if wire, ok := s.names[folder]; ok {
		return wire, nil
	}
	if err := s.alive(ctx); err != nil {
		return "", err
	}
	wire := s.ns.Spell(s.conn, unquote(folder))
	if strings.ContainsAny(wire, "*%") {
		return "", fmt.Errorf("%q has a wildcard in it: archive= names one folder", folder)
	}
	own := s.ns.Own(wire)
	for _, name := range []string{wire, own} {
		found, err := s.list(ctx, name)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			s.names[folder] = found[0].Name
			return found[0].Name, nil
		}
	}
	if err := s.conn.Create(ctx, own); err != nil {
		return "", err
	}
	s.names[folder] = own
	return own, nil
}

// into moves or copies. A folder that somebody has removed is made once more.
func (f *Folder) into(ctx context.Context, how string, uids []uint32, wire string) error {
	for again := false; ; again = true {
		err := f.conn.Do(ctx, client.NewCommand(how+" "+client.Set(uids)+" ").AddName(wire))
		if again || !refused(err, "TRYCREATE", "NONEXISTENT") {
			return err
		}
		if err := f.conn.Create(ctx, wire); err != nil {
			return err
		}
	}
}

func (f *Folder) copyOver(ctx context.Context, uids []uint32, wire string) error {
	suspects := uids
	keywords := f.box.Keywords()
	if keywords {
		marked, err := f.conn.Search(ctx, false, client.NewCommand(" KEYWORD "+archiving))
		if err != nil {
			return err
		}
		suspects = within(uids, marked.Contains)
		if err := f.conn.Store(ctx, client.Set(uids), "+FLAGS.SILENT ("+archiving+")"); err != nil {
			return err
		}
	}
	copied, err := f.copied(ctx, suspects, wire)
	if err != nil {
		return err
	}
	left := within(uids, func(uid uint32) bool { return !copied[uid] })
	if len(left) > 0 {
		if err := f.into(ctx, "UID COPY", left, wire); err != nil {
			return err
		}
	}
	if err := f.expunge(ctx, uids); err != nil || !keywords {
		return err
	}
	return f.unmark(ctx, wire)
}

func within(uids []uint32, yes func(uint32) bool) (some []uint32) {
	for _, uid := range uids {
		if yes(uid) {
			some = append(some, uid)
		}
	}
	return some
}

// unmark takes the keyword, which was copied too, from the mails in the archive.
func (f *Folder) unmark(ctx context.Context, wire string) error {
	c := f.conn
	f.s.selected = nil // until the folder is opened again
	if _, err := c.Select(ctx, wire, false); err != nil {
		return err
	}
	marked, err := c.Search(ctx, false, client.NewCommand(" KEYWORD "+archiving))
	if err != nil {
		return err
	}
	for some := range marked.Pieces(together) {
		if err := c.Store(ctx, some.String(), "-FLAGS.SILENT ("+archiving+")"); err != nil {
			return err
		}
	}
	return f.selectIt(ctx, false)
}

// content is what a mail is recognised by.
type content struct {
	size int64
	sum  [sha256.Size]byte
}

// copied says which of the mails are in the archive already, each copy standing
// for one of them.
func (f *Folder) copied(ctx context.Context, uids []uint32, wire string) (map[uint32]bool, error) {
	found := map[uint32]bool{}
	if len(uids) == 0 {
		return found, nil
	}
	here, err := f.s.contents(ctx, client.Set(uids))
	if err != nil {
		return nil, err
	}
	c := f.conn
	f.s.selected = nil
	if _, err := c.Select(ctx, wire, true); err != nil {
		return nil, err
	}
	copies := map[content]int{}
	sizes := map[int64]bool{}
	for _, mail := range here {
		if sizes[mail.size] {
			continue
		}
		sizes[mail.size] = true
		same, err := c.Search(ctx, false, client.NewCommand(fmt.Sprintf(" LARGER %d SMALLER %d", max(mail.size-1, 0), mail.size+1)))
		if err != nil {
			return nil, err
		}
		for some := range same.Pieces(together) {
			there, err := f.s.contents(ctx, some.String())
			if err != nil {
				return nil, err
			}
			for _, mail := range there {
				copies[mail]++
			}
		}
	}
	for _, uid := range uids {
		if mail, ok := here[uid]; ok && copies[mail] > 0 {
			copies[mail]--
			found[uid] = true
		}
	}
	return found, f.selectIt(ctx, false)
}

// contents reads mails of the folder that is open.
func (s *Source) contents(ctx context.Context, set string) (map[uint32]content, error) {
	all := map[uint32]content{}
	spill := s.conn.Spill
	defer func() { s.conn.Spill = spill }()
	s.conn.Spill = func(fetch *client.Fetch) error {
		if fetch.Body.Missing {
			return nil
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, fetch.Body); err != nil {
			return err
		}
		all[fetch.UID] = content{fetch.Size, [sha256.Size]byte(sum.Sum(nil))}
		return nil
	}
	err := s.conn.Do(ctx, client.NewCommand("UID FETCH "+set+" (UID RFC822.SIZE BODY.PEEK[])"))
	return all, err
}
