package imap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mailrow/message"
	"mailrow/poller/imap/client"
	"mailrow/shell"
)

// changes are what can be done with flags.
var changes = map[string]string{"add": "+FLAGS", "remove": "-FLAGS", "set": "FLAGS"}

func (s *Session) flags(ctx context.Context, c *shell.Call) (shell.Result, error) {
	use := s.changing
	if len(c.Operands) == 1 {
		use = s.selected
	}
	conn, err := use(ctx, c)
	if err != nil {
		return nil, err
	}
	change := ""
	if len(c.Operands) > 1 {
		item, known := changes[strings.ToLower(c.Operands[1])]
		if !known || item != "FLAGS" && len(c.Operands) == 2 {
			return nil, fmt.Errorf(`%s: write flags UIDS add \Seen, or remove, or set`, strings.Join(c.Operands[1:], " "))
		}
		list, err := flagList(c.Operands[2:])
		if err != nil {
			return nil, err
		}
		change = item + ".SILENT " + list
	}
	uids, err := s.these(ctx, conn, c.Operands[0])
	if err != nil {
		return nil, err
	}
	var marked []shell.Mail
	err = each(uids, func(set string) error {
		if change != "" {
			if err := conn.Store(ctx, set, change); err != nil {
				return err
			}
		}
		mails, err := list(ctx, conn, set, "")
		marked = append(marked, mails...)
		return err
	})
	return shell.FlagsOf(s.folder.name, marked, func(m shell.Mail) (uint32, []string) { return m.UID, m.Flags }), err
}

