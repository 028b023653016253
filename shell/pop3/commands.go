package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mailrow/poller/pop3/client"
	"mailrow/shell"
)

func (s *Session) all() []shell.Command {
	return []shell.Command{
		{Name: "capa", Short: "list what the server can do", Run: s.capa},
		{Name: "noop", Short: "do nothing", Run: s.noop},
		{Name: "login", Short: "begin a session, after logout", Run: s.login},
		{Name: "logout", Short: "end the session, and stay in the shell; what is marked is removed", Run: s.logout},
		{Name: "stat", Short: "count the mails", Run: s.stat},
		{Name: "list", Operands: "[UIDS]", Max: 1, Short: "list mails with their sizes and unique-ids", Run: s.list},
		{Name: "uidl", Operands: "[UIDS]", Max: 1, Short: "as list", Run: s.list},
		{Name: "fetch", Operands: "[UIDS]", Max: 1, Short: "list mails with sender and subject", Run: s.fetch},
		{Name: "top", Operands: "UID [LINES]", Min: 1, Max: 2, Short: "show the header of a mail, and so many lines of it", Run: s.top},
		{Name: "show", Operands: "UID " + shell.FormOperand, Min: 1, Max: 2, Short: "read a mail", Run: s.show},
		{Name: "retr", Operands: "UID", Min: 1, Max: 1, Short: "show a mail as it is", Run: s.retr},
		{Name: "save", Operands: "UIDS PATH", Min: 2, Max: 2, Short: "write mails to a file, or files in a folder",
			Long: "Byte for byte, as UID.eml where PATH is a folder. No file is overwritten.", Complete: shell.At(1, shell.File), Run: s.save},
		{Name: "dele", Operands: "UIDS", Min: 1, Max: 1, Short: "mark mails, which are removed at the end of the session",
			Long: "They go at quit, at Ctrl-D and at the end of a script that did not fail. A connection that\nis lost before removes none.", Run: s.dele},
		{Name: "rset", Short: "take back what dele has marked", Run: s.rset},
		{Name: "raw", Operands: "LINE", Min: 1, Max: 1, Short: "send a line as it is, and print the answer",
			Long: "Numbers of mails in LINE are the server's. Lines that log in are refused.", Run: s.raw},
	}
}

func (s *Session) capa(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	all := conn.Capabilities()
	if len(all) == 0 {
		return shell.Say(shell.Fields{"capabilities": []string{}}, "the server does not tell (it has no CAPA)"), nil
	}
	return shell.Say(shell.Fields{"capabilities": all}, "%s", strings.Join(all, "\n")), nil
}

func (s *Session) noop(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err == nil {
		_, err = conn.Ask(ctx, "NOOP")
	}
	if err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"server": s.conf.Server.String()}, "the server answers"), nil
}

func (s *Session) login(ctx context.Context, _ *shell.Call) (shell.Result, error) {
	if err := s.Login(ctx); err != nil {
		return nil, err
	}
	return shell.Say(shell.Fields{"server": s.conf.Server.String(), "user": s.conf.Credentials.User}, "logged in to %s", &s.conf.Server), nil
}

func (s *Session) logout(ctx context.Context, _ *shell.Call) (shell.Result, error) {
	said, err := s.Close(ctx, true)
	s.out, s.drop = true, nil
	if err != nil {
		return nil, err
	}
	if said != "" {
		said = ", and " + said
	}
	return shell.Say(shell.Fields{"server": s.conf.Server.String()}, "logged out of %s%s", &s.conf.Server, said), nil
}

func (s *Session) stat(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	text, err := conn.Ask(ctx, "STAT")
	if err != nil {
		return nil, err
	}
	var mails, size int64
	if _, err := fmt.Sscan(text, &mails, &size); err != nil {
		return nil, fmt.Errorf("STAT: the server answers %q, where two numbers should be", text)
	}
	return shell.Say(shell.Fields{"mails": mails, "size": size}, "%s, %s", shell.Count(int(mails), "mail"), shell.Bytes(size)), nil
}

