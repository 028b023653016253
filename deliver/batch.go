package deliver

import (
	"context"
	"errors"
	"io"

	"mailrow/deliver/bsmtp"
	"mailrow/message"
)

// RunBatch delivers a BSMTP batch, each mail in a transaction of its own. The
// first temporary trouble ends it with 75, and the whole batch comes again:
// what is stored then is found and not stored twice. It is a rejection only
// when every mail of the batch was rejected; a batch of which a part was is
// tried again, since one status cannot refuse only that part.
func RunBatch(ctx context.Context, c Config, envelopeOf EnvelopeOf, in Input) Outcome {
	way := newWay(ctx, c)
	defer way.close()
	room, err := newRoom(c.MaxSize)
	if err != nil {
		return failed(CauseMemory, err)
	}
	reader := bsmtp.NewReader(in.File, room)
	stored, last := 0, Outcome{Cause: CauseStored}
	for {
		mail, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return batchOutcome(err)
		}
		outcome := Outcome{Cause: CauseTooLarge}
		if !mail.TooLarge {
			outcome = way.deliver(mail.Raw, withPaths(envelopeOf, mail))
		}
		switch outcome.Exit() {
		case exitOK:
			stored++
		case exitTempFail:
			return outcome
		default:
			last = outcome
		}
	}
	if stored > 0 && last.Cause != CauseStored {
		return Outcome{Cause: CauseSomeRefused, Detail: last.Line()}
	}
	return last
}

func batchOutcome(err error) Outcome {
	var syntax *bsmtp.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return failed(CauseBatch, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Outcome{Cause: CauseInput, Detail: endedEarly}
	}
	return failed(CauseInput, err)
}

// withPaths puts the paths of the batch over those of the environment, which
// Exim leaves empty for a batch.
func withPaths(envelopeOf EnvelopeOf, m *bsmtp.Mail) EnvelopeOf {
	return func(t message.Trace) message.Envelope {
		e := envelopeOf(t)
		e.Source = "bsmtp"
		e.Sender = &m.Sender
		e.Recipients = nil
		for _, path := range m.Recipients {
			e.Recipients = append(e.Recipients, message.Recipient{Address: path})
		}
		if e.ClientHelo == "" {
			e.ClientHelo = m.Helo
		}
		return e
	}
}
