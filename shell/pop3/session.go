// Package pop3 is a session with a POP3 server.
//
// Its law: POP3 numbers mails anew in each connection, so a mail keeps the number
// that it had first by its unique-id; and what is marked for removal goes only when
// the session ends well.
package pop3

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"mailrow/poller/pop3"
	"mailrow/poller/pop3/client"
	"mailrow/shell"
)

// Session is with one server. It connects when that is needed.
type Session struct {
	conf     pop3.Config
	conn     *client.Conn
	out      bool            // somebody has logged out
	drop     []mail          // as of this connection; nil: not listed
	numbers  map[key]uint32  // ours, of all mails that were ever listed
	highest  uint32          // of ours
	marked   map[uint32]bool // ours, of mails that go at the end
	nameless bool            // the server has no unique-ids
	commands []shell.Command
}

// mail is one that the connection has.
type mail struct {
	number uint32 // ours
	wire   uint32 // the server's
	id     string // "" where it has none
	size   int64
}

// key is a unique-id; of several that are the same, which.
type key struct {
	id  string
	nth int
}

var _ shell.Mailbox = (*Session)(nil)

// New is a session with a server that is not connected yet.
func New(conf pop3.Config) *Session {
	s := &Session{conf: conf, numbers: map[key]uint32{}, marked: map[uint32]bool{}}
	s.commands = s.all()
	return s
}

// Login connects, where there is no connection, and logs in.
func (s *Session) Login(ctx context.Context) error {
	if s.live() {
		return nil
	}
	conn, err := pop3.Connect(ctx, &s.conf)
	if err != nil {
		return err
	}
	s.conn, s.out, s.drop = conn, false, nil
	// Without a unique-id a number may be that of another mail now: none comes again.
	maps.DeleteFunc(s.numbers, func(k key, _ uint32) bool { return k.id == "" })
	return nil
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
	marked, listed := len(s.marked), len(s.numbers) > 0
	if err := s.Login(ctx); err != nil {
		return nil, err
	}
	clear(s.marked)
	switch {
	case marked > 0:
		return nil, fmt.Errorf("the connection was lost, and with it the marks: %s still there: dele marks them again", are(marked))
	case s.nameless && listed:
		return nil, errors.New("the connection was lost, and the server has no unique-ids: mails get other numbers: list them again")
	}
	return s.conn, nil
}

func are(n int) string {
	if n == 1 {
		return "the mail that was marked is"
	}
	return fmt.Sprintf("the %d mails that were marked are", n)
}

// listed is use with the list of mails.
func (s *Session) listed(ctx context.Context, c *shell.Call) (*client.Conn, error) {
	conn, err := s.use(ctx, c)
	if err != nil || s.drop != nil {
		return conn, err
	}
	sizes, ids := map[uint32]int64{}, map[uint32]string{}
	var order []uint32
	named, err := conn.Scan(ctx,
		func(n uint32, octets int64) error {
			sizes[n] = octets
			order = append(order, n)
			return nil
		},
		func(n uint32, id []byte) error {
			ids[n] = string(id)
			return nil
		})
	if err != nil {
		return nil, err
	}
	s.nameless = !named
	s.drop = []mail{}
	seen := map[string]int{}
	for _, n := range order {
		id := ids[n]
		k := key{id, seen[id]}
		if id == "" {
			k = key{"", int(n)}
		}
		seen[id]++
		number, known := s.numbers[k]
		if !known {
			s.highest++
			number = s.highest
			s.numbers[k] = number
		}
		s.drop = append(s.drop, mail{number, n, id, sizes[n]})
	}
	return conn, nil
}

// these are the mails that are meant, of those that are there.
func (s *Session) these(text string) ([]mail, error) {
	uids, err := shell.ParseUIDs(text, nil)
	if err != nil {
		return nil, err
	}
	var there []uint32
	byNumber := map[uint32]mail{}
	for _, m := range s.drop {
		if byNumber[m.number] = m; !s.marked[m.number] {
			there = append(there, m.number)
		}
	}
	meant, err := uids.Some(there, "the mailbox")
	var mails []mail
	for _, n := range meant {
		mails = append(mails, byNumber[n])
	}
	return mails, err
}

// Prompt is the server.
func (s *Session) Prompt() string { return s.conf.Server.String() }

// Folders are none.
func (s *Session) Folders(context.Context) []string { return nil }

// Commands are POP3's.
func (s *Session) Commands() []shell.Command { return s.commands }

// Close ends the session. Mails that are marked go where confirm says so.
func (s *Session) Close(ctx context.Context, confirm bool) (said string, err error) {
	marked := len(s.marked)
	switch {
	case s.conn == nil || !s.live() && marked == 0:
		return "", nil
	case !s.live():
		return "", fmt.Errorf("the connection was lost before the end: %s still there", are(marked))
	}
	clear(s.marked)
	if marked == 0 {
		return "", s.conn.Close()
	}
	if !confirm {
		if _, err := s.conn.Ask(ctx, "RSET"); err != nil {
			return "", err
		}
		return fmt.Sprintf("nothing was removed: %s still there", are(marked)), s.conn.Close()
	}
	if err := s.conn.Quit(ctx); err != nil {
		return "", fmt.Errorf("remove %s: %w: look which are still there", shell.Count(marked, "mail"), err)
	}
	return "removed " + shell.Count(marked, "mail"), nil
}

const noFolders = "POP3 has one mailbox and no folders: "

// Instead names what other mailboxes have.
func (s *Session) Instead() map[string]string {
	all := map[string]string{
		"capability": "POP3 has no capability: capa",
		"status":     "POP3 has no status: stat counts the mails",
		"search":     "POP3 cannot search: fetch lists the mails with sender and subject",
		"flags":      "POP3 has no flags; IMAP has",
		"append":     "POP3 can only read and remove; IMAP has append",
		"expunge":    "POP3 has no expunge: what dele has marked goes at quit",
		"idle":       "a POP3 server sees new mail only in the next session: logout, login, list",
		"namespace":  noFolders + "list lists the mails",
		"quota":      "POP3 does not tell a quota: stat says how much there is",
		"acl":        "POP3 has no rights; IMAP has acl",
	}
	for _, name := range []string{"select", "examine", "lsub", "create", "delete", "rename", "subscribe", "unsubscribe", "copy", "move"} {
		all[name] = noFolders + "list lists its mails, save writes some to files, dele removes some"
	}
	return all
}