// listing are mails by their numbers.
type listing struct {
	Mails []shell.Mail `json:"mails"`
}

func (l listing) Words() string {
	if len(l.Mails) == 0 {
		return "no mail\n"
	}
	var rows [][]string
	for _, m := range l.Mails {
		rows = append(rows, []string{fmt.Sprint(m.UID), shell.Bytes(m.Size), m.ID})
	}
	return shell.Table("UID SIZE UNIQUE-ID", rows)
}

// meant are the mails of the first operand; without one all.
func (s *Session) meant(ctx context.Context, c *shell.Call) (*client.Conn, []mail, error) {
	conn, err := s.listed(ctx, c)
	switch {
	case err != nil:
		return nil, nil, err
	case len(c.Operands) == 0 && len(s.drop) == len(s.marked):
		return conn, nil, nil
	case len(c.Operands) == 0:
		mails, err := s.these("all")
		return conn, mails, err
	}
	mails, err := s.these(c.Operands[0])
	return conn, mails, err
}

// one is meant where that has to be one mail.
func (s *Session) one(ctx context.Context, c *shell.Call) (*client.Conn, mail, error) {
	conn, mails, err := s.meant(ctx, c)
	switch {
	case err != nil:
		return nil, mail{}, err
	case len(mails) > 1:
		return nil, mail{}, fmt.Errorf("%s are %d mails: name one", c.Operands[0], len(mails))
	}
	return conn, mails[0], nil
}

func (s *Session) list(ctx context.Context, c *shell.Call) (shell.Result, error) {
	_, mails, err := s.meant(ctx, c)
	if err != nil {
		return nil, err
	}
	result := listing{Mails: []shell.Mail{}}
	for _, m := range mails {
		result.Mails = append(result.Mails, shell.Mail{UID: m.number, ID: m.id, Size: m.size})
	}
	return result, nil
}

func (s *Session) fetch(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, mails, err := s.meant(ctx, c)
	if err != nil {
		return nil, err
	}
	result := shell.Mails{Mails: []shell.Mail{}}
	for _, m := range mails {
		header, err := read(ctx, conn, m.wire, 0)
		if err != nil {
			return result, err
		}
		one := shell.Mail{UID: m.number, ID: m.id, Size: m.size}
		one.Read(header)
		result.Mails = append(result.Mails, one)
	}
	return result, nil
}

// read gives the header of a mail and so many lines after it (RFC 1939 7). Who has
// no TOP gives the mail whole.
func read(ctx context.Context, conn *client.Conn, wire uint32, lines uint64) ([]byte, error) {
	var text []byte
	err := conn.AskLines(ctx, fmt.Sprintf("TOP %d %d", wire, lines), func(line []byte) error {
		text = append(append(text, line...), "\r\n"...)
		return nil
	})
	var refused *client.RefusedError
	if errors.As(err, &refused) && !conn.Has("TOP") {
		return whole(ctx, conn, wire)
	}
	return text, err
}

func whole(ctx context.Context, conn *client.Conn, wire uint32) ([]byte, error) {
	m, err := conn.Retrieve(ctx, wire, nil)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(m)
}

func (s *Session) top(ctx context.Context, c *shell.Call) (shell.Result, error) {
	var lines uint64
	if len(c.Operands) == 2 {
		var err error
		if lines, err = strconv.ParseUint(c.Operands[1], 10, 31); err != nil {
			return nil, fmt.Errorf("%q is no number of lines", c.Operands[1])
		}
	}
	conn, m, err := s.one(ctx, c)
	if err != nil {
		return nil, err
	}
	text, err := read(ctx, conn, m.wire, lines)
	if err != nil {
		return nil, err
	}
	return shell.Show(shell.Mail{UID: m.number, ID: m.id, Size: m.size}, text, "raw")
}

