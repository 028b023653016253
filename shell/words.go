package shell

import (
	"errors"
	"strings"
)

// word is one of a line; start and end are where it stands there.
type word struct {
	text       string
	start, end int
}

// command is one of a line.
type command struct {
	words []word
	text  string // what follows the first word, as it was typed
}

var errQuote = errors.New("a quotation mark has no partner")

// split divides a line into commands at ";", and these into words at blanks. Both
// may stand between quotation marks; between double ones \" and \\ are " and \, and
// anywhere else a backslash is one, for flags begin so. The words of raw are not
// divided. Even where a quotation mark has no partner all words are given.
func split(line string) (commands []command, err error) {
	for at := 0; at < len(line); {
		var c command
		if c, at, err = cutCommand(line, at); len(c.words) > 0 {
			commands = append(commands, c)
		}
	}
	return commands, err
}

// cutCommand reads the command at a place, and says where the next begins.
func cutCommand(line string, at int) (c command, next int, err error) {
	for {
		for at < len(line) && blank(line[at]) {
			at++
		}
		switch {
		case at == len(line):
			return c.from(line, at), at, nil
		case line[at] == ';':
			return c.from(line, at), at + 1, nil
		case line[at] == '#' && len(c.words) == 0:
			return c, len(line), nil
		case len(c.words) == 1 && strings.EqualFold(c.words[0].text, "raw"):
			rest := strings.TrimRight(line[at:], " \t\r")
			c.words = append(c.words, word{rest, at, len(line)})
			return c.from(line, len(line)), len(line), nil
		}
		var w word
		if w, err = cutWord(line, at); err != nil {
			c.words = append(c.words, w)
			return c.from(line, len(line)), len(line), err
		}
		c.words = append(c.words, w)
		at = w.end
	}
}

func (c command) from(line string, end int) command {
	if len(c.words) > 0 {
		c.text = strings.TrimSpace(line[c.words[0].end:end])
	}
	return c
}

func blank(b byte) bool { return b == ' ' || b == '\t' || b == '\r' }

func cutWord(line string, at int) (word, error) {
	w := word{start: at}
	var b strings.Builder
	for ; at < len(line) && !blank(line[at]) && line[at] != ';'; at++ {
		quote := line[at]
		if quote != '"' && (quote != '\'' || at > w.start) {
			b.WriteByte(quote)
			continue
		}
		at++
		for ; at < len(line) && line[at] != quote; at++ {
			if quote == '"' && line[at] == '\\' && at+1 < len(line) && (line[at+1] == '"' || line[at+1] == '\\') {
				at++
			}
			b.WriteByte(line[at])
		}
		if at == len(line) {
			w.text, w.end = b.String(), at
			return w, errQuote
		}
	}
	w.text, w.end = b.String(), at
	return w, nil
}

// quoted writes a word so that split reads it.
func quoted(text string) string {
	if text != "" && !strings.ContainsAny(text, " \t;\"'#") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
