package postfix_test

import (
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/postfix"
)

// outcomes are what Postfix does with a mail, however it runs the program.
var outcomes = map[string]string{
	"stored":         "sent 2.0.0",
	"unknown":        "bounced 5.1.1",
	"large":          "bounced 5.3.4",
	"large-quiet":    "bounced 5.3.0", // no text, so only the exit status counts
	"down":           "deferred 4.3.0",
	"flag":           "deferred 4.3.5",
	"config-missing": "deferred 4.3.5",
	"config-broken":  "deferred 4.3.5",
	"memory":         "deferred 4.3.0",
	"deadline":       "deferred 4.3.0",
	"term":           "deferred 4.3.0",
	"child-killed":   "deferred 4.3.0",
	"both-killed":    "deferred 4.3.0", // "Command died with signal 9"
}

func TestEndings(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	e := deliverytest.NewEndings(t, deliverytest.AsDeliverer(dsn))
	s := postfix.Setup{Deliver: e.Script, User: mtatest.LocalUser, Domains: []string{"setup.test"}}
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: e.Script,
		Aliases: map[string]string{
			"alias": `"|` + e.Script + `"`,
			"shell": `"|` + e.Script + ` --mailbox='INBOX'"`, // local(8) runs what has quotes through a shell
		},
		Pipe:        []string{e.Script, "-f", "${sender}", "--", "${recipient}"},
		ExtraMain:   fragment(t, s, "transport", "main.cf"),
		ExtraMaster: fragment(t, s, "transport", "master.cf"),
	})
	bounced := 0
	for _, way := range []struct{ name, to string }{
		{"mailbox_command", "nobody+%@local.test"}, {"alias", "alias+%@local.test"}, {"shell", "shell+%@local.test"},
		{"pipe", "u+%@row.test"}, {"fragment", "u+%@setup.test"},
	} {
		for _, name := range deliverytest.Names() {
			to := strings.Replace(way.to, "%", name, 1)
			server.Send(t, "s@sender.test", []string{to}, []byte("Subject: x\n\nbody\n"))
			e.Happen(t, name)
			r := server.WaitResults(t, 1, resultTimeout)[0]
			want := outcomes[name]
			if way.name == "shell" && name == "both-killed" {
				want = "bounced 5.3.0" // the shell makes status 137 of a signal
			}
			if got := r.Status + " " + r.DSN; got != want || r.Recipient != to {
				t.Errorf("%s, %s: got %s (%s), want %s", way.name, name, got, r.Text, want)
			}
			t.Logf("%-15s %-14s %s %s (%s)", way.name, name, r.Status, r.DSN, r.Text)
			if r.Status == "bounced" {
				bounced++
			}
		}
	}
	server.WaitBounces(t, bounced, resultTimeout)
	if rows := deliverytest.Rows(t, dsn, "select recipient from mailrow.mail where recipient not like '%+stored@%'"); rows != nil {
		t.Errorf("stored, and not said so: %v", rows)
	}
}