// flagList writes flags as IMAP does; each is an atom (RFC 9051 9).
func flagList(flags []string) (string, error) {
	for _, flag := range flags {
		name := strings.TrimPrefix(flag, `\`)
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }) {
			return "", fmt.Errorf(`%q is no flag: write \Seen, \Answered, \Flagged, \Draft, \Deleted or a word`, flag)
		}
	}
	return "(" + strings.Join(flags, " ") + ")", nil
}

func (s *Session) copy(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.selected(ctx, c)
	if err != nil {
		return nil, err
	}
	uids, wire, err := s.there(ctx, conn, c)
	if err != nil {
		return nil, err
	}
	copied, err := into(ctx, conn, "UID COPY", uids, wire)
	return transfer(copied, "copied", c.Operands[1]), err
}

// there are the mails that go to another folder, and that.
func (s *Session) there(ctx context.Context, conn *client.Conn, c *shell.Call) (uids []uint32, wire string, err error) {
	if wire, err = s.existing(ctx, c.Operands[1]); err != nil {
		return nil, "", err
	}
	uids, err = s.these(ctx, conn, c.Operands[0])
	return uids, wire, err
}

// moved are the UIDs of mails, before and after.
type moved struct {
	count    int
	from, to []string // empty where the server has no UIDPLUS
}

func transfer(m moved, what, folder string) shell.Result {
	fields := shell.Fields{"folder": folder, "mails": m.count}
	where := ""
	if len(m.to) > 0 {
		fields["from_uids"], fields["to_uids"] = strings.Join(m.from, ","), strings.Join(m.to, ",")
		where = ", where the UIDs are " + strings.Join(m.to, ",")
	}
	return shell.Say(fields, "%s %s to %s%s", what, shell.Count(m.count, "mail"), folder, where)
}

// into copies or moves. After an error it says how many of the mails are there.
func into(ctx context.Context, conn *client.Conn, command string, uids []uint32, wire string) (m moved, err error) {
	err = each(uids, func(set string) error {
		cmd := client.NewCommand(command + " " + set + " ").AddName(wire)
		var code string
		cmd.Take = func(r *client.Response) bool { // MOVE says it before (RFC 6851 4.3)
			if r.Code == "COPYUID" {
				code = r.CodeArgs
			}
			return r.Code == "COPYUID"
		}
		if err := conn.Do(ctx, cmd); err != nil {
			return err
		}
		if cmd.Result.Code == "COPYUID" {
			code = cmd.Result.CodeArgs
		}
		m.count += client.ParseSet(set).Count()
		if words := strings.Fields(code); len(words) == 3 {
			m.from, m.to = append(m.from, words[1]), append(m.to, words[2])
		}
		return nil
	})
	return m, err
}

func (s *Session) move(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.changing(ctx, c)
	if err != nil {
		return nil, err
	}
	uids, wire, err := s.there(ctx, conn, c)
	switch {
	case err != nil:
		return nil, err
	case wire == s.folder.wire:
		return nil, errors.New("the mails are in that folder already")
	case conn.Has("MOVE"):
		m, err := into(ctx, conn, "UID MOVE", uids, wire)
		return transfer(m, "moved", c.Operands[1]), err
	case !conn.Has("UIDPLUS"):
		return nil, errors.New(`the server can neither move mails nor remove some alone (it has no MOVE and no UIDPLUS): copy them, then flags UIDS add \Deleted, then expunge, which removes all that are marked`)
	}
	m, err := into(ctx, conn, "UID COPY", uids, wire)
	if err != nil {
		return transfer(m, "copied", c.Operands[1]), err
	}
	err = each(uids, func(set string) error {
		if err := conn.Store(ctx, set, `+FLAGS.SILENT (\Deleted)`); err != nil {
			return err
		}
		return conn.Do(ctx, client.NewCommand("UID EXPUNGE "+set))
	})
	if err != nil {
		return transfer(m, "copied", c.Operands[1]), err
	}
	return transfer(m, "moved", c.Operands[1]), nil
}

func (s *Session) expunge(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.changing(ctx, c)
	if err != nil {
		return nil, err
	}
	marked, err := conn.Search(ctx, false, client.NewCommand(" DELETED"))
	if err != nil {
		return nil, err
	}
	uids, some := numbers(marked), len(c.Operands) == 1
	if some {
		if uids, err = s.these(ctx, conn, c.Operands[0]); err != nil {
			return nil, err
		}
		for _, uid := range uids {
			if !marked.Contains(uid) {
				return nil, fmt.Errorf(`mail %d is not marked: flags %[1]d add \Deleted, then expunge`, uid)
			}
		}
	}
	done := func() shell.Result {
		return shell.Say(shell.Fields{"folder": s.folder.name, "mails": len(uids), "uids": client.Set(uids)},
			"removed %s from %s", shell.Count(len(uids), "mail"), s.folder.name)
	}
	switch {
	case len(uids) == 0:
		return done(), nil
	case some && len(uids) < marked.Count() && !conn.Has("UIDPLUS"):
		return nil, fmt.Errorf("the server removes marked mails only all together (it has no UIDPLUS), and %d are marked", marked.Count())
	}
	if err := c.Confirm(ctx, "remove %s from %s for good", shell.Count(len(uids), "mail"), s.folder.name); err != nil {
		return nil, err
	}
	if !conn.Has("UIDPLUS") {
		err = conn.Do(ctx, client.NewCommand("EXPUNGE"))
	} else {
		// Those that were counted, and none that somebody marks meanwhile.
		err = each(uids, func(set string) error { return conn.Do(ctx, client.NewCommand("UID EXPUNGE "+set)) })
	}
	if err != nil {
		return nil, err
	}
	return done(), nil
}

func (s *Session) append(ctx context.Context, c *shell.Call) (shell.Result, error) {
	mail, at, err := readMail(c.Operands[1])
	if err != nil {
		return nil, err
	}
	var flags []string
	for _, word := range c.Operands[2:] {
		date, is := strings.CutPrefix(word, "date=")
		if !is {
			flags = append(flags, word)
		} else if at, err = readDate(date); err != nil {
			return nil, err
		}
	}
	list, err := flagList(flags)
	if err != nil {
		return nil, err
	}
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	name := c.Operands[0]
	wire, err := s.existing(ctx, name)
	if err != nil {
		return nil, err
	}
	cmd := client.NewCommand("APPEND ").AddName(wire).Add(" " + list + " \"" + at.Format("_2-Jan-2006 15:04:05 -0700") + "\" ").AddLiteral(mail)
	if err := conn.Do(ctx, cmd); err != nil {
		return nil, err
	}
	fields := shell.Fields{"folder": name, "size": len(mail), "received_at": at}
	where := ""
	if words := strings.Fields(cmd.Result.CodeArgs); cmd.Result.Code == "APPENDUID" && len(words) == 2 {
		fields["uid"], where = words[1], " as UID "+words[1]
		if uid, ok := client.Uint32(words[1]); ok {
			fields["uid"] = uid
		}
	}
	return shell.Say(fields, "put %s into %s%s", shell.Bytes(int64(len(mail))), name, where), nil
}

// readMail reads a file as a mail for a server, and when it was written.
func readMail(path string) (mail string, at time.Time, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", at, fmt.Errorf("read mail: %w", err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", at, fmt.Errorf("read mail: %w", err)
	}
	switch raw, _ = message.SplitFromLine(raw); {
	case len(raw) == 0:
		return "", at, fmt.Errorf("read mail %s: the file is empty", path)
	case !message.BeginsWithField(raw):
		return "", at, fmt.Errorf("read mail %s: it does not begin with a header field", path)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n", "\r\n"), info.ModTime(), nil
}

func readDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("date=%s is no date: write 2026-01-31 or 2026-01-31T10:00:00+01:00", text)
}
