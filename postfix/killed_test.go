package postfix_test

import (
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
)

// Postfix is killed while it writes a mail: there is no half mail.
func TestKilledPostfix(t *testing.T) {
	env := []string{"MAIL_CONFIG=/etc/postfix", "SENDER=s@sender.test", "RECIPIENT=bob@local.test"}
	for name, half := range map[string]string{
		"long":  "Subject: x\n\n" + strings.Repeat("half a line\n", 20_000),
		"short": "Subject: x\n\nhalf",
	} {
		t.Run(name, func(t *testing.T) { deliverytest.KilledWriter(t, deliverytest.Database(t), half, env) })
	}
}
