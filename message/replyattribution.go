package message

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	attributionLines   = 4
	longestAttribution = 400 // bytes of one line
)

// attribution finds where the introduction of a quote begins whose last line is
// i, or gives -1. It is told by its colon, a date, and a verb or an address.
// alone says that no quoted lines follow, so that all of it must be there.
func (r *replyText) attribution(i int, alone bool) int {
	if !endsInColon(r.line(i)) {
		return -1
	}
	var clues attributionClues
	start := -1
	for j := i; j >= 0 && j > i-attributionLines && r.lines[j].kind == ownLine; j-- {
		line := r.line(j)
		if len(line) > longestAttribution || j < i && endsSentence(line) {
			break
		}
		dated := clues.year
		clues.add(line)
		if !clues.complete(alone) {
			continue
		}
		// The first line has the date or the address, unless the line above it is
		// the beginning of the date.
		early := hasEarlyDigit(line)
		if start < 0 && (early || strings.IndexByte(line, '@') >= 0) || early && hasOpener(line) || clues.year && !dated {
			start = j
		}
	}
	if start >= 0 || alone {
		return start
	}
	return r.undatedAttribution(i)
}

// undatedAttribution is "Bob wrote:", "Quoting Bob <bob@example.org>:", perhaps
// folded after the name.
func (r *replyText) undatedAttribution(i int) int {
	line := r.line(i)
	var clues attributionClues
	clues.add(line)
	if len(line) > longestAttribution || !clues.wrote && !strings.HasSuffix(line, ">:") {
		return -1
	}
	first, _, _ := strings.Cut(strings.TrimRight(line, ":："), " ")
	folded := line[0] == '<' || slices.Contains(wroteWords[:], strings.ToLower(first))
	if folded && i > 0 && r.lines[i-1].kind == ownLine && !endsSentence(r.line(i-1)) {
		return i - 1
	}
	return i
}

// attributionClues are what was found in the lines of an attribution.
type attributionClues struct {
	wrote, address, year, time bool
}

func (c *attributionClues) complete(alone bool) bool {
	if alone {
		return c.wrote && c.year && (c.time || c.address)
	}
	return (c.wrote || c.address) && (c.year || c.time)
}

func (c *attributionClues) add(line string) {
	c.wrote = c.wrote || hasWroteWord(line)
	c.address = c.address || strings.IndexByte(line, '@') >= 0 || strings.IndexByte(line, '<') >= 0
	for i := 0; i < len(line); i++ {
		if !isDigit(line[i]) {
			continue
		}
		start := i
		for i < len(line) && isDigit(line[i]) {
			i++
		}
		switch number, rest := line[start:i], line[i:]; {
		case len(number) == 4 && (number[:2] == "19" || number[:2] == "20"):
			c.year = true
		case len(number) <= 2 && len(rest) > 2 && (rest[0] == ':' || rest[0] == '.') && isDigit(rest[1]) && isDigit(rest[2]):
			c.time = true // or a date such as 24.12.19
		case len(number) <= 2 && len(rest) > 1 && rest[0] == '/' && isDigit(rest[1]):
			c.year = true // 7/1/19
		}
	}
}

// hasEarlyDigit says that one of the first words of a line is a number, as the
// day is in all languages.
func hasEarlyDigit(line string) bool {
	const words = 5
	for word := 0; word < words && line != ""; word++ {
		first, rest, _ := strings.Cut(line, " ")
		if strings.ContainsAny(first, "0123456789") {
			return strings.IndexByte(first, '@') < 0
		}
		line = strings.TrimLeft(rest, " ")
	}
	return false
}

// hasOpener says that a line begins as an attribution with a date does, or with
// the date itself.
func hasOpener(line string) bool {
	word, _, _ := strings.Cut(strings.TrimLeft(line, "*_- "), " ")
	switch strings.ToLower(strings.TrimRight(word, ",.")) {
	case "on", "am", "le", "el", "il", "op", "em", "den", "på", "w", "dne", "dnia", "в", "at", "in", "a":
		return true
	}
	year := strings.TrimRight(word[:min(len(word), 5)], "-/.")
	return len(year) == 4 && strings.Trim(year, "0123456789") == "" || strings.Contains(word, "年")
}

// endsInColon looks at what a program may have put behind it, too.
func endsInColon(line string) bool {
	if line == "" {
		return false
	}
	if c := line[len(line)-1]; c < utf8.RuneSelf && strings.IndexByte("*_ \t", c) < 0 {
		return c == ':'
	}
	line = strings.TrimRight(line, "*_ \t\u00a0")
	return strings.HasSuffix(line, ":") || strings.HasSuffix(line, "：")
}

// endsSentence says that a line is not continued by the next one.
func endsSentence(line string) bool {
	return strings.HasSuffix(line, "!") || strings.HasSuffix(line, "?") || endsInColon(line) ||
		strings.HasSuffix(line, ".") && !strings.HasSuffix(line, " a.m.") && !strings.HasSuffix(line, " p.m.")
}

// hasWroteWord finds a verb of attribution lines as a word of its own.
func hasWroteWord(line string) bool {
	line = strings.ToLower(line)
	for _, word := range wroteWords {
		at := strings.Index(line, word)
		if at < 0 {
			continue
		}
		end := at + len(word)
		if (at == 0 || !isLetter(line[at-1])) && (end == len(line) || !isLetter(line[end])) {
			return true
		}
	}
	return false
}
