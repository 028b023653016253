package importer

import (
	"time"

	"mailrow/collection"
	"mailrow/deliver"
	"mailrow/message"
	"mailrow/store"
)

// delivery makes of a mail what a delivery of it would have been.
func (i *Import) delivery(m *collection.Mail) *store.Delivery {
	parsed := message.Parse(m.Raw)
	trace := message.ReadTrace(m.Raw, parsed)
	to := message.Recipient{Address: i.Recipient, Original: trace.OriginalTo}
	if to.Original == "" {
		to.Original = trace.DeliveredTo
	}
	sender := trace.ReturnPath
	if sender == nil {
		sender = m.Sender
	}
	d := deliver.Address(deliver.Config{
		Account: i.Account, Mailbox: i.mailbox(m.Folder), RecipientDelimiter: i.RecipientDelimiter,
	}, message.Envelope{
		Source: "import", Sender: sender, Recipients: []message.Recipient{to},
		ReceivedAt: receivedAt(m, trace, parsed), Flags: m.Flags,
	})
	d.Raw, d.Message = m.Raw, parsed
	return d
}

// receivedAt is when a mail came, by the best witness: its mailbox; the server
// that received it last; its sender; the file that it is in, whose time may only
// tell when it was copied.
func receivedAt(m *collection.Mail, t message.Trace, parsed *message.Message) time.Time {
	candidates := []time.Time{m.ReceivedAt, t.ReceivedAt, {}, m.ModTime}
	if parsed.Date != nil {
		candidates[2] = *parsed.Date
	}
	for _, at := range candidates {
		if isPlausible(at) {
			return at
		}
	}
	return time.Time{}
}

// Programs that do not know the time write zero; no mail is older than the
// format of its header.
var (
	firstMail = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)
	clockSkew = 24 * time.Hour
)

func isPlausible(at time.Time) bool {
	return at.After(firstMail) && at.Before(time.Now().Add(clockSkew))
}
