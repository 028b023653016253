package shell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// one has the commands of an IMAP session, as far as names matter.
type one struct{}

func (one) Commands() []Command {
	return []Command{
		{Name: "select", Complete: At(0, Folder)}, {Name: "search"}, {Name: "save", Complete: At(1, File)},
		{Name: "flags", Complete: At(2, Flag)}, {Name: "raw"},
	}
}
func (one) Instead() map[string]string                  { return nil }
func (one) Prompt() string                              { return "one" }
func (one) Close(context.Context, bool) (string, error) { return "", nil }
func (one) Folders(context.Context) []string {
	return []string{"Archive/2025", "Archive/2026", "INBOX", "My folder", "My files; old", "X\x1b]0;title\a"}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "mailrow", "history")
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	k := kept{h, (&Shell{Mailbox: one{}}).keeps}
	for _, line := range []string{
		"select INBOX", "select INBOX", "", "hunter2", "select INBOX; hunter2", `select "open`,
		"raw LOGIN ann hunter2", "raw a1 login ann hunter2", "  RAW authenticate PLAIN aHVudGVyMg==", "raw PASS hunter2", "select INBOX; raw LOGIN ann hunter2",
		"search FROM ann",
	} {
		k.Add(line)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "select INBOX\nsearch FROM ann\n" {
		t.Errorf("%q, %v", text, err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if k.Len() != 2 || k.At(0) != "search FROM ann" {
		t.Errorf("%d, %q", k.Len(), k.At(0))
	}
	if err := os.Chmod(path, 0o644); err != nil { // a backup may have done that
		t.Fatal(err)
	}
	if h, err = OpenHistory(path); err != nil || len(h.lines) != 2 {
		t.Errorf("%v, %v", h, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestHistoryStaysShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var b strings.Builder
	for i := range 2*maxHistory + 1 {
		fmt.Fprintf(&b, "search FROM %d\n", i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenHistory(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if n := strings.Count(string(text), "\n"); err != nil || n != maxHistory || !strings.HasSuffix(string(text), " 2000\n") {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "mails"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &Shell{Mailbox: one{}}
	for line, want := range map[string]struct {
		line   string
		choice int
	}{
		"":                      {"", 7},
		"sel":                   {"select ", 0},
		"s":                     {"s", 3},
		"se":                    {"se", 2},
		"x":                     {"x", 0},
		"select X":              {"select X", 0}, // the terminal would obey the rest
		"select in":             {"select INBOX ", 0},
		"select Arc":            {"select Archive/202", 0},
		"select Archive/202":    {"select Archive/202", 2},
		`select "My fo`:         {`select "My folder" `, 0},
		"select My":             {`select "My f`, 0},
		`noop; select INB`:      {`noop; select INBOX `, 0},
		"help sea":              {"help search ", 0},
		`flags 1 add \S`:        {`flags 1 add \Seen `, 0},
		"search F":              {"search F", 0},
		"save 1 " + dir + "/ma": {"save 1 " + dir + "/mails/", 0},
	} {
		got, pos, choice := s.complete(context.Background(), line, len(line))
		if got != want.line || len(choice) != want.choice || pos != len(got) {
			t.Errorf("%q: got %q at %d, %q; want %q", line, got, pos, choice, want.line)
		}
	}
}
