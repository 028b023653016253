package lmtp

import (
	"fmt"
	"strings"

	"mailrow/message"
)

// execute answers one command, and says whether it was the last.
func (c *session) execute(line string) (quit bool) {
	verb, argument, _ := strings.Cut(line, " ")
	argument = strings.TrimSpace(argument)
	switch verb = strings.ToUpper(verb); verb {
	case "LHLO":
		c.lhlo(argument)
	case "HELO", "EHLO": // RFC 2033 4.1
		c.refuse(Reply{500, "5.5.1", "this is LMTP, say LHLO"})
	case "MAIL":
		c.mailFrom(argument)
	case "RCPT":
		c.rcptTo(argument)
	case "DATA":
		return c.data(argument)
	case "BDAT":
		return c.bdat(argument)
	case "RSET":
		c.reset()
		c.reply(Reply{250, "2.0.0", "forgotten"})
	case "NOOP":
		c.reply(Reply{250, "2.0.0", "here"})
	case "VRFY":
		c.reply(Reply{252, "2.5.0", "deliver, and see"})
	case takeOver:
		return c.takeOver(argument)
	case "XFORWARD":
		c.xforward(argument)
	case "QUIT":
		c.reply(Reply{221, "2.0.0", "bye"})
		return true
	default:
		c.refuse(Reply{500, "5.5.2", "unknown command"})
	}
	return false
}

func (c *session) lhlo(name string) {
	if name == "" {
		c.refuse(Reply{501, "5.5.4", "LHLO needs a name"})
		return
	}
	c.reset()
	c.greeted = true
	lines := []string{
		c.server.Hostname, "PIPELINING", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8",
		fmt.Sprintf("SIZE %d", c.server.MaxSize), "ENHANCEDSTATUSCODES", "DSN",
		"XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
	}
	if c.server.TakeOver != nil {
		lines = append(lines, takeOver)
	}
	for i, line := range lines {
		mark := "-"
		if i == len(lines)-1 {
			mark = " "
		}
		fmt.Fprintf(c.out, "250%s%s\r\n", mark, line)
	}
}

func (c *session) mailFrom(argument string) {
	path, rest, ok := cutPath(argument, "FROM:")
	switch {
	case !c.greeted:
		c.refuse(Reply{503, "5.5.1", "LHLO first"})
		return
	case c.mail != nil:
		c.refuse(Reply{503, "5.5.1", "there is a mail under way"})
		return
	case !ok:
		c.refuse(Reply{501, "5.5.4", "write MAIL FROM:<address>"})
		return
	}
	t := &transaction{server: c.server}
	t.Sender, t.Client = message.ReversePath(path), c.client
	if bad := t.parameters(rest); bad != nil {
		c.refuse(*bad)
		return
	}
	if t.declared > c.server.MaxSize {
		c.reply(c.server.tooLarge())
		return
	}
	c.mail = t
	c.reply(Reply{250, "2.1.0", "sender noted"})
}

func (s *Server) tooLarge() Reply {
	return Reply{552, "5.3.4", fmt.Sprintf("message larger than %d bytes", s.MaxSize)}
}

func (c *session) rcptTo(argument string) {
	path, rest, ok := cutPath(argument, "TO:")
	address := message.ForwardPath(path)
	switch {
	case c.mail == nil || c.mail.begun:
		c.refuse(Reply{503, "5.5.1", "MAIL first"})
		return
	case !ok || address == "":
		c.refuse(Reply{501, "5.5.4", "write RCPT TO:<address>"})
		return
	case len(c.mail.Recipients) >= c.server.MaxRecipients:
		c.reply(Reply{452, "4.5.3", "too many recipients, send the mail again for the others"})
		return
	}
	to := Recipient{Address: address}
	if bad := to.parameters(rest); bad != nil {
		c.refuse(*bad)
		return
	}
	c.mail.Recipients = append(c.mail.Recipients, to)
	c.reply(Reply{250, "2.1.5", "recipient noted"})
}

// cutPath takes the path out of "FROM:<path> PARAMETERS"; quoted strings in it may
// hold blanks and angle brackets. A path without brackets ends at a blank.
func cutPath(argument, keyword string) (path, rest string, ok bool) {
	if len(argument) < len(keyword) || !strings.EqualFold(argument[:len(keyword)], keyword) {
		return "", "", false
	}
	s := strings.TrimLeft(argument[len(keyword):], " ")
	if !strings.HasPrefix(s, "<") {
		path, rest, _ = strings.Cut(s, " ")
		return path, rest, path != ""
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return s[1:i], s[i+1:], true
		}
	}
	return "", "", false
}
