package shell

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxHistory is how many lines are kept from one session to the next.
const maxHistory = 1000

// History is what was typed, in this session and in those before, in a file that
// others cannot read. Lines that may hold a secret do not get in.
type History struct {
	path  string
	lines []string // oldest first
}

// OpenHistory reads a file, and makes it with its folder where there is none. With
// an error there is still a History, which ends with the session.
func OpenHistory(path string) (*History, error) {
	h := &History{}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return h, fmt.Errorf("keep history: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return h, fmt.Errorf("keep history: %w", err)
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return h, fmt.Errorf("keep history: %w", err)
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		h.lines = append(h.lines, lines.Text())
	}
	h.path = path
	return h, h.shorten()
}

// shorten writes the file anew when it has become twice as long as it should be.
func (h *History) shorten() error {
	long := len(h.lines) > 2*maxHistory
	h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
	if !long {
		return nil
	}
	if err := os.WriteFile(h.path+".new", []byte(strings.Join(h.lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("shorten history: %w", err)
	}
	if err := os.Rename(h.path+".new", h.path); err != nil {
		return fmt.Errorf("shorten history: %w", err)
	}
	return nil
}

// secret are lines that give a password or a token to a server by hand.
var secret = regexp.MustCompile(`(?i)^\s*(raw\s+)?(\S+\s+)?(login|authenticate|pass|apop|auth)\s+\S`)

// hasSecret looks at each command of a line.
func hasSecret(line string) bool {
	commands, _ := split(line)
	return slices.ContainsFunc(commands, func(c command) bool { return secret.MatchString(c.words[0].text + " " + c.text) })
}

func (h *History) add(line string) {
	if n := len(h.lines); n > 0 && h.lines[n-1] == line || hasSecret(line) {
		return
	}
	h.lines = append(h.lines, line)
	if h.path == "" {
		return
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, _ = f.WriteString(line + "\n") // the session goes on without
		_ = f.Close()
	}
}

// keeps says whether a line goes into the history: not one that is no command, for
// it may be a password in the wrong place.
func (s *Shell) keeps(line string) bool {
	commands, err := split(line)
	if err != nil || len(commands) == 0 {
		return false
	}
	for _, c := range commands {
		if _, ok := s.find(strings.ToLower(c.words[0].text)); !ok {
			return false
		}
	}
	return true
}

// kept is a History as the terminal sees it: newest first. Its zero value keeps
// nothing.
type kept struct {
	h    *History
	keep func(string) bool
}

func (k kept) Add(line string) {
	if k.h != nil && (k.keep == nil || k.keep(line)) {
		k.h.add(line)
	}
}

func (k kept) Len() int {
	if k.h == nil {
		return 0
	}
	return len(k.h.lines)
}

func (k kept) At(i int) string { return k.h.lines[len(k.h.lines)-1-i] }
