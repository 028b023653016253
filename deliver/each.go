package deliver

import (
	"context"

	"mailrow/message"
	"mailrow/store"
)

// RunEach delivers a mail over connections that are kept, and gives an outcome for
// each recipient of the envelope, in their order. All are stored in one transaction:
// where the database fails, it fails for all.
func RunEach(ctx context.Context, p *store.Pool, c Config, mail []byte, envelopeOf EnvelopeOf) []Outcome {
	var given []message.Recipient
	delivery := newDelivery(c, mail, nil, func(t message.Trace) message.Envelope {
		e := envelopeOf(t)
		given = e.Recipients
		return e
	})
	outcomes := make([]Outcome, len(given))
	if len(delivery.Lookups) == 0 {
		return fill(outcomes, noRecipient)
	}
	results, err := p.Deliver(ctx, delivery)
	if err != nil {
		return fill(outcomes, OutcomeOf(err))
	}
	byAddress := make(map[string]Outcome, len(results))
	for i, to := range delivery.Envelope.Recipients {
		o := Outcome{Cause: CauseStored}
		if results[i].Outcome == store.Unknown {
			o = Outcome{Cause: CauseUnknownRecipient, Detail: to.Address}
		}
		byAddress[to.Address] = o
	}
	for i, to := range given {
		o, found := byAddress[bounded(message.ForwardPath(to.Address))]
		if !found { // an address of nothing but blanks
			o = noRecipient
		}
		outcomes[i] = o
	}
	return outcomes
}

func fill(outcomes []Outcome, o Outcome) []Outcome {
	for i := range outcomes {
		outcomes[i] = o
	}
	return outcomes
}
