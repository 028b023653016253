package nearest_test

import (
	"slices"
	"strings"
	"testing"

	"mailrow/internal/nearest"
)

func TestNames(t *testing.T) {
	names := []string{"ann@example.com", "bob@example.com", "carol@example.org", "Archive/2026", "Archive/2025", "INBOX", "Größen", "日本"}
	for wrong, want := range map[string]string{
		"ann@exmaple.com":        "ann@example.com",
		"Ann@Example.com":        "ann@example.com",
		"ann":                    "ann@example.com",
		"carol":                  "carol@example.org",
		"carol@example.com":      "carol@example.org",
		"Archive":                "Archive/2026 Archive/2025",
		"archive/2025":           "Archive/2025 Archive/2026",
		"Inbox":                  "INBOX",
		"Grösen":                 "Größen",
		"日木":                     "日本",
		"@example.com":           "ann@example.com bob@example.com",
		"somebody else entirely": "",
		"":                       "",
	} {
		if got := strings.Join(nearest.Names(wrong, slices.Values(names)), " "); got != want {
			t.Errorf("%q: got %q, want %q", wrong, got, want)
		}
	}
	if got := nearest.Names("a", slices.Values(strings.Fields("a1 a2 a3 a4 a5"))); len(got) != 3 {
		t.Errorf("got %q, want three", got)
	}
}
