// Package deliver takes one mail from an MTA to its rows: bytes, envelope,
// message, store, and an outcome that one table turns into an exit status.
//
// Its law: unknown means try again. Only what the table names as a rejection
// bounces a mail, and only a commit is success.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"mailrow/message"
	"mailrow/store"
)

// EnvelopeOf makes the envelope of a mail of what the MTA gave otherwise, its
// environment and arguments, and of what it wrote above the mail.
type EnvelopeOf func(message.Trace) message.Envelope

// Input is where the mail comes from.
type Input struct {
	File *os.File

	// Whole tells, after the end of File was read, whether that is the end of
	// the mail: a writer that was killed leaves an end, too.
	Whole func() bool
}

// Run delivers one mail and tells how that ended. It gives up when ctx ends;
// the caller may then leave without waiting for it.
func Run(ctx context.Context, c Config, envelopeOf EnvelopeOf, in Input) Outcome {
	way := newWay(ctx, c)
	defer way.close()
	raw, err := readMail(in.File, c.MaxSize)
	if err != nil {
		return inputOutcome(err, c)
	}
	if !in.Whole() {
		return Outcome{Cause: CauseInput, Detail: endedEarly}
	}
	return way.deliver(raw, envelopeOf)
}

const endedEarly = "the MTA ended before the mail did"

func inputOutcome(err error, c Config) Outcome {
	switch {
	case errors.Is(err, errTooLarge):
		return Outcome{Cause: CauseTooLarge, Detail: fmt.Sprintf("the limit is %d bytes", c.MaxSize)}
	case errors.Is(err, errNoMemory):
		return failed(CauseMemory, err)
	}
	return failed(CauseInput, err)
}

// deliver stores one mail. It may be called again for the next.
func (d *database) deliver(ctx context.Context, c Config, raw []byte, envelopeOf EnvelopeOf) Outcome {
	mail, fromLine := message.SplitFromLine(raw)
	delivery := newDelivery(c, mail, fromLine, envelopeOf)
	if len(delivery.Lookups) == 0 {
		return noRecipient
	}
	conn, err := d.connection()
	if err != nil {
		return OutcomeOf(err)
	}
	results, err := conn.Deliver(ctx, delivery)
	if err != nil {
		return OutcomeOf(err)
	}
	return outcomeOfResults(results, delivery.Envelope.Recipients)
}

var noRecipient = Outcome{Cause: CauseNoRecipient, Detail: "give it after --, or use --account"}

// newDelivery makes what the store needs of a mail and the sender that a line above
// it names. Of recipients that are the same it keeps one; it has none where nobody
// named one.
func newDelivery(c Config, mail []byte, fromLine *string, envelopeOf EnvelopeOf) *store.Delivery {
	parsed := message.Parse(mail)
	trace := message.ReadTrace(mail, parsed)
	if trace.ReturnPath == nil {
		trace.ReturnPath = fromLine
	}
	delivery := Address(c, envelopeOf(trace))
	delivery.Raw, delivery.Message, delivery.Identity = mail, parsed, trace.Identity
	return delivery
}

// Address begins a delivery: to each recipient of the envelope once, by what the
// configuration says. With an account but no recipient the account is the recipient;
// without either there is none.
func Address(c Config, e message.Envelope) *store.Delivery {
	given := e.Recipients
	if len(given) == 0 && c.Account != "" {
		given = []message.Recipient{{Address: c.Account}}
	}
	e.Recipients = nil
	d := &store.Delivery{
		Envelope: &e, Account: bounded(c.Account), Mailbox: bounded(MailboxName(c.Mailbox)),
		ExtensionMailbox: c.ExtensionMailbox, RejectUnknown: c.RejectUnknown,
	}
	seen := make(map[string]bool, len(given))
	for _, to := range given {
		to.Address = message.ForwardPath(to.Address)
		if to.Address == "" || seen[to.Address] {
			continue
		}
		seen[to.Address] = true
		l := Lookup(to, c.RecipientDelimiter)
		if short := bounded(to.Address); short != to.Address {
			to.Address = short
			d.Defects = append(d.Defects, "recipient-too-long")
		}
		d.Envelope.Recipients = append(d.Envelope.Recipients, to)
		d.Lookups = append(d.Lookups, l)
	}
	return d
}

// MailboxName writes INBOX in its one form (RFC 9051 5.1).
func MailboxName(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// outcomeOfResults makes one status of several recipients. Where some are
// refused and others are not, no status is right for all: what is known is
// stored, and 75 says that something is left to do. The next try stores nothing
// twice.
func outcomeOfResults(results []store.Result, to []message.Recipient) Outcome {
	refused, first := 0, ""
	for i, r := range results {
		if r.Outcome == store.Unknown {
			if refused == 0 {
				first = to[i].Address
			}
			refused++
		}
	}
	switch refused {
	case 0:
		return Outcome{Cause: CauseStored}
	case len(results):
		return Outcome{Cause: CauseUnknownRecipient, Detail: first}
	}
	return Outcome{Cause: CauseSomeRefused,
		Detail: first + "; let the MTA give one recipient per run"}
}
