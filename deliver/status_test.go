package deliver

import (
	"fmt"
	"strings"
	"testing"
)

// The law of the table: what is not a rejection that somebody asked for is 0 or 75.
func TestTable(t *testing.T) {
	for i, row := range table {
		if row.Cause != Cause(i) {
			t.Errorf("row %d has cause %d", i, row.Cause)
		}
		rejection := row.Cause == CauseUnknownRecipient || row.Cause == CauseTooLarge
		var class string
		switch {
		case row.Exit == exitOK:
			class = "2."
		case rejection && row.Exit != exitTempFail:
			class = "5."
		case !rejection && row.Exit == exitTempFail:
			class = "4."
		}
		if class == "" || !strings.HasPrefix(row.Enhanced, class) {
			t.Errorf("%q: exit %d, status code %s", row.Text, row.Exit, row.Enhanced)
		}
	}
	for trouble, cause := range causeOfTrouble {
		if table[cause].Exit != exitTempFail {
			t.Errorf("trouble %d of the database ends in %d", trouble, table[cause].Exit)
		}
	}
}

func TestLineIsOneShortLine(t *testing.T) {
	line := Outcome{Cause: CauseDatabase, Detail: "a\nb\r\x00\x1b[31m\t c " + strings.Repeat("é", 1000)}.Line()
	want := "4.3.0 mailrow: database error: a b [31m c é"
	if !strings.HasPrefix(line, want) || len(line) > maxLine {
		t.Errorf("got %q", line)
	}
	if got := (Outcome{Cause: CauseStored, Detail: "x"}).Line(); got != "" {
		t.Errorf("success says %q", got)
	}
	if got := fmt.Sprint(Outcome{Cause: CauseAway}.Exit()); got != "75" {
		t.Errorf("exit %s", got)
	}
}
