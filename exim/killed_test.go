package exim_test

import (
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
)

// Exim is killed while it writes a mail: there is no half mail.
func TestKilledExim(t *testing.T) {
	env := []string{"MESSAGE_ID=1xUwAO-0006eY-1X", "QUALIFY_DOMAIN=exim.test", "LOCAL_PART=bob", "SENDER=s@sender.test", "RECIPIENT=bob@row.test"}
	const batch = "MAIL FROM:<s@sender.test>\nRCPT TO:<bob@row.test>\nDATA\nSubject: x\n\n"
	for _, test := range []struct {
		name, half string
		flags      []string
	}{
		{"long", "Subject: x\n\n" + strings.Repeat("half a line\n", 20_000), nil},
		// The first of two dots is not the final one.
		{"batch", batch + ".", []string{"--bsmtp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			deliverytest.KilledWriter(t, deliverytest.Database(t), test.half, env, test.flags...)
		})
	}
}
