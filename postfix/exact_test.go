package postfix_test

import (
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/postfix"
)

// Five hundred mails of all kinds through Postfix, set up as the fragments say:
// each byte that Postfix writes is in the row.
func TestExact(t *testing.T) {
	mtatest.Need(t)
	mails := deliverytest.Corpus(t, 18, 33)
	dsn := deliverytest.Database(t)
	recorder := mtatest.Capture(t, deliverytest.Program(t))
	s := postfix.Setup{
		Deliver: recorder.Path, Config: deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		User: mtatest.LocalUser, Domains: []string{"setup.test"},
	}
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		ExtraMain:   fragment(t, s, "transport", "main.cf"),
		ExtraMaster: fragment(t, s, "transport", "master.cf"),
	})
	deliverytest.Exact(t, server, recorder, dsn, "setup.test", mails,
		func(r mtatest.Run) string { return r.Args[len(r.Args)-1] },
		func(deliverytest.Mail) bool { return false })
}
