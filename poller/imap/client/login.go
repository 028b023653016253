package client

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"mailrow/poller/dial"
	"mailrow/poller/sasl"
)

// Login logs in, unless the server takes us for logged in already. A secret that
// the server does not accept is a *sasl.DeniedError.
func (c *Conn) Login(ctx context.Context, who *sasl.Credentials) error {
	defer c.guard(ctx)()
	if c.preauth {
		return nil
	}
	err := who.LogIn(ctx, c.offer(), c.server.Warnf, func(x *sasl.Exchange) error { return c.exchange(x, who.User) })
	return c.told(ctx, err)
}

func (c *Conn) offer() sasl.Offer {
	o := sasl.Offer{
		Command: !c.Has("LOGINDISABLED"),
		Private: c.raw.Private(),
		Host:    c.server.Host,
		Port:    c.server.Port,
	}
	for _, name := range c.Capabilities() {
		if mechanism, ok := strings.CutPrefix(name, "AUTH="); ok {
			o.Mechanisms = append(o.Mechanisms, mechanism)
		}
	}
	return o
}

func (c *Conn) exchange(x *sasl.Exchange, user string) error {
	c.hide = x.Secret.Hide
	defer func() { c.hide = nil }()
	before := c.caps
	c.caps = nil // they are others afterwards
	var cmd *Command
	var err error
	if x.Mechanism == "" {
		cmd = NewCommand("LOGIN ").AddString(user).Add(" ").add(secretString, x.Secret.Reveal())
		err = c.do(cmd)
	} else {
		cmd, err = c.authenticate(x, before["SASL-IR"])
	}
	if err == nil {
		return c.needCaps()
	}
	if c.err != nil {
		return c.err
	}
	c.caps = before
	if cmd.Result == nil || cmd.Result.Name != "NO" {
		return err
	}
	switch cmd.Result.Code {
	case "UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN", "PRIVACYREQUIRED":
		return err
	}
	text := dial.Clean(cmd.Result.Text)
	if refusal := x.Refusal(); refusal != "" {
		text += ", " + dial.Clean(refusal)
	}
	return &sasl.DeniedError{User: user, Mechanism: x.Mechanism, Text: text}
}

// authenticate: RFC 9051 6.2.2. Without SASL-IR the first words wait to be asked.
func (c *Conn) authenticate(x *sasl.Exchange, initialResponse bool) (*Command, error) {
	cmd := NewCommand("AUTHENTICATE " + x.Mechanism)
	first := x.First
	if first != nil && initialResponse {
		cmd.Add(" ").add(secretText, sasl.Encode(first))
		first = nil
	}
	if err := c.send(cmd); err != nil {
		return cmd, err
	}
	for cmd.Result == nil {
		r, err := c.next()
		if err != nil {
			return cmd, err
		}
		if r.Name != "+" {
			continue
		}
		if err := c.answer(x, r.Text, &first); err != nil {
			_ = c.write([]byte("*\r\n")) // wait tells if that fails
			return cmd, errors.Join(err, c.wait(cmd))
		}
	}
	return cmd, cmd.err()
}

func (c *Conn) answer(x *sasl.Exchange, challenge string, first *[]byte) error {
	answer := *first
	*first = nil
	if answer == nil {
		var err error
		if answer, err = x.Next(sasl.Decode([]byte(challenge))); err != nil {
			return err
		}
	}
	c.raw.Trace("C", "***")
	return c.write([]byte(base64.StdEncoding.EncodeToString(answer) + "\r\n"))
}
