package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Begin is for the moment after the login: enables what changes no meaning but
// makes answers truer, says who we are where servers want to know, and asks for the
// namespace. A refusal of any is none of ours.
func (c *Conn) Begin(ctx context.Context) (*Namespace, error) {
	defer c.guard(ctx)()
	ns := &Namespace{}
	var cmds []*Command
	if c.Has("ENABLE") && c.Has("UTF8=ACCEPT") {
		// Else a server may rewrite a mail with UTF-8 in its header (RFC 6855 5).
		cmds = append(cmds, NewCommand("ENABLE UTF8=ACCEPT"))
	}
	if c.Has("ID") {
		cmds = append(cmds, NewCommand(`ID ("name" "mailrow")`)) // some Chinese providers insist on it
	}
	if c.Has("NAMESPACE") {
		cmds = append(cmds, ns.command())
	} else {
		cmds = append(cmds, ns.listCommand())
	}
	for _, cmd := range cmds {
		if err := c.send(cmd); err != nil {
			return nil, c.told(ctx, err)
		}
	}
	for _, cmd := range cmds {
		var refused *RefusedError
		if err := c.wait(cmd); err != nil && !errors.As(err, &refused) {
			return nil, c.told(ctx, err)
		}
	}
	return ns, nil
}

// Namespace is where our own mailboxes are (RFC 2342).
type Namespace struct {
	Prefix    string // "" or such as "INBOX."
	Delimiter string // "" where there are no levels
}

func (ns *Namespace) command() *Command {
	cmd := NewCommand("NAMESPACE")
	cmd.Take = func(r *Response) bool {
		if r.Name != "NAMESPACE" {
			return false
		}
		// ((("INBOX." ".") …) …)
		if all := r.Tokens(); len(all) > 0 && len(all[0].List) > 0 && len(all[0].List[0].List) > 1 {
			own := all[0].List[0].List
			ns.Prefix = own[0].Text
			if !own[1].Nil() {
				ns.Delimiter = own[1].Text
			}
		}
		return true
	}
	return cmd
}

// listCommand asks for the delimiter alone.
func (ns *Namespace) listCommand() *Command {
	cmd := NewCommand(`LIST "" ""`)
	cmd.Take = func(r *Response) bool {
		if r.Name != "LIST" {
			return false
		}
		if l, ok := readListed(r); ok {
			ns.Delimiter = l.Delimiter
		}
		return true
	}
	return cmd
}

// Listed is a mailbox as LIST gives it.
type Listed struct {
	Name       string // as the server spells it
	Delimiter  string
	Attributes []string // in lower case: \noselect
}

// Selectable says whether mail can be in it.
func (l Listed) Selectable() bool {
	return !slices.Contains(l.Attributes, `\noselect`) && !slices.Contains(l.Attributes, `\nonexistent`)
}

func readListed(r *Response) (Listed, bool) {
	all := r.Tokens()
	if len(all) < 3 {
		return Listed{}, false
	}
	l := Listed{Name: all[2].Text}
	for _, a := range all[0].List {
		l.Attributes = append(l.Attributes, strings.ToLower(a.Text))
	}
	if !all[1].Nil() {
		l.Delimiter = all[1].Text
	}
	return l, true
}

// List gives the mailboxes that match a pattern, both as the server spells them.
func (c *Conn) List(ctx context.Context, pattern string) ([]Listed, error) {
	return c.list(ctx, "LIST", pattern)
}

// Subscribed is List of those that are subscribed to.
func (c *Conn) Subscribed(ctx context.Context, pattern string) ([]Listed, error) {
	return c.list(ctx, "LSUB", pattern)
}

func (c *Conn) list(ctx context.Context, name, pattern string) ([]Listed, error) {
	var found []Listed
	cmd := NewCommand(name + ` "" `).AddString(pattern)
	cmd.Take = func(r *Response) bool {
		if r.Name != name {
			return false
		}
		if l, ok := readListed(r); ok {
			found = append(found, l)
		}
		return true
	}
	err := c.Do(ctx, cmd)
	return found, err
}

