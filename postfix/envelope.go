// Package postfix makes an envelope of what Postfix hands to a delivery command,
// and prints the configuration that makes Postfix run ours.
package postfix

import (
	"net/netip"
	"strings"

	"mailrow/message"
)

// Getenv looks an environment variable up, as os.Getenv does.
type Getenv func(string) string

// Detect tells whether Postfix runs us: its local(8) and pipe(8) both set
// MAIL_CONFIG, and only local(8) sets RECIPIENT.
func Detect(getenv Getenv) (local, pipe bool) {
	if getenv("MAIL_CONFIG") == "" {
		return false, false
	}
	local = getenv("RECIPIENT") != ""
	return local, !local
}

// Local reads local(8): mailbox_command, |command in aliases and in .forward.
// Its environment has each byte outside command_expansion_filter replaced by
// "_"; the fields that it writes above the mail have the true bytes, and are
// taken where they say the same.
func Local(getenv Getenv, t message.Trace) message.Envelope {
	sender := getenv("SENDER")
	if t.ReturnPath != nil && says(sender, *t.ReturnPath) {
		sender = *t.ReturnPath
	}
	to := message.Recipient{
		Address:   truer(getenv("RECIPIENT"), t.DeliveredTo),
		Original:  truer(getenv("ORIGINAL_RECIPIENT"), t.OriginalTo),
		Extension: getenv("EXTENSION"),
	}
	to.Extension = trueExtension(to)
	e := client(getenv)
	if t.Helo != "" && mangled(t.Helo) == e.ClientHelo {
		e.ClientHelo = t.Helo
	}
	e.Source = "postfix-local"
	e.Sender = &sender
	e.Recipients = []message.Recipient{to}
	e.QueueID = t.QueueID
	return e
}

// Pipe reads pipe(8), which says everything in arguments of the operator's
// choice; what is left are the fields above the mail.
func Pipe(t message.Trace) message.Envelope {
	e := message.Envelope{Source: "postfix-pipe", Sender: t.ReturnPath, QueueID: t.QueueID}
	if t.DeliveredTo != "" {
		e.Recipients = []message.Recipient{{Address: t.DeliveredTo, Original: t.OriginalTo}}
	}
	return e
}

func client(getenv Getenv) message.Envelope {
	e := message.Envelope{
		ClientHelo:     getenv("CLIENT_HELO"),
		ClientName:     getenv("CLIENT_HOSTNAME"),
		ClientProtocol: getenv("CLIENT_PROTOCOL"),
		SASLUsername:   getenv("SASL_USERNAME"),
	}
	e.ClientAddress, _ = netip.ParseAddr(getenv("CLIENT_ADDRESS"))
	return e
}

// truer gives the field's address where the environment says the same of it.
func truer(environment, field string) string {
	if field != "" && says(environment, field) {
		return field
	}
	return environment
}

// passed are the bytes that the default command_expansion_filter lets through.
const passed = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// says tells whether environment is what local(8) makes of address, quoted or not.
func says(environment, address string) bool {
	local, domain := message.SplitPath(address)
	unquoted := local
	if domain != "" {
		unquoted += "@" + domain
	}
	return strings.EqualFold(environment, mangled(address)) || strings.EqualFold(environment, mangled(unquoted))
}

func mangled(s string) string {
	b := []byte(s)
	for i, c := range b {
		if strings.IndexByte(passed, c) < 0 {
			b[i] = '_'
		}
	}
	return string(b)
}

// trueExtension takes the extension from the recipient, where it ends in what
// the environment made of it.
func trueExtension(to message.Recipient) string {
	local, _ := message.SplitPath(to.Address)
	start := len(local) - len(to.Extension)
	if to.Extension != "" && start > 0 && strings.EqualFold(mangled(local[start:]), to.Extension) {
		return local[start:]
	}
	return to.Extension
}
