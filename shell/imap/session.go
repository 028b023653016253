// Package imap is a session with an IMAP server.
//
// Its law: mails are called by their UIDs, also after a reconnection, and where the
// server has given them others meanwhile that is an error; what is to be changed is
// looked up first, for IMAP says OK to a change of mails that are not there.
package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"mailrow/poller/imap"
	"mailrow/poller/imap/client"
	"mailrow/poller/sasl"
	"mailrow/shell"
)

// Session is with one server. It connects when that is needed.
type Session struct {
	conf     imap.Config
	conn     *client.Conn
	ns       *client.Namespace
	out      bool // somebody has logged out
	folder   *folder
	listed   []known  // nil: not asked
	found    []uint32 // by the last search or fetch
	news     []event
	onNews   func(event) // while somebody waits for it
	commands []shell.Command
}

// known is a folder of the server.
type known struct {
	client.Listed
	name string // as people know it
}

// folder is the one that is selected.
type folder struct {
	name, wire string
	readOnly   bool // by examine, and stays so
	box        *client.Mailbox
	exists     uint32
}

var _ shell.Mailbox = (*Session)(nil)

// New is a session with a server that is not connected yet.
func New(conf imap.Config) *Session {
	s := &Session{conf: conf}
	s.commands = s.all()
	return s
}

// Login connects, where there is no connection, and logs in. A folder that was
// selected is selected again.
func (s *Session) Login(ctx context.Context) error {
	if s.live() {
		return nil
	}
	var err error
	if s.conn, s.ns, err = imap.Connect(ctx, &s.conf); err != nil {
		s.conn = nil
		return err
	}
	s.out, s.listed, s.news = false, nil, nil
	s.conn.Unasked = s.unasked
	f := s.folder
	if f == nil {
		return nil
	}
	before := f.box.UIDValidity
	if err := s.open(ctx, f.name, f.wire, f.readOnly); err != nil {
		if !s.live() {
			s.folder = f // until the next try
		}
		return err
	}
	if now := s.folder.box.UIDValidity; now != before {
		return fmt.Errorf("folder %q has been made anew: its mails have other UIDs (UIDVALIDITY %d, and %d before): search again", f.name, now, before)
	}
	return nil
}

// Start logs in, and selects the folder that patterns of a URI name, if they name one.
func (s *Session) Start(ctx context.Context, patterns []string) error {
	if err := s.Login(ctx); err != nil {
		return err
	}
	if len(patterns) != 1 || strings.ContainsAny(patterns[0], "*%") {
		return nil
	}
	return s.enter(ctx, patterns[0], false)
}

func (s *Session) live() bool { return s.conn != nil && s.conn.Err() == nil }

// use gives the connection, and a new one where that was lost.
func (s *Session) use(ctx context.Context, c *shell.Call) (*client.Conn, error) {
	switch {
	case s.live():
		return s.conn, nil
	case s.out:
		return nil, errors.New("logged out: login logs in again")
	case s.conn != nil:
		c.Tell("(connecting again to %s: %v)", &s.conf.Server, s.conn.Err())
	}
	err := s.Login(ctx)
	if err != nil && s.live() { // the UIDs that follow are not of this folder
		err = errors.Join(err, s.leave(ctx, c))
	}
	return s.conn, err
}

// selected is use for commands about the mails of a folder.
func (s *Session) selected(ctx context.Context, c *shell.Call) (*client.Conn, error) {
	if s.folder == nil {
		return nil, errors.New("no folder is selected: select INBOX")
	}
	return s.use(ctx, c)
}

// changing is selected for commands that change something there.
func (s *Session) changing(ctx context.Context, c *shell.Call) (*client.Conn, error) {
	conn, err := s.selected(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case s.folder.readOnly:
		return nil, fmt.Errorf("folder %q was opened by examine, which changes nothing: select it", s.folder.name)
	case s.folder.box.ReadOnly:
		return nil, fmt.Errorf("the server lets us only read folder %q: acl shows our rights", s.folder.name)
	}
	return conn, nil
}

// open selects a folder.
func (s *Session) open(ctx context.Context, name, wire string, readOnly bool) error {
	s.folder = nil // where that fails, the server has none selected
	box, err := s.conn.Select(ctx, wire, readOnly)
	if err != nil {
		return err
	}
	s.folder = &folder{name, wire, readOnly, box, box.Exists}
	s.found = nil
	return nil
}

// Prompt is the folder.
func (s *Session) Prompt() string {
	switch {
	case s.folder == nil:
		return s.conf.Server.String()
	case s.folder.readOnly || s.folder.box.ReadOnly:
		return s.folder.name + " (read-only)"
	}
	return s.folder.name
}

