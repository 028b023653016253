package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"mailrow/poller/imap"
	"mailrow/poller/imap/client"
	"mailrow/shell"
)

// together is how many mails are asked for at a time.
const together = 500

func (s *Session) search(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.selected(ctx, c)
	if err != nil {
		return nil, err
	}
	s.found = nil // also where this fails
	words := c.Text
	if words == "" {
		words = "ALL"
	}
	criteria, err := imap.Criteria(words)
	if err != nil {
		return nil, err
	}
	found, err := conn.Search(ctx, false, criteria)
	if err != nil {
		return nil, err
	}
	s.found = numbers(found)
	return shell.Found(s.folder.name, s.found), nil
}

func numbers(found client.Ranges) []uint32 {
	var all []uint32
	for _, span := range found {
		for n := uint64(span[0]); n <= uint64(span[1]) && n <= math.MaxUint32; n++ {
			all = append(all, uint32(n))
		}
	}
	return all
}

// these are the mails that are meant, of those that are there.
func (s *Session) these(ctx context.Context, conn *client.Conn, text string) ([]uint32, error) {
	uids, err := shell.ParseUIDs(text, s.found)
	if err != nil {
		return nil, err
	}
	var there []uint32
	for set := range parts(uids.String()) {
		found, err := conn.Search(ctx, false, client.NewCommand(" UID "+set))
		if err != nil {
			return nil, err
		}
		there = append(there, numbers(found)...)
	}
	return uids.Some(there, s.folder.name)
}

// parts divides a long set into such as servers take in one line.
func parts(set string) iter.Seq[string] {
	return func(yield func(string) bool) {
		const most = 4000
		for len(set) > most {
			at := strings.LastIndexByte(set[:most], ',')
			if at < 0 || !yield(set[:at]) {
				return
			}
			set = set[at+1:]
		}
		yield(set)
	}
}

// each does something with mails, in sets that servers take.
func each(uids []uint32, do func(set string) error) error {
	for piece := range client.ParseSet(client.Set(uids)).Pieces(together) {
		if err := do(piece.String()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) fetch(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.selected(ctx, c)
	if err != nil {
		return nil, err
	}
	result := shell.Mails{Folder: s.folder.name, Mails: []shell.Mail{}}
	which := "all"
	if len(c.Operands) == 1 {
		which = c.Operands[0]
	} else if s.folder.exists == 0 {
		return result, nil
	}
	uids, err := s.these(ctx, conn, which)
	if err != nil {
		s.found = nil
		return nil, err
	}
	err = each(uids, func(set string) error {
		mails, err := list(ctx, conn, set, " BODY.PEEK[HEADER.FIELDS ("+shell.HeaderFields+")]<0.16384>")
		result.Mails = append(result.Mails, mails...)
		return err
	})
	if s.found = uids; err != nil && len(result.Mails) == 0 {
		return nil, err
	}
	return result, err
}

// list gives mails with what is asked for besides size, flags and date.
func list(ctx context.Context, conn *client.Conn, set, more string) ([]shell.Mail, error) {
	var mails []shell.Mail
	cmd := client.NewCommand("UID FETCH " + set + " (UID FLAGS INTERNALDATE RFC822.SIZE" + more + ")")
	cmd.Take = func(r *client.Response) bool {
		f := r.Fetch
		if f == nil || f.UID == 0 || f.Size < 0 {
			return false // of flags that somebody else has changed
		}
		// \Recent says something of the session, not of the mail.
		flags := slices.DeleteFunc(f.Flags, func(flag string) bool { return strings.EqualFold(flag, `\Recent`) })
		m := shell.Mail{UID: f.UID, Size: f.Size, Flags: flags}
		if !f.Date.IsZero() {
			m.ReceivedAt = &f.Date
		}
		if f.Header != nil {
			m.Read(f.Header)
		}
		mails = append(mails, m)
		return true
	}
	err := conn.Do(ctx, cmd)
	return mails, err
}

// one is the mail that an operand names.
func (s *Session) one(ctx context.Context, conn *client.Conn, text string) (uint32, error) {
	uids, err := s.these(ctx, conn, text)
	if err == nil && len(uids) > 1 {
		err = fmt.Errorf("%s are %d mails: name one", text, len(uids))
	}
	if err != nil {
		return 0, err
	}
	return uids[0], nil
}

func (s *Session) show(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.selected(ctx, c)
	if err != nil {
		return nil, err
	}
	uid, err := s.one(ctx, conn, c.Operands[0])
	if err != nil {
		return nil, err
	}
	set := client.Set([]uint32{uid})
	mails, err := list(ctx, conn, set, "")
	if err != nil {
		return nil, err
	}
	m := shell.Mail{UID: uid}
	if len(mails) > 0 {
		m = mails[0]
		m.Size = 0 // what the server says may be wrong
	}
	var raw []byte
	err = bodies(ctx, conn, set, func(_ uint32, body io.Reader) (err error) {
		raw, err = io.ReadAll(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	form := ""
	if len(c.Operands) == 2 {
		form = c.Operands[1]
	}
	return shell.Show(m, raw, form)
}

func (s *Session) save(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.selected(ctx, c)
	if err != nil {
		return nil, err
	}
	uids, err := s.these(ctx, conn, c.Operands[0])
	if err != nil {
		return nil, err
	}
	saved := &shell.Saved{}
	for _, uid := range uids {
		err := bodies(ctx, conn, client.Set([]uint32{uid}), func(uid uint32, body io.Reader) error {
			return saved.Save(c.Operands[1], uid, body)
		})
		if err != nil {
			return saved, err
		}
	}
	return saved, nil
}

// bodies gives the bytes of one mail to use, and leaves no trace.
func bodies(ctx context.Context, conn *client.Conn, uid string, use func(uint32, io.Reader) error) error {
	cmd := client.NewCommand("UID FETCH " + uid + " (UID BODY.PEEK[])")
	if err := conn.Send(ctx, cmd); err != nil {
		return err
	}
	n, _ := client.Uint32(uid) // it is one
	came := false
	var failed error
	for cmd.Result == nil {
		r, err := conn.Next(ctx)
		if err != nil {
			return err
		}
		if r.Fetch == nil || r.Fetch.Body == nil || came {
			continue
		}
		if came = !r.Fetch.Body.Missing; came {
			failed = use(n, r.Fetch.Body) // what is unread is skipped
		}
	}
	if err := conn.Wait(ctx, cmd); err != nil {
		return err
	}
	if !came {
		failed = errors.New("the server gives no text for mail " + uid)
	}
	return failed
}
