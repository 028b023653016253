package wildcard

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelect(t *testing.T) {
	names := []string{"INBOX", "Archive", "Archive/2026", "Archive/2026/Q1", "Sent", "a.b", "a+b", "two\nlines"}
	tests := []struct {
		name     string
		patterns []string
		want     []string
	}{
		{"everything", []string{"*"}, names},
		{"one level", []string{"%"}, []string{"INBOX", "Archive", "Sent", "a.b", "a+b", "two\nlines"}},
		{"below", []string{"Archive/*"}, []string{"Archive/2026", "Archive/2026/Q1"}},
		{"one level below", []string{"Archive/%"}, []string{"Archive/2026"}},
		{"in the middle", []string{"A*Q1"}, []string{"Archive/2026/Q1"}},
		{"each once", []string{"Sent", "S%", "INBOX"}, []string{"INBOX", "Sent"}},
		{"inbox", []string{"inbox"}, []string{"INBOX"}},
		{"nothing else is a wildcard", []string{"a.b", "a+b"}, []string{"a.b", "a+b"}},
		{"a wildcard that matches nothing", []string{"Nothing*"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Select(names, test.patterns)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	for _, pattern := range []string{"Trash", "archive", "", "Archive/", "a?b", "\xff"} {
		if got, err := Select([]string{"Archive", "a.b"}, []string{"*", pattern}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Select(%q) = %q, %v, want fs.ErrNotExist", pattern, got, err)
		}
	}
}
