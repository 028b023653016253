package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/internal/pgtest"
)

// Everything is measured, with few mails, by whatever peers there are.
func TestAllIsMeasuredAndWritten(t *testing.T) {
	pgtest.Need(t)
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(path, []byte("<!-- figures: written by make bench-peers -->\n<!-- end of figures -->\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), settings{quick: true, write: path}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mailrow-deliver through the daemon", "mailrow lmtp", "pgbench", "mailrow import, then index", "procmail", "notmuch"} {
		if !strings.Contains(string(text), "| "+want) {
			t.Errorf("no row for %s in:\n%s", want, text)
		}
	}
	for _, chart := range []string{"process", "lmtp", "import"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "performance", chart+".svg")); err != nil {
			t.Error(err)
		}
	}
}

func TestMailOnTheWireComesBackAsItWas(t *testing.T) {
	for _, c := range []struct{ raw, onWire, stored string }{
		{"a: b\n\ntext\n", "a: b\r\n\r\ntext\r\n.\r\n", "a: b\r\n\r\ntext\r\n"},
		{".\n..x\n", "..\r\n...x\r\n.\r\n", ".\r\n..x\r\n"},
		{"no end", "no end\r\n.\r\n", "no end\r\n"},
		{"crlf\r\n.y\r\n", "crlf\r\n..y\r\n.\r\n", "crlf\r\n.y\r\n"},
	} {
		if got := string(wire([]byte(c.raw))); got != c.onWire {
			t.Errorf("%q goes as %q, want %q", c.raw, got, c.onWire)
		}
		if got := asStored([]byte(c.raw)); string(got) != c.stored || !bytes.Equal(wire(got), wire([]byte(c.raw))) {
			t.Errorf("%q is stored as %q, want %q", c.raw, got, c.stored)
		}
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	const path = "docs/performance.md"
	for want, s := range map[string]settings{
		"-only x":     {only: "x"},
		"whole run":   {only: "lmtp", write: path},
		"a whole run": {quick: true, write: path},
	} {
		if err := s.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}
