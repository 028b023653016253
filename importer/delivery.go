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

// receivedAt is when a mail came. Its mailbox knows it best; but where that says a
// day more than the server that received it last, or its sender where none did,
// then somebody has copied the mailbox since. The time of a file by itself is the
// last resort.
func receivedAt(m *collection.Mail, t message.Trace, parsed *message.Message) time.Time {
	says := t.ReceivedAt
	if !isPlausible(says) && parsed.Date != nil {
		says = *parsed.Date
	}
	switch {
	case isPlausible(says) && (!isPlausible(m.ReceivedAt) || m.ReceivedAt.After(says.Add(day))):
		return says
	case isPlausible(m.ReceivedAt):
		return m.ReceivedAt
	case isPlausible(m.ModTime):
		return m.ModTime
	}
	return time.Time{}
}

const day = 24 * time.Hour

// Programs that do not know the time write zero; no mail is older than the
// format of its header.
var firstMail = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)

func isPlausible(at time.Time) bool {
	return at.After(firstMail) && at.Before(time.Now().Add(day))
}
