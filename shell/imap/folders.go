package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mailrow/poller/imap/client"
	"mailrow/shell"
)

func (s *Session) selectFolder(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.opened(ctx, c, false)
}

func (s *Session) examine(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.opened(ctx, c, true)
}

func (s *Session) opened(ctx context.Context, c *shell.Call, readOnly bool) (shell.Result, error) {
	_, err := s.use(ctx, c)
	if err == nil {
		err = s.enter(ctx, c.Operands[0], readOnly)
	}
	if err != nil {
		return nil, errors.Join(err, s.leave(ctx, c))
	}
	f := s.folder
	how := ""
	if f.box.ReadOnly {
		how = ", to be read only"
	}
	return shell.Say(shell.Fields{
		"folder": f.name, "mails": f.exists, "uidvalidity": f.box.UIDValidity, "uidnext": f.box.UIDNext,
		"read_only": f.box.ReadOnly, "permanent_flags": append([]string{}, f.box.Permanent...),
	}, "folder %s has %s%s", f.name, shell.Count(int(f.exists), "mail"), how), nil
}

// leave leaves the folder where another could not be opened: what a script goes on
// with is not for this one. A person sees at the prompt where it is.
func (s *Session) leave(ctx context.Context, c *shell.Call) error {
	if s.folder == nil || c.Interactive() {
		return nil
	}
	s.folder, s.found = nil, nil
	if !s.live() {
		return nil
	}
	return s.unselect(ctx, s.conn)
}

// enter opens a folder that somebody has named.
func (s *Session) enter(ctx context.Context, name string, readOnly bool) error {
	wire, err := s.existing(ctx, name)
	if err != nil {
		return err
	}
	return s.open(ctx, s.ns.Display(s.conn, client.Listed{Name: wire, Delimiter: s.ns.Delimiter}), wire, readOnly)
}

type listing struct {
	Folders []listed `json:"folders"`
}

