// Package exim makes an envelope of what Exim's pipe transport hands to its
// command, and prints the configuration that makes Exim run ours.
package exim

import (
	"net/netip"
	"strings"

	"mailrow/message"
)

// Getenv looks an environment variable up, as os.Getenv does.
type Getenv func(string) string

// Detect tells whether Exim runs us, by the variables that its pipe transport
// always sets.
func Detect(getenv Getenv) bool {
	return getenv("MESSAGE_ID") != "" && getenv("QUALIFY_DOMAIN") != ""
}

// Pipe reads the pipe transport. Its environment has the true bytes, but
// unquoted and in lower case; Envelope-To, where return_path_add and
// envelope_to_add are set, has them as the client wrote them. A batch leaves
// the environment without a recipient.
func Pipe(getenv Getenv, t message.Trace) message.Envelope {
	sender := message.ReversePath(getenv("SENDER"))
	e := message.Envelope{
		Source:         "exim-pipe",
		Sender:         &sender,
		QueueID:        getenv("MESSAGE_ID"),
		ClientHelo:     getenv("CLIENT_HELO"),
		ClientName:     getenv("CLIENT_NAME"),
		ClientProtocol: getenv("CLIENT_PROTOCOL"),
		SASLUsername:   getenv("SASL_USERNAME"),
	}
	e.ClientAddress, _ = netip.ParseAddr(getenv("CLIENT_ADDRESS"))
	recipient := message.ForwardPath(getenv("RECIPIENT"))
	if local, _ := message.SplitPath(recipient); local == "" {
		for _, path := range t.EnvelopeTo {
			e.Recipients = append(e.Recipients, message.Recipient{Address: path})
		}
		return e
	}
	to := message.Recipient{Address: recipient}
	if len(t.EnvelopeTo) == 1 {
		to.Original = t.EnvelopeTo[0]
		if strings.EqualFold(to.Original, recipient) {
			to.Address = to.Original
		}
	}
	to.Extension = extension(getenv("LOCAL_PART_SUFFIX"), to.Address)
	e.Recipients = []message.Recipient{to}
	return e
}

// extension takes the delimiter off a local part suffix such as "+lists", in
// the case that the address has it.
func extension(suffix, address string) string {
	if suffix == "" {
		return ""
	}
	local, _ := message.SplitPath(address)
	if at := len(local) - len(suffix); at >= 0 && strings.EqualFold(local[at:], suffix) {
		suffix = local[at:]
	}
	return suffix[1:]
}