// Folders are those of the server.
func (s *Session) Folders(ctx context.Context) []string {
	if s.listed == nil && (!s.live() || s.list(ctx) != nil) {
		return nil
	}
	var names []string
	for _, k := range s.listed {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return names
}

// list asks for all folders.
func (s *Session) list(ctx context.Context) error {
	all, err := s.conn.List(ctx, "*")
	if err != nil {
		return err
	}
	s.listed = []known{}
	for _, l := range all {
		if !slices.ContainsFunc(s.listed, func(k known) bool { return k.Name == l.Name }) {
			s.listed = append(s.listed, known{l, s.ns.Display(s.conn, l)})
		}
	}
	return nil
}

// named are the folders that may be meant by a name: those that people call so, or
// else those that the server calls so, or else those with names that look the same.
func (s *Session) named(name string) (all []known) {
	for _, is := range []func(known) bool{
		func(k known) bool { return k.name == name },
		func(k known) bool { return k.Name == name },
		func(k known) bool {
			return norm.NFC.String(k.name) == norm.NFC.String(name) || strings.EqualFold(name, "INBOX") && k.name == "INBOX"
		},
	} {
		for _, k := range s.listed {
			if is(k) {
				all = append(all, k)
			}
		}
		if len(all) > 0 {
			break
		}
	}
	return all
}

// wire is what the server calls a folder: one that is there, typed in any way, or
// one that could be.
func (s *Session) wire(ctx context.Context, name string) (wire string, there bool, err error) {
	found := s.named(name)
	if len(found) == 0 || found[0].name != name {
		if err := s.list(ctx); err != nil {
			return "", false, err
		}
		found = s.named(name)
	}
	switch len(found) {
	case 1:
		return found[0].Name, true, nil
	case 0:
		return s.ns.Own(s.ns.Spell(s.conn, name)), false, nil
	}
	return "", false, fmt.Errorf("%q may be %q or %q, as the server spells them: write what is only one of them", name, found[0].Name, found[1].Name)
}

// existing is wire for a folder that has to be there.
func (s *Session) existing(ctx context.Context, name string) (wire string, err error) {
	wire, there, err := s.wire(ctx, name)
	if err == nil && !there {
		err = fmt.Errorf("there is no folder %q: list shows them, create makes one", name)
	}
	return wire, err
}

// Close logs out.
func (s *Session) Close(context.Context, bool) (string, error) {
	if s.conn == nil {
		return "", nil
	}
	return "", s.conn.Close()
}

// Instead names what other mailboxes have.
func (s *Session) Instead() map[string]string {
	return map[string]string{
		"store": "flags does that",
		"uid":   "all commands take UIDs here",
		"stat":  "IMAP has no stat: status counts the mails of a folder",
		"uidl":  "IMAP has no uidl: its mails have UIDs, and fetch lists them",
		"top":   "IMAP has no top: show UID headers shows the header",
		"retr":  "IMAP has no retr: show reads a mail, save writes it to a file",
		"dele":  `IMAP has no dele: flags UIDS add \Deleted marks mails, expunge removes those that are marked`,
		"rset":  `IMAP has no rset: flags UIDS remove \Deleted`,
		"capa":  "IMAP has no capa: capability",
	}
}

// Commands are IMAP's.
func (s *Session) Commands() []shell.Command { return s.commands }

func (s *Session) login(ctx context.Context, c *shell.Call) (shell.Result, error) {
	if s.live() {
		return shell.Say(shell.Fields{"server": s.conf.Server.String(), "user": s.conf.Credentials.User}, "already logged in"), nil
	}
	err := s.Login(ctx)
	var denied *sasl.DeniedError
	if errors.As(err, &denied) {
		s.out = true // nobody tries again unasked
	}
	if err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"server": s.conf.Server.String(), "user": s.conf.Credentials.User}, "logged in to %s", &s.conf.Server), nil
}

func (s *Session) logout(ctx context.Context, _ *shell.Call) (shell.Result, error) {
	if s.live() {
		// The server says BYE, and that is how it should be.
		var bye *client.ByeError
		if err := s.conn.Do(ctx, client.NewCommand("LOGOUT")); err != nil && !errors.As(err, &bye) {
			return nil, err
		}
		_ = s.conn.Close() // the server has closed it
	}
	s.out, s.folder, s.found = true, nil, nil
	return shell.Say(shell.Fields{"server": s.conf.Server.String()}, "logged out of %s", &s.conf.Server), nil
}
