package exim_test

import (
	"testing"

	"mailrow/exim"
	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
)

// Five hundred mails of all kinds through Exim, set up as the fragments say, and
// some with Exim's defaults, which are a From_ line before and an LF after them:
// each byte that Exim writes is in the row.
func TestExact(t *testing.T) {
	mtatest.Need(t)
	mails := deliverytest.Corpus(t, 18, 33)
	fragments, defaults := deliverytest.Database(t), deliverytest.Database(t)
	program := deliverytest.Program(t)
	recorder := mtatest.Capture(t, program)
	other := mtatest.Capture(t, program, "--config="+deliverytest.Config(t, deliverytest.AsDeliverer(defaults)))
	s := exim.Setup{
		Deliver: recorder.Path, Config: deliverytest.Config(t, deliverytest.AsDeliverer(fragments)),
		User: mtatest.LocalUser, Domains: []string{"setup.test"},
	}
	server := mtatest.StartExim(t, mtatest.Exim{
		ExtraMain:       fragment(t, s, "pipe", "main"),
		ExtraRouters:    fragment(t, s, "pipe", "routers"),
		ExtraTransports: fragment(t, s, "pipe", "transports"),
		Transport:       "driver = pipe\ncommand = " + other.Path,
	})
	recipient := func(r mtatest.Run) string { return r.Getenv("RECIPIENT") }
	deliverytest.Exact(t, server, recorder, fragments, "m%d@setup.test", mails, recipient)
	var some []corpus.Mail
	for i := 0; i < len(mails); i += 10 {
		some = append(some, mails[i])
	}
	deliverytest.Exact(t, server, other, defaults, "m%d@row.test", some, recipient)
}
