package imap

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mailrow/poller/imap/client"
	"mailrow/shell"
)

// rights are who may do what in a folder (RFC 4314).
type rights struct {
	Folder string  `json:"folder"`
	Ours   string  `json:"ours"`
	Rights []right `json:"rights"` // empty where we may not see them
}

type right struct {
	Who    string `json:"who"`
	Rights string `json:"rights"`
}

// letters are what rights mean, in their usual order.
const letters = "l see it, r read, s seen, w flags, i insert, p post, k make folders, x delete it, t delete mails, e expunge, a administer"

func (r rights) Words() string {
	text := fmt.Sprintf("we may %s in %s\n", r.Ours, r.Folder)
	var rows [][]string
	for _, one := range r.Rights {
		rows = append(rows, []string{one.Who, one.Rights})
	}
	if len(rows) > 0 {
		text += shell.Table("WHO RIGHTS", rows)
	}
	return text + "(" + letters + ")\n"
}

func (s *Session) acl(ctx context.Context, c *shell.Call) (shell.Result, error) {
	conn, err := s.needs(ctx, c, "ACL")
	if err != nil {
		return nil, err
	}
	name, wire, err := s.folderOperand(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case len(c.Operands) == 2:
		return nil, fmt.Errorf("which rights %s gets is missing: acl FOLDER WHO RIGHTS", c.Operands[1])
	case len(c.Operands) == 3:
		if err := setRights(ctx, conn, wire, c.Operands[1], c.Operands[2]); err != nil {
			return nil, err
		}
	}
	found := rights{Folder: name, Rights: []right{}}
	cmd := client.NewCommand("MYRIGHTS ").AddName(wire)
	cmd.Take = func(r *client.Response) bool {
		if all := r.Tokens(); r.Name == "MYRIGHTS" && len(all) == 2 {
			found.Ours = all[1].Text
		}
		return r.Name == "MYRIGHTS"
	}
	if err := conn.Do(ctx, cmd); err != nil {
		return nil, err
	}
	cmd = client.NewCommand("GETACL ").AddName(wire)
	cmd.Take = func(r *client.Response) bool {
		if r.Name != "ACL" {
			return false
		}
		for all := r.Tokens()[min(1, len(r.Tokens())):]; len(all) >= 2; all = all[2:] {
			found.Rights = append(found.Rights, right{all[0].Text, all[1].Text})
		}
		return true
	}
	var refused *client.RefusedError
	if err := conn.Do(ctx, cmd); err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	return found, nil
}

func setRights(ctx context.Context, conn *client.Conn, wire, who, letters string) error {
	if letters == "" {
		return conn.Do(ctx, client.NewCommand("DELETEACL ").AddName(wire).Add(" ").AddString(who))
	}
	return conn.Do(ctx, client.NewCommand("SETACL ").AddName(wire).Add(" ").AddString(who).Add(" ").AddString(letters))
}

// refusedRaw are commands that raw does not send.
var refusedRaw = map[string]string{
	"LOGIN":        "a password in a line would be seen: login logs in",
	"AUTHENTICATE": "a secret in a line would be seen: login logs in",
	"STARTTLS":     "TLS begins when the session does: imap+tls://",
	"COMPRESS":     "what follows could not be read",
	"IDLE":         "idle does that",
	"LOGOUT":       "logout does that",
	"APPEND":       "append does that",
	"SELECT":       "select does that",
	"EXAMINE":      "examine does that",
	"CLOSE":        "it removes mails that are marked: expunge does that",
	"UNSELECT":     "select another folder",
	"ENABLE":       "what follows could not be read",
}

// asked are commands that remove something.
var asked = []string{"DELETE", "EXPUNGE", "UID EXPUNGE"}

// tag is one that somebody has typed before a command.
var tag = regexp.MustCompile(`^\s*[A-Za-z.]{0,4}[0-9]+(\s+|$)`)

func (s *Session) raw(ctx context.Context, c *shell.Call) (shell.Result, error) {
	line := tag.ReplaceAllString(c.Operands[0], "") // the client makes its own
	words := strings.Fields(strings.ToUpper(line))
	if len(words) == 0 {
		return nil, errors.New("write a command after the tag, or without one")
	}
	if reason, refused := refusedRaw[words[0]]; refused {
		return nil, fmt.Errorf("%s is not sent: %s", words[0], reason)
	}
	conn, err := s.use(ctx, c)
	if err != nil {
		return nil, err
	}
	name := strings.Join(words[:min(2, len(words))], " ")
	if slices.Contains(asked, words[0]) || slices.Contains(asked, name) {
		if err := c.Confirm(ctx, "send %s", line); err != nil {
			return nil, err
		}
	}
	s.listed = nil // who knows what it changes
	var said strings.Builder
	err = conn.Raw(ctx, line, func(text []byte) { said.Write(text) })
	result := shell.Answer{Lines: []string{}}
	for one := range strings.Lines(said.String()) {
		result.Lines = append(result.Lines, strings.ToValidUTF8(strings.TrimRight(one, "\r\n"), "\uFFFD"))
	}
	return result, err
}
