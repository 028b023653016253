package exim_test

import (
	"testing"

	"mailrow/exim"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
)

// Five hundred mails of all kinds through Exim, set up as the fragments say:
// each byte that Exim writes is in the row.
func TestExact(t *testing.T) {
	mtatest.Need(t)
	mails := deliverytest.Corpus(t, 18, 33)
	dsn := deliverytest.Database(t)
	recorder := mtatest.Capture(t, deliverytest.Program(t))
	s := exim.Setup{
		Deliver: recorder.Path, Config: deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		User: mtatest.LocalUser, Domains: []string{"setup.test"},
	}
	deliverytest.Exact(t, start(t, s, "pipe"), recorder, dsn, "setup.test", mails,
		func(r mtatest.Run) string { return r.Getenv("RECIPIENT") },
		func(deliverytest.Mail) bool { return false })
}
