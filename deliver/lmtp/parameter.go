package lmtp

import (
	"strconv"
	"strings"
)

// eachParameter gives the parameters of MAIL or RCPT, keywords in upper case.
func eachParameter(s string, use func(keyword, value string) *Reply) *Reply {
	for _, field := range strings.Fields(s) {
		keyword, value, _ := strings.Cut(field, "=")
		if bad := use(strings.ToUpper(keyword), value); bad != nil {
			return bad
		}
	}
	return nil
}

func badValue(keyword string) *Reply {
	return &Reply{501, "5.5.4", "wrong value of " + keyword}
}

func unknownParameter(keyword string) *Reply {
	return &Reply{555, "5.5.4", "unknown parameter " + keyword}
}

// parameters reads those of MAIL: RFC 1870, 6152, 3030, 6531, 3461, 4954. Those of
// RFC 3461 are the sender's, and not every mail server looks at what it passes on: they
// are recorded as they are, since a refusal would send the mail back.
func (t *transaction) parameters(s string) *Reply {
	return eachParameter(s, func(keyword, value string) *Reply {
		switch keyword {
		case "SIZE":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return badValue(keyword)
			}
			t.declared = n
		case "BODY":
			switch strings.ToUpper(value) {
			case "7BIT", "8BITMIME":
			case "BINARYMIME":
				t.binary = true
			default:
				return badValue(keyword)
			}
		case "SMTPUTF8", "AUTH":
		case "RET":
			t.Return = strings.ToUpper(value)
		case "ENVID":
			t.EnvelopeID = xtext(value)
		default:
			return unknownParameter(keyword)
		}
		return nil
	})
}

// parameters reads those of RCPT: RFC 3461.
func (to *Recipient) parameters(s string) *Reply {
	return eachParameter(s, func(keyword, value string) *Reply {
		switch keyword {
		case "NOTIFY":
			to.Notify = strings.ToUpper(value)
		case "ORCPT":
			_, address, _ := strings.Cut(value, ";")
			to.Original = xtext(address)
		default:
			return unknownParameter(keyword)
		}
		return nil
	})
}

// xtext undoes "+2B" (RFC 3461 4). What is no escape stays.
func xtext(s string) string {
	if !strings.Contains(s, "+") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// xforward reads what Postfix says of the client that it has the next mails from
// (XFORWARD_README); it may say it in several commands.
func (c *session) xforward(argument string) {
	if c.mail != nil {
		c.refuse(Reply{503, "5.5.1", "there is a mail under way"})
		return
	}
	client := c.client
	for _, field := range strings.Fields(argument) {
		name, value, found := strings.Cut(field, "=")
		if !found {
			c.refuse(Reply{501, "5.5.4", "write XFORWARD name=value"})
			return
		}
		if value = xtext(value); value == "[UNAVAILABLE]" || value == "[TEMPUNAVAIL]" {
			value = ""
		}
		switch strings.ToUpper(name) {
		case "NAME":
			client.Name = value
		case "ADDR":
			client.Address = strings.TrimPrefix(value, "IPv6:")
		case "PROTO":
			client.Protocol = value
		case "HELO":
			client.Helo = value
		case "IDENT":
			client.QueueID = value
		case "PORT", "SOURCE":
		default:
			c.refuse(Reply{501, "5.5.4", "unknown attribute " + name})
			return
		}
	}
	c.client = client
	c.reply(Reply{250, "2.0.0", "client noted"})
}