type listed struct {
	Name       string   `json:"name"`
	Wire       string   `json:"wire"` // as the server spells it
	Delimiter  string   `json:"delimiter,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
}

func (l listing) Words() string {
	if len(l.Folders) == 0 {
		return "no folder\n"
	}
	var rows [][]string
	for _, f := range l.Folders {
		rows = append(rows, []string{f.Name, strings.Join(f.Attributes, " ")})
	}
	return shell.Table("FOLDER ATTRIBUTES", rows)
}

func (s *Session) listAll(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.listing(ctx, c, (*client.Conn).List)
}

func (s *Session) listSubscribed(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.listing(ctx, c, (*client.Conn).Subscribed)
}

func (s *Session) listing(ctx context.Context, c *shell.Call, list func(*client.Conn, context.Context, string) ([]client.Listed, error)) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	patterns := []string{"*"}
	if len(c.Operands) == 1 {
		wire := s.ns.Spell(conn, c.Operands[0])
		patterns = slices.Compact([]string{wire, s.ns.Own(wire)})
	}
	result := listing{Folders: []listed{}}
	for _, pattern := range patterns {
		found, err := list(conn, ctx, pattern)
		if err != nil {
			return nil, err
		}
		for _, l := range found {
			one := listed{s.ns.Display(conn, l), l.Name, l.Delimiter, l.Attributes}
			if !slices.ContainsFunc(result.Folders, func(other listed) bool { return other.Wire == l.Name }) {
				result.Folders = append(result.Folders, one)
			}
		}
	}
	slices.SortFunc(result.Folders, func(a, b listed) int { return strings.Compare(a.Name, b.Name) })
	return result, nil
}

// counted are numbers that STATUS gives.
var counted = []string{"MESSAGES", "UNSEEN", "RECENT", "UIDNEXT", "UIDVALIDITY"}

func (s *Session) status(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	name := ""
	switch {
	case len(c.Operands) == 1:
		name = c.Operands[0]
	case s.folder != nil:
		name = s.folder.name
	default:
		return nil, errors.New("no folder is selected: name one")
	}
	wire, err := s.existing(ctx, name)
	if err != nil {
		return nil, err
	}
	numbers, err := s.count(ctx, conn, wire)
	if err != nil {
		return nil, err
	}
	fields := shell.Fields{"folder": name, "mails": numbers["MESSAGES"]}
	for item, n := range numbers {
		if item != "MESSAGES" {
			fields[strings.ToLower(item)] = n
		}
	}
	text := fmt.Sprintf("folder %s has %s, %d unseen", name, shell.Count(int(numbers["MESSAGES"]), "mail"), numbers["UNSEEN"])
	if size, ok := numbers["SIZE"]; ok {
		text += ", " + shell.Bytes(size)
	}
	return shell.Say(fields, "%s; the next UID is %d (UIDVALIDITY %d)", text, numbers["UIDNEXT"], numbers["UIDVALIDITY"]), nil
}

// count asks for the numbers of a folder (RFC 9051 6.3.11).
func (s *Session) count(ctx context.Context, conn *client.Conn, wire string) (map[string]int64, error) {
	items := slices.Clone(counted)
	if conn.Has("STATUS=SIZE") {
		items = append(items, "SIZE")
	}
	if conn.Has("CONDSTORE") {
		items = append(items, "HIGHESTMODSEQ")
	}
	numbers := map[string]int64{}
	cmd := client.NewCommand("STATUS ").AddName(wire).Add(" (" + strings.Join(items, " ") + ")")
	cmd.Take = func(r *client.Response) bool {
		if r.Name != "STATUS" {
			return false
		}
		for _, list := range r.Tokens() {
			for i := 0; i+1 < len(list.List); i += 2 {
				if n, err := strconv.ParseInt(list.List[i+1].Text, 10, 64); err == nil {
					numbers[strings.ToUpper(list.List[i].Text)] = n
				}
			}
		}
		return true
	}
	err := conn.Do(ctx, cmd)
	return numbers, err
}

func (s *Session) create(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	name := c.Operands[0]
	wire, there, err := s.wire(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case there:
		return nil, fmt.Errorf("there is a folder %q already", name)
	}
	s.listed = nil
	if err := conn.Create(ctx, wire); err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"folder": name, "wire": wire}, "made folder %s", name), nil
}

func (s *Session) deleteFolder(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	name := c.Operands[0]
	wire, err := s.existing(ctx, name)
	if err != nil {
		return nil, err
	}
	mails := int64(0)
	if !slices.ContainsFunc(s.listed, func(k known) bool { return k.Name == wire && !k.Selectable() }) {
		numbers, err := s.count(ctx, conn, wire)
		if err != nil {
			return nil, err
		}
		mails = numbers["MESSAGES"]
	}
	if err := c.Confirm(ctx, "delete folder %s with %s", name, shell.Count(int(mails), "mail")); err != nil {
		return nil, err
	}
	if s.folder != nil && s.folder.wire == wire {
		s.folder, s.found = nil, nil
		if err := s.unselect(ctx, conn); err != nil {
			return nil, err
		}
	}
	s.listed = nil
	if err := conn.Do(ctx, client.NewCommand("DELETE ").AddName(wire)); err != nil {
		return nil, err
	}
	_ = conn.Do(ctx, client.NewCommand("UNSUBSCRIBE ").AddName(wire)) // or it never was
	return shell.Say(shell.Fields{"folder": name, "mails": mails}, "deleted folder %s with %s", name, shell.Count(int(mails), "mail")), nil
}

// unselect leaves the folder without removing anything there, as CLOSE would. Who
// has no UNSELECT (RFC 3691) leaves it by failing to open another.
func (s *Session) unselect(ctx context.Context, conn *client.Conn) error {
	if conn.Has("UNSELECT") {
		return conn.Do(ctx, client.NewCommand("UNSELECT"))
	}
	var refused *client.RefusedError
	if err := conn.Do(ctx, client.NewCommand("EXAMINE ").AddName("")); err != nil && !errors.As(err, &refused) {
		return err
	}
	return nil
}

func (s *Session) rename(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	from, to := c.Operands[0], c.Operands[1]
	wire, err := s.existing(ctx, from)
	if err != nil {
		return nil, err
	}
	target, there, err := s.wire(ctx, to)
	switch {
	case err != nil:
		return nil, err
	case there:
		return nil, fmt.Errorf("there is a folder %q already", to)
	}
	if err := conn.Do(ctx, client.NewCommand("RENAME ").AddName(wire).Add(" ").AddName(target)); err != nil {
		return nil, err
	}
	s.listed = nil
	if s.folder != nil && s.folder.wire == wire {
		s.folder.name, s.folder.wire = to, target
	}
	return shell.Say(shell.Fields{"folder": from, "to": to}, "folder %s is now %s", from, to), nil
}

func (s *Session) subscribe(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.onFolder(ctx, c, "SUBSCRIBE", "subscribed to %s")
}

func (s *Session) unsubscribe(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.onFolder(ctx, c, "UNSUBSCRIBE", "no longer subscribed to %s")
}

func (s *Session) onFolder(ctx context.Context, c *shell.Call, command, said string) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	wire, _, err := s.wire(ctx, c.Operands[0]) // one that was deleted may be subscribed to
	if err != nil {
		return nil, err
	}
	if err := conn.Do(ctx, client.NewCommand(command+" ").AddName(wire)); err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"folder": c.Operands[0]}, said, c.Operands[0]), nil
}
