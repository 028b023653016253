package shell

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mailrow/internal/screen"
)

// patience is how long completion may keep a person waiting.
const patience = 5 * time.Second

// flags are those that every server knows.
var flags = []string{`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`}

// complete completes the word before pos, but to no name that a terminal would obey. Where there are several ways to go on, and
// nothing more to add, it gives them.
func (s *Shell) complete(ctx context.Context, line string, pos int) (string, int, []string) {
	before := line[:pos]
	commands, _ := split(before) // an open quotation mark will get its partner
	var words []word
	if len(commands) > 0 && !strings.HasSuffix(strings.TrimRight(before, " \t"), ";") {
		words = commands[len(commands)-1].words
	}
	last := word{start: pos, end: pos}
	if n := len(words); n > 0 && words[n-1].end == pos {
		last, words = words[n-1], words[:n-1]
	}
	all := s.candidates(ctx, words, last.text)
	var fit []string
	for _, one := range all {
		if strings.HasPrefix(strings.ToLower(one), strings.ToLower(last.text)) && !strings.ContainsFunc(one, screen.Obeyed) {
			fit = append(fit, one)
		}
	}
	switch len(fit) {
	case 0:
		return line, pos, nil
	case 1:
		text := quoted(fit[0])
		if !strings.HasSuffix(fit[0], string(filepath.Separator)) {
			text += " "
		}
		return before[:last.start] + text + line[pos:], last.start + len(text), nil
	}
	common := prefix(fit)
	if len(common) <= len(last.text) {
		return line, pos, fit
	}
	text := common
	if quoted(common) != common {
		text = strings.TrimSuffix(quoted(common), `"`)
	}
	return before[:last.start] + text + line[pos:], last.start + len(text), nil
}

// candidates are what may stand after words.
func (s *Shell) candidates(ctx context.Context, words []word, begun string) []string {
	kind := CommandName
	if len(words) > 0 {
		c, ok := s.find(strings.ToLower(words[0].text))
		if !ok || c.Complete == nil {
			return nil
		}
		kind = c.Complete(len(words) - 1)
	}
	switch kind {
	case CommandName:
		var names []string
		for _, c := range s.commands() {
			names = append(names, c.Name)
		}
		slices.Sort(names)
		return names
	case Folder:
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.Mailbox.Folders(ctx)
	case Flag:
		return flags
	case File:
		return files(begun)
	}
	return nil
}

// files are those whose names begin so.
func files(begun string) []string {
	found, err := filepath.Glob(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(begun) + "*")
	if err != nil {
		return nil
	}
	for i, name := range found {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			found[i] += string(filepath.Separator)
		}
	}
	return found
}

// prefix is what all of some names begin with, in the case of the first.
func prefix(all []string) string {
	common := all[0]
	for _, one := range all[1:] {
		for !strings.HasPrefix(strings.ToLower(one), strings.ToLower(common)) {
			_, size := utf8.DecodeLastRuneInString(common)
			common = common[:len(common)-size]
		}
	}
	return common
}

// columns is a choice for the eye.
func columns(choice []string) []byte {
	const most = 100
	if more := len(choice) - most; more > 0 {
		choice = append(choice[:most:most], "…")
	}
	var rows [][]string
	for _, one := range choice {
		rows = append(rows, []string{one})
	}
	_, text, _ := strings.Cut(Table("", rows), "\n")
	return []byte(text)
}