// Mailbox is what SELECT tells.
type Mailbox struct {
	UIDValidity, UIDNext, Exists uint32 // 0: it does not tell
	ModSeq                       uint64 // HIGHESTMODSEQ; 0: there is none
	Permanent                    []string
	ReadOnly                     bool
}

// Keywords says whether new flags can be invented.
func (m *Mailbox) Keywords() bool { return slices.Contains(m.Permanent, `\*`) }

// Select opens a mailbox; readOnly by EXAMINE, which changes nothing there.
func (c *Conn) Select(ctx context.Context, name string, readOnly bool) (*Mailbox, error) {
	word := "SELECT "
	if readOnly {
		word = "EXAMINE "
	}
	m := &Mailbox{}
	cmd := NewCommand(word).AddName(name)
	if c.CondStore && c.Has("CONDSTORE") {
		cmd.Add(" (CONDSTORE)")
	}
	cmd.Take = m.take
	if err := c.Do(ctx, cmd); err != nil {
		return nil, err
	}
	m.ReadOnly = readOnly || cmd.Result.Code == "READ-ONLY"
	if m.UIDValidity == 0 {
		return nil, fmt.Errorf("%s: the server gives no UIDVALIDITY, without which no mail can be told from another: poll it by POP3, or ask the provider", strings.TrimSpace(word))
	}
	return m, nil
}

func (m *Mailbox) take(r *Response) bool {
	switch {
	case r.Name == "EXISTS":
		m.Exists = r.Number
		return true
	case r.Name == "FLAGS" || r.Name == "RECENT":
		return true
	case r.Name != "OK":
		return false
	}
	n, _ := Uint32(r.CodeArgs) // what is no number is not known
	switch r.Code {
	case "UIDVALIDITY":
		m.UIDValidity = n
	case "UIDNEXT":
		m.UIDNext = n
	case "HIGHESTMODSEQ":
		m.ModSeq, _ = strconv.ParseUint(r.CodeArgs, 10, 64)
	case "PERMANENTFLAGS":
		for flag := range strings.FieldsSeq(strings.Trim(r.CodeArgs, "()")) {
			m.Permanent = append(m.Permanent, flag)
		}
	}
	return true
}

// Search gives the UIDs of what matches, or, where bySequence says so, the
// sequence numbers. criteria may have strings added; it begins with a blank.
func (c *Conn) Search(ctx context.Context, bySequence bool, criteria *Command) (Ranges, error) {
	head := "UID SEARCH"
	if bySequence {
		head = "SEARCH"
	}
	if c.Has("ESEARCH") {
		head += " RETURN (ALL)"
	}
	cmd := &Command{words: append([]word{{plainText, head}}, criteria.words...)}
	var found Ranges
	cmd.Take = func(r *Response) bool {
		switch r.Name {
		case "SEARCH":
			for field := range strings.FieldsSeq(string(r.Args)) {
				if n, ok := Uint32(field); ok {
					found = append(found, [2]uint32{n, n})
				}
			}
		case "ESEARCH":
			all := r.Tokens()
			for i := range all {
				if strings.EqualFold(all[i].Text, "ALL") && !all[i].Quoted && i+1 < len(all) {
					found = append(found, ParseSet(all[i+1].Text)...)
				}
			}
		default:
			return false
		}
		return true
	}
	err := c.Do(ctx, cmd)
	return found.normal(), err
}

// Create makes a mailbox and, as users see only those, subscribes to it.
func (c *Conn) Create(ctx context.Context, name string) error {
	if err := c.Do(ctx, NewCommand("CREATE ").AddName(name)); err != nil {
		return err
	}
	var refused *RefusedError
	if err := c.Do(ctx, NewCommand("SUBSCRIBE ").AddName(name)); !errors.As(err, &refused) {
		return err
	}
	return nil
}

// Store changes flags of UIDs: "+FLAGS.SILENT (\Seen)".
func (c *Conn) Store(ctx context.Context, set, change string) error {
	return c.Do(ctx, NewCommand("UID STORE "+set+" "+change))
}
