package client

import (
	"fmt"
	"strconv"
	"strings"

	"mailrow/poller/dial"
)

// Command is a command and its answer. It is sent once.
type Command struct {
	// Take gets the untagged responses that come while the command is the oldest
	// that takes them, and says whether it was meant.
	Take func(*Response) bool
	// Result is the tagged response, once it has come.
	Result *Response

	tag   string
	words []word
}

type wordKind int

const (
	plainText wordKind = iota
	anyString          // quoted or a literal, whatever it takes
	secretText
	secretString
	literal
)

type word struct {
	kind wordKind
	text string
}

// NewCommand makes a command of what is written as it is: "UID SEARCH ALL".
func NewCommand(text string) *Command { return new(Command).Add(text) }

// Add adds text as it is.
func (cmd *Command) Add(text string) *Command { return cmd.add(plainText, text) }

// AddString adds a string argument.
func (cmd *Command) AddString(text string) *Command { return cmd.add(anyString, text) }

// AddLiteral adds a literal, whatever it holds: the mail of an APPEND must be one.
func (cmd *Command) AddLiteral(text string) *Command { return cmd.add(literal, text) }

// AddName adds the name of a mailbox, as the server spells it.
func (cmd *Command) AddName(name string) *Command { return cmd.add(anyString, name) }

func (cmd *Command) add(kind wordKind, text string) *Command {
	cmd.words = append(cmd.words, word{kind, text})
	return cmd
}

// Name is the command without its arguments.
func (cmd *Command) Name() string {
	first, rest, _ := strings.Cut(cmd.words[0].text, " ")
	if first == "UID" {
		second, _, _ := strings.Cut(rest, " ")
		return first + " " + second
	}
	return first
}

// RefusedError is a command that the server did not do.
type RefusedError struct {
	Command string
	Status  string // NO or BAD
	Code    string // in capitals, "" without: TRYCREATE, OVERQUOTA (RFC 5530)
	Text    string
}

func (e *RefusedError) Error() string {
	text := e.Text
	if e.Code != "" {
		text = "[" + e.Code + "] " + text
	}
	return fmt.Sprintf("%s: %s %s%s", e.Command, e.Status, text, e.remedy())
}

func (e *RefusedError) remedy() string {
	switch e.Code {
	case "OVERQUOTA":
		return ": make room in the mailbox"
	case "NOPERM", "ACL":
		return ": ask for the right to do it"
	case "NONEXISTENT", "TRYCREATE":
		return ": there is no such folder"
	case "INUSE", "LIMIT":
		return ": another program uses the mailbox, or too many do"
	case "UNAVAILABLE", "SERVERBUG":
		return ": the server has trouble, and it will be tried again"
	case "CONTACTADMIN", "ALERT":
		return ": the provider wants to be asked"
	}
	return ""
}

func (cmd *Command) err() error {
	if cmd.Result.Name == "OK" {
		return nil
	}
	return &RefusedError{cmd.Name(), cmd.Result.Name, cmd.Result.Code, dial.Clean(cmd.Result.Text)}
}

func (c *Conn) send(cmd *Command) error {
	if c.err != nil {
		return c.err
	}
	c.tags++
	cmd.tag = "a" + strconv.Itoa(c.tags)
	out, shown := []byte(cmd.tag+" "), cmd.tag+" "
	c.pending = append(c.pending, cmd)
	for _, w := range cmd.words {
		if w.kind == plainText || w.kind == secretText {
			// Whoever wrote it: no text becomes a second command.
			if strings.ContainsAny(w.text, "\r\n\x00") {
				c.forget(cmd)
				return fmt.Errorf("%s: there is a line end in it", cmd.Name())
			}
			out = append(out, w.text...)
			shown += w.shown()
			continue
		}
		if quoted, ok := c.quote(w.text); ok && w.kind != literal {
			out = append(out, quoted...)
			shown += w.shown()
			continue
		}
		var err error
		if out, err = c.sendLiteral(cmd, out, w.text); err != nil || cmd.Result != nil {
			return err
		}
		shown += fmt.Sprintf("{%d bytes}", len(w.text))
	}
	c.raw.Trace("C", shown)
	return c.write(append(out, "\r\n"...))
}

func (w word) shown() string {
	if w.kind == secretText || w.kind == secretString {
		return "***"
	}
	if w.kind == anyString {
		return strconv.Quote(w.text)
	}
	return w.text
}

// sendLiteral gives what is left to send. A server without LITERAL+ or LITERAL-
// (RFC 7888) has to agree first, or ends the command.
func (c *Conn) sendLiteral(cmd *Command, out []byte, text string) ([]byte, error) {
	if c.Has("LITERAL+") || c.Has("LITERAL-") && len(text) <= 4096 {
		return fmt.Appendf(out, "{%d+}\r\n%s", len(text), text), nil
	}
	if err := c.write(fmt.Appendf(out, "{%d}\r\n", len(text))); err != nil {
		return nil, err
	}
	for cmd.Result == nil {
		r, err := c.next()
		if err != nil {
			return nil, err
		}
		if r.Name == "+" {
			return []byte(text), nil
		}
	}
	return nil, nil
}

func (c *Conn) write(out []byte) error {
	if _, err := c.raw.Write(out); err != nil {
		return c.fail(err)
	}
	return nil
}

// forget: it was not sent.
func (c *Conn) forget(cmd *Command) {
	c.pending = c.pending[:len(c.pending)-1]
	cmd.Result = &Response{Name: "BAD"}
}

// quote writes a quoted string (RFC 9051 4.3), where the text can be one. UTF-8
// can once UTF8=ACCEPT is enabled (RFC 6855), and in IMAP4rev2.
func (c *Conn) quote(text string) (string, bool) {
	const most = 1000
	if len(text) > most {
		return "", false
	}
	for i := range len(text) {
		if b := text[i]; b == 0 || b == '\r' || b == '\n' || b >= 0x80 && !c.utf8() {
			return "", false
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`, true
}
