package client

import (
	"bytes"
	"fmt"
	"strings"

	"mailrow/poller/dial"
)

// RefusedError is a command that the server did not do.
type RefusedError struct {
	Command string
	Code    string // in capitals, "" without: IN-USE, SYS/TEMP (RFC 2449 8, RFC 3206)
	Text    string
}

func (e *RefusedError) Error() string {
	text := e.Text
	if e.Code != "" {
		text = "[" + e.Code + "] " + text
	}
	return fmt.Sprintf("%s: -ERR %s%s", e.Command, text, e.remedy())
}

func (e *RefusedError) remedy() string {
	switch e.Code {
	case "IN-USE":
		return ": another program has the mailbox open, or a connection was lost and the server has not noticed: it will be tried again"
	case "LOGIN-DELAY":
		return ": the server wants more time between two visits: poll less often (--every)"
	case "SYS/TEMP":
		return ": the server has trouble, and it will be tried again"
	case "SYS/PERM":
		return ": the server has trouble that does not pass by itself: ask the provider"
	case "AUTH":
		return ": check user and password"
	}
	return ""
}

// do sends a command and gives what the server says to it.
func (c *Conn) do(command string) (text string, err error) {
	if err := c.send(command); err != nil {
		return "", err
	}
	return c.answer(name(command))
}

// name is a command without its arguments.
func name(command string) string {
	name, _, _ := strings.Cut(command, " ")
	return name
}

// send sends commands whose answers nobody has read beforehand.
func (c *Conn) send(commands ...string) error {
	if c.err != nil {
		return c.err
	}
	if len(c.flying) == 0 && c.open == nil && c.raw.Buffered() > 0 {
		line, _, err := c.readLine()
		if err != nil {
			return err
		}
		return c.fail(fmt.Errorf("read from %s: it speaks without being asked: %s", c.server, dial.Clean(string(line))))
	}
	for _, command := range commands {
		// Whoever wrote it: no text becomes a second command.
		if strings.ContainsAny(command, "\r\n\x00") {
			return fmt.Errorf("%s: there is a line end in it", name(command))
		}
		c.raw.Trace("C", shown(command))
	}
	return c.write(strings.Join(commands, "\r\n") + "\r\n")
}

func (c *Conn) write(text string) error {
	if _, err := c.raw.Write([]byte(text)); err != nil {
		return c.fail(err)
	}
	return nil
}

// shown is a command as a trace has it.
func shown(command string) string {
	switch name := name(command); name {
	case "PASS", "APOP":
		return name + " ***"
	case "AUTH":
		if words := strings.Fields(command); len(words) > 2 {
			return words[0] + " " + words[1] + " ***"
		}
	}
	return command
}

// answer reads what the server says to a command: +OK or -ERR.
func (c *Conn) answer(command string) (text string, err error) {
	line, _, err := c.readLine()
	if err != nil {
		return "", err
	}
	return c.status(command, line)
}

func (c *Conn) status(command string, line []byte) (text string, err error) {
	word, rest, _ := bytes.Cut(line, []byte(" "))
	text = string(rest)
	if c.hide != nil {
		text = c.hide(text)
	}
	switch strings.ToUpper(string(word)) {
	case "+OK":
		c.raw.Trace("S", "+OK "+text)
		return text, nil
	case "-ERR":
		c.raw.Trace("S", "-ERR "+text)
		code, text := code(text)
		return "", &RefusedError{command, code, dial.Clean(text)}
	}
	if command == "greeting" {
		return "", c.fail(fmt.Errorf("greeting of %s: %q is not POP3: check the port", c.server, dial.Clean(string(line))))
	}
	if c.hide != nil {
		line = []byte(c.hide(string(line)))
	}
	return "", c.fail(fmt.Errorf("read from %s: the answer to %s is neither +OK nor -ERR: %q", c.server, command, dial.Clean(string(line))))
}

// code takes a response code off a text.
func code(text string) (code, rest string) {
	inside, ok := strings.CutPrefix(text, "[")
	if !ok {
		return "", text
	}
	code, rest, ok = strings.Cut(inside, "]")
	if !ok {
		return "", text
	}
	return strings.ToUpper(code), strings.TrimSpace(rest)
}

// lines sends a command and gives each line of the answer to take, valid until
// take returns. An error of take ends the connection.
func (c *Conn) lines(command string, take func(line []byte) error) error {
	if err := c.send(command); err != nil {
		return err
	}
	return c.answerLines(command, take)
}

func (c *Conn) answerLines(command string, take func(line []byte) error) error {
	if _, err := c.answer(command); err != nil {
		return err
	}
	for n := 0; ; n++ {
		line, _, err := c.readLine()
		if err != nil {
			return fmt.Errorf("%s, after %d lines: %w", command, n, err)
		}
		line, stuffed := bytes.CutPrefix(line, []byte("."))
		if stuffed && len(line) == 0 {
			return nil
		}
		if err := take(line); err != nil {
			return c.fail(err)
		}
	}
}
