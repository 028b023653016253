package message

import (
	"net/netip"
	"time"
)

// Envelope is what came with a mail but is not in it: who sent it to whom
// (RFC 5321 2.3.1), through which client, and which way it reached us. Every
// string is as the MTA gave it; an empty one means that it was not given.
type Envelope struct {
	// Sender is the reverse-path: nil when it is not known, "" for the null
	// reverse-path of a bounce (RFC 5321 4.5.5).
	Sender     *string
	Recipients []Recipient

	ClientAddress  netip.Addr // invalid when the mail was submitted on the machine itself
	ClientHelo     string     // argument of HELO, EHLO or LHLO
	ClientName     string     // host name as the MTA found it
	ClientProtocol string     // SMTP, ESMTP, ESMTPSA, …
	SASLUsername   string
	QueueID        string

	Source     string    // way in: "postfix-local", "postfix-pipe", "exim-pipe", "bsmtp", "pipe"
	ReceivedAt time.Time // zero: the moment of storing
	Flags      []string  // IMAP flags and keywords
}

// Recipient is one forward-path of an Envelope.
type Recipient struct {
	Address  string // as given, with its extension
	Original string // before aliases were applied; "" when it is not known

	// Extension is what follows the recipient delimiter in the local part;
	// "" when there is none.
	Extension string

	// DSN is what the sender asked of delivery status notifications (RFC 3461):
	// RET=, ENVID= and NOTIFY= in that order; "" when nothing.
	DSN string
}
