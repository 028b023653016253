package message

import (
	"strings"
	"time"
)

// FromLine is the line that many MTAs and all mbox files put before a mail:
// "From", its sender, and when it came.
type FromLine struct {
	Sender *string   // reverse-path, "" for the null one; nil where it names nobody
	At     time.Time // zero where the line has no time that can be
	Zoned  bool      // At is in a zone that the line names, else in UTC

	// Dated says that weekday, day, month, time and year are there and nothing
	// that is no part of a date: prose is never like that. Without, the line has
	// only one word, such as the "-" of Mozilla, or a sender with blanks.
	Dated bool
}

// In is At, as a time in loc where the line names no zone.
func (f FromLine) In(loc *time.Location) time.Time {
	t := f.At
	if f.Zoned || t.IsZero() {
		return t
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, loc)
}

// ParseFromLine reads a line that may or may not be a From_ line, with or without
// its line end. It is for lines in the midst of text, and so is stricter than
// SplitFromLine, which knows that it stands above a mail.
//
// The date is that of asctime(3), or any other order of its words: with a zone
// before or after the year, without seconds, with a year of two digits. There may
// be two blanks before it, no sender, and "remote from" and a host after it.
func ParseFromLine(line []byte) (f FromLine, ok bool) {
	const longest = 1000 // a path has at most 256 bytes (RFC 5321 4.5.3.1.3)
	if len(line) > longest || !strings.HasPrefix(string(line[:min(len(line), 5)]), "From ") {
		return FromLine{}, false
	}
	text := strings.Trim(string(line[len("From "):]), " \t\r\n")
	text, _, _ = strings.Cut(text, " remote from ")
	// A quote or a backslash may also be a part of a name that has no quotes.
	for _, end := range []int{endOfPath(text), endOfWord(text), 0} {
		if date := text[end:]; f.readDate(date) {
			f.name(text[:end])
			return f, true
		}
	}
	path := text[:endOfPath(text)]
	switch {
	case path == text && path != "":
		f.name(path)
		return f, true
	case strings.ContainsAny(path, "@<") || strings.ContainsRune(text, '<'):
		return f.readSpaced(text)
	}
	return FromLine{}, false
}

func endOfWord(s string) int {
	if end := strings.IndexAny(s, " \t"); end >= 0 {
		return end
	}
	return len(s)
}

// readSpaced reads "John Doe <j@x> Tue Mar  3 10:00:00 2026".
func (f FromLine) readSpaced(text string) (FromLine, bool) {
	for i := range len(text) {
		if (text[i] == ' ' || text[i] == '\t') && f.readDate(text[i:]) {
			f.name(strings.Trim(text[:i], " \t"))
			f.Dated = false
			return f, true
		}
	}
	return FromLine{}, false
}

// name sets the sender. Who does not know it writes "-" or "???@???".
func (f *FromLine) name(path string) {
	if open := strings.LastIndexByte(path, '<'); open > 0 {
		path = path[open:]
	}
	if path != "" && path != "-" && path != "???@???" {
		path = ReversePath(path)
		f.Sender = &path
	}
}

// readDate sets the date when s is one, whole and nothing else.
func (f *FromLine) readDate(s string) bool {
	weekday := false
	words := 0
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		words++
		switch {
		case len(word) == 3 && isWeekday(word):
			weekday = true
		case isDigit(word[0]) || len(word) == 3 && monthNumber(word) != 0 || isZone(word):
		default:
			return false
		}
	}
	if !weekday || words > 8 {
		return false
	}
	d := dateReader{s: s, zone: zoneMissing}
	for d.pos < len(d.s) {
		if !d.part() {
			return false
		}
	}
	if !d.complete() {
		return false
	}
	f.Dated, f.Zoned = true, d.zone == zoneKnown
	f.At, _ = d.time()
	return true
}

// isZone knows zones by their look: +0100, (+0100), MET, DST.
func isZone(word string) bool {
	word = strings.Trim(word, "()")
	if len(word) == 5 && (word[0] == '+' || word[0] == '-') {
		word = word[1:]
		return isDigit(word[0]) && isDigit(word[1]) && isDigit(word[2]) && isDigit(word[3])
	}
	for i := range len(word) {
		if word[i] < 'A' || word[i] > 'Z' {
			return false
		}
	}
	return len(word) >= 1 && len(word) <= 5
}
