package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"

	"mailrow/poller/dial"
	"mailrow/poller/sasl"
)

// Login logs in. A secret that the server does not accept is a *sasl.DeniedError.
func (c *Conn) Login(ctx context.Context, who *sasl.Credentials) error {
	defer c.guard(ctx)()
	// RFC 6856 2.1: without it a server may rewrite mail that has UTF-8 in its header.
	if c.Has("UTF8") {
		var refused *RefusedError
		if _, err := c.do("UTF8"); err != nil && !errors.As(err, &refused) {
			return c.told(ctx, err)
		}
	}
	err := who.LogIn(ctx, c.offer(), c.server.Warnf, func(x *sasl.Exchange) error { return c.exchange(x, who.User) })
	return c.told(ctx, err)
}

func (c *Conn) offer() sasl.Offer {
	o := sasl.Offer{
		Mechanisms: append([]string(nil), c.caps["SASL"]...),
		Command:    c.Has("USER") || len(c.caps["SASL"]) == 0,
		Private:    c.raw.Private(),
		Host:       c.server.Host,
		Port:       c.server.Port,
	}
	if c.stamp != "" {
		o.Mechanisms = append(o.Mechanisms, sasl.APOP)
	}
	return o
}

func (c *Conn) exchange(x *sasl.Exchange, user string) error {
	c.hide = x.Secret.Hide
	defer func() { c.hide = nil }()
	err := c.prove(x, user)
	var refused *RefusedError
	if c.err != nil || !errors.As(err, &refused) || !c.denies(refused) {
		return err
	}
	text := refused.Text
	if refusal := x.Refusal(); refusal != "" {
		text += ", " + dial.Clean(refusal)
	}
	return &sasl.DeniedError{User: user, Mechanism: x.Mechanism, Text: text}
}

// denies: RFC 3206 5. Who has the code AUTH uses it for nothing but the secret.
func (c *Conn) denies(e *RefusedError) bool {
	return e.Code == "AUTH" || e.Code == "" && !c.Has("AUTH-RESP-CODE")
}

func (c *Conn) prove(x *sasl.Exchange, user string) error {
	switch x.Mechanism {
	case "":
		if _, err := c.do("USER " + user); err != nil {
			return err
		}
		_, err := c.do("PASS " + x.Secret.Reveal())
		return err
	case sasl.APOP:
		digest, err := x.Next([]byte(c.stamp))
		if err != nil {
			return err
		}
		_, err = c.do("APOP " + string(digest))
		return err
	}
	return c.authenticate(x)
}

// authenticate: RFC 5034. Office 365 takes a token only in a line of its own, as
// the RFC wants it of what is long; some server may take it only in the first.
func (c *Conn) authenticate(x *sasl.Exchange) error {
	command := "AUTH " + x.Mechanism
	asked, err := c.dialogue(x, command, x.First)
	var refused *RefusedError
	if x.First == nil || asked || !errors.As(err, &refused) || refused.Code != "" {
		return err
	}
	_, err = c.dialogue(x, command+" "+sasl.Encode(x.First), nil)
	return err
}

// dialogue answers the server until it has made up its mind. asked says whether it
// asked for anything.
func (c *Conn) dialogue(x *sasl.Exchange, command string, first []byte) (asked bool, err error) {
	if err := c.send(command); err != nil {
		return false, err
	}
	for ; ; asked = true {
		line, _, err := c.readLine()
		if err != nil {
			return asked, err
		}
		challenge, more := bytes.CutPrefix(line, []byte("+"))
		if !more || bytes.HasPrefix(bytes.ToUpper(challenge), []byte("OK")) {
			_, err := c.status("AUTH", line)
			return asked, err
		}
		c.raw.Trace("S", "+ "+x.Secret.Hide(string(bytes.TrimSpace(challenge))))
		answer := first
		if first = nil; answer == nil {
			if answer, err = x.Next(sasl.Decode(challenge)); err != nil {
				_, refused := c.do("*")
				return true, errors.Join(err, refused)
			}
		}
		c.raw.Trace("C", "***")
		if err := c.write(base64.StdEncoding.EncodeToString(answer) + "\r\n"); err != nil {
			return true, err
		}
	}
}
