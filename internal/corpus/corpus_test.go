package corpus

import "testing"

func TestCounts(t *testing.T) {
	if got := len(Real(t)); got != 8742 {
		t.Errorf("%d real mails, want 8742", got)
	}
	if got := len(Torture(t)); got != 999 {
		t.Errorf("%d odd mails, want 999", got)
	}
}
