package mtatest

import (
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"testing"
	"time"
)

// Send hands a message to the server over SMTP. The bytes go out as they are,
// except that LF becomes CRLF and a line's leading dot is doubled: net/smtp
// would refuse or change addresses and lines that tests are about. Without an
// LF at its end the message gets one, as the protocol wants.
func (s *server) Send(t testing.TB, from string, to []string, msg []byte) {
	t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.send(from, to, msg); err != nil {
		t.Fatal(err)
	}
}

// client is one SMTP session, a command at a time.
type client struct {
	conn net.Conn
	text *textproto.Conn
}

const smtpTimeout = 30 * time.Second

// dial connects and reads the greeting.
func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, smtpTimeout)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(smtpTimeout)); err != nil {
		return nil, err
	}
	c := &client{conn, textproto.NewConn(conn)}
	if _, _, err := c.text.ReadResponse(220); err != nil {
		c.text.Close()
		return nil, fmt.Errorf("greeting: %w", err)
	}
	return c, nil
}

func (c *client) close() {
	_ = c.command(221, "QUIT")
	c.text.Close()
}

func (c *client) send(from string, to []string, msg []byte) error {
	if err := c.command(250, "EHLO helo.test"); err != nil {
		return err
	}
	mail := "MAIL FROM:<" + from + ">"
	if !ascii(msg) {
		mail += " BODY=8BITMIME"
	}
	if !ascii([]byte(fmt.Sprint(from, to))) {
		mail += " SMTPUTF8"
	}
	if err := c.command(250, mail); err != nil {
		return err
	}
	for _, rcpt := range to {
		if err := c.command(25, "RCPT TO:<"+rcpt+">"); err != nil {
			return err
		}
	}
	if err := c.command(354, "DATA"); err != nil {
		return err
	}
	return c.command(250, string(dotStuffed(msg))+".")
}

// command sends a line and reads the answer, which must begin with want.
func (c *client) command(want int, line string) error {
	if _, err := c.conn.Write([]byte(line + "\r\n")); err != nil {
		return err
	}
	if _, _, err := c.text.ReadResponse(want); err != nil {
		return fmt.Errorf("%.60q: %w", line, err)
	}
	return nil
}

// dotStuffed is the message as it follows DATA, without the final dot.
func dotStuffed(msg []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(msg) {
		line, _ = bytes.CutSuffix(line, []byte("\n"))
		line, _ = bytes.CutSuffix(line, []byte("\r"))
		if bytes.HasPrefix(line, []byte(".")) {
			b.WriteByte('.')
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func ascii(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