func (s *Session) show(ctx context.Context, c *shell.Call) (shell.Result, error) {
	form := ""
	if len(c.Operands) == 2 {
		form = c.Operands[1]
	}
	return s.shown(ctx, c, form)
}

func (s *Session) retr(ctx context.Context, c *shell.Call) (shell.Result, error) {
	return s.shown(ctx, c, "raw")
}

func (s *Session) shown(ctx context.Context, c *shell.Call, form string) (shell.Result, error) {
	conn, m, err := s.one(ctx, c)
	if err != nil {
		return nil, err
	}
	raw, err := whole(ctx, conn, m.wire)
	if err != nil {
		return nil, err
	}
	return shell.Show(shell.Mail{UID: m.number, ID: m.id}, raw, form)
}

func (s *Session) save(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, mails, err := s.meant(ctx, c)
	if err != nil {
		return nil, err
	}
	saved := &shell.Saved{}
	for _, m := range mails {
		body, err := conn.Retrieve(ctx, m.wire, nil)
		if err == nil {
			err = saved.Save(c.Operands[1], m.number, body)
		}
		if err != nil {
			return saved, err
		}
	}
	return saved, nil
}

func (s *Session) dele(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, mails, err := s.meant(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := c.Confirm(ctx, "remove %s at the end of the session", shell.Count(len(mails), "mail")); err != nil {
		return nil, err
	}
	marked := []uint32{}
	for _, m := range mails {
		if _, err := conn.Ask(ctx, fmt.Sprintf("DELE %d", m.wire)); err != nil {
			return marks(marked), err
		}
		s.marked[m.number] = true
		marked = append(marked, m.number)
	}
	return marks(marked), nil
}

func marks(marked []uint32) shell.Result {
	return shell.Say(shell.Fields{"marked": marked}, "%s marked: quit removes, rset takes it back", shell.Count(len(marked), "mail"))
}

func (s *Session) rset(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.use(ctx, c)
	if err == nil {
		_, err = conn.Ask(ctx, "RSET")
	}
	if err != nil {
		return nil, err
	}
	n := len(s.marked)
	clear(s.marked)
	return shell.Say(shell.Fields{"unmarked": n}, "%s no longer marked", shell.Count(n, "mail")), nil
}

// refusedRaw are commands that raw does not send.
var refusedRaw = map[string]string{
	"USER": "login logs in",
	"PASS": "a password in a line would be seen: login logs in",
	"APOP": "a secret in a line would be seen: login logs in",
	"AUTH": "a secret in a line would be seen: login logs in",
	"STLS": "TLS begins when the session does: pop3+tls://",
	"QUIT": "quit does that",
	"DELE": "dele does that, and asks",
	"UTF8": "what follows could not be read",
}

// ofLines are commands whose answer is lines; with two words that of some is one.
var ofLines = []string{"CAPA", "RETR", "TOP", "LIST", "UIDL"}

func (s *Session) raw(ctx context.Context, c *shell.Call) (shell.Result, error) {
	line := c.Operands[0]
	words := strings.Fields(strings.ToUpper(line))
	if len(words) == 0 {
		return nil, errors.New("write a command")
	}
	if reason, refused := refusedRaw[words[0]]; refused {
		return nil, fmt.Errorf("%s is not sent: %s", words[0], reason)
	}
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	result := shell.Answer{Lines: []string{}}
	keep := func(text string) { result.Lines = append(result.Lines, strings.ToValidUTF8(text, "\uFFFD")) }
	if slices.Contains(ofLines, words[0]) && (len(words) == 1 || words[0] == "RETR" || words[0] == "TOP") {
		err = conn.AskLines(ctx, line, func(text []byte) error {
			keep(string(text))
			return nil
		})
		return result, err
	}
	text, err := conn.Ask(ctx, line)
	if err != nil {
		return nil, err
	}
	if words[0] == "RSET" {
		clear(s.marked)
	}
	keep("+OK " + text)
	return result, nil
}
