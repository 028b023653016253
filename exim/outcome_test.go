package exim_test

import (
	"strings"
	"testing"

	"mailrow/exim"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
)

// outcomes are what Exim does with a mail: set up as the fragments say, and
// with nothing but a command.
var outcomes = map[string]struct{ fragments, bare string }{
	"stored":         {"sent", "sent"},
	"unknown":        {"bounced", "bounced"},
	"large":          {"bounced", "bounced"},
	"large-quiet":    {"bounced", "bounced"},
	"down":           {"deferred", "deferred"},
	"flag":           {"deferred", "deferred"},
	"config-missing": {"deferred", "deferred"},
	"config-broken":  {"deferred", "deferred"},
	"memory":         {"deferred", "deferred"},
	"deadline":       {"deferred", "deferred"},
	"term":           {"deferred", "deferred"},
	"child-killed":   {"deferred", "deferred"},
	// Nobody is left to say "try again".
	"both-killed": {"deferred frozen", "bounced"},
}

func TestEndings(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	e := deliverytest.NewEndings(t, deliverytest.AsDeliverer(dsn))
	s := exim.Setup{Deliver: e.Script, User: mtatest.LocalUser, Domains: []string{"setup.test"}}
	server := mtatest.StartExim(t, mtatest.Exim{
		ExtraMain:       fragment(t, s, "pipe", "main"),
		ExtraRouters:    fragment(t, s, "pipe", "routers"),
		ExtraTransports: fragment(t, s, "pipe", "transports"),
		Transport:       "driver = pipe\ncommand = " + e.Script,
	})
	bounced := 0
	for _, name := range deliverytest.Names() {
		for way, want := range map[string]string{"setup.test": outcomes[name].fragments, "row.test": outcomes[name].bare} {
			server.Send(t, "s@sender.test", []string{"u+" + name + "@" + way}, []byte("Subject: x\n\nbody\n"))
			e.Happen(t, name)
			var got []string
			for _, r := range server.WaitResults(t, len(strings.Fields(want)), resultTimeout) {
				got = append(got, r.Status)
				t.Logf("%-10s %-14s %-8s %s", way, name, r.Status, r.Text)
				if r.Status == "bounced" {
					bounced++
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s at %s: got %s, want %s", name, way, got, want)
			}
		}
	}
	server.WaitBounces(t, bounced, resultTimeout)
	if rows := deliverytest.Rows(t, dsn, "select recipient from mailrow.mail where recipient not like '%+stored@%'"); rows != nil {
		t.Errorf("stored, and not said so: %v", rows)
	}
}
