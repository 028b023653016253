package corpus

import (
	"bytes"
	"testing"

	"mailrow/message"
)

func TestCorpusIsComplete(t *testing.T) {
	dir, err := Find()
	if err != nil {
		t.Skip(err)
	}
	real, err := Real(dir)
	if err != nil || len(real) != 8742 {
		t.Errorf("%d real mails, want 8742: %v", len(real), err)
	}
	for _, mail := range real {
		raw, _ := message.SplitFromLine(mail.Raw)
		if name, _, _ := bytes.Cut(raw, []byte(":")); len(name) == 0 || bytes.ContainsAny(name, " \n") {
			t.Errorf("%s begins with %.40q", mail.Name, raw)
		}
	}
	if odd, err := Odd(dir); err != nil || len(odd) != 999 {
		t.Errorf("%d odd mails, want 999: %v", len(odd), err)
	}
}
