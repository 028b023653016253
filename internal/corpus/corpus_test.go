package corpus

import "testing"

func TestCounts(t *testing.T) {
	dir, err := Find()
	if err != nil {
		t.Skip(err)
	}
	if got, err := Real(dir); err != nil || len(got) != 8742 {
		t.Errorf("%d real mails, want 8742: %v", len(got), err)
	}
	if got, err := Odd(dir); err != nil || len(got) != 999 {
		t.Errorf("%d odd mails, want 999: %v", len(got), err)
	}
}
