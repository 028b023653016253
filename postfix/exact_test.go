package postfix_test

import (
	"testing"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/postfix"
)

// Five hundred mails of all kinds through pipe(8), set up as the fragment says,
// and some through local(8), which puts a From_ line and fields before them:
// each byte that Postfix writes is in the row.
func TestExact(t *testing.T) {
	mtatest.Need(t)
	mails := deliverytest.Corpus(t, 18, 33)
	piped, boxed := deliverytest.Database(t), deliverytest.Database(t)
	program := deliverytest.Program(t)
	pipe := mtatest.Capture(t, program)
	box := mtatest.Capture(t, program, "--config="+deliverytest.Config(t, deliverytest.AsDeliverer(boxed)))
	s := postfix.Setup{
		Deliver: pipe.Path, Config: deliverytest.Config(t, deliverytest.AsDeliverer(piped)),
		User: mtatest.LocalUser, Domains: []string{"setup.test"},
	}
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: box.Path,
		ExtraMain:      fragment(t, s, "transport", "main.cf"),
		ExtraMaster:    fragment(t, s, "transport", "master.cf"),
	})
	deliverytest.Exact(t, server, pipe, piped, "m%d@setup.test", mails,
		func(r mtatest.Run) string { return r.Args[len(r.Args)-1] })
	var some []corpus.Mail
	for i := 0; i < len(mails); i += 10 {
		some = append(some, mails[i])
	}
	deliverytest.Exact(t, server, box, boxed, mtatest.LocalUser+"+m%d@local.test", some,
		func(r mtatest.Run) string { return r.Getenv("RECIPIENT") })
}
