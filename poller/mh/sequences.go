package mh

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field is a sequence as the file has it: "unseen: 47 49-51", on one line or
// more. What is no sequence has no name.
type field struct {
	name string
	text string
}

// span is from one number to another, both in it.
type span struct{ from, to uint64 }

// parseFields divides a file into its fields. Their texts are the file.
func parseFields(text string) (fields []field) {
	for line := range strings.Lines(text) {
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 {
			fields[len(fields)-1].text += line
			continue
		}
		name, _, found := strings.Cut(line, ":")
		if !found {
			name = ""
		}
		fields = append(fields, field{strings.TrimSpace(name), line})
	}
	return fields
}

// words are the numbers and ranges of a field, and what else is there.
func (f field) words() []string {
	_, list, _ := strings.Cut(f.text, ":")
	return strings.Fields(list)
}

func parseSpan(word string) (span, bool) {
	first, last, ranged := strings.Cut(word, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return span{}, false
	}
	to, err := strconv.ParseUint(last, 10, 64)
	return span{from, to}, err == nil && from <= to
}

func (s span) String() string {
	if s.from == s.to {
		return strconv.FormatUint(s.from, 10)
	}
	return strconv.FormatUint(s.from, 10) + "-" + strconv.FormatUint(s.to, 10)
}

// without gives the field without some numbers, sorted. It keeps what is no
// number; a field that has nothing left is gone, as nmh has it.
func (f field) without(numbers []uint64) string {
	var words []string
	changed := false
	for _, word := range f.words() {
		whole, is := parseSpan(word)
		at, _ := slices.BinarySearch(numbers, whole.from)
		if !is || at == len(numbers) || numbers[at] > whole.to {
			words = append(words, word)
			continue
		}
		changed = true
		for ; at < len(numbers) && numbers[at] <= whole.to; at++ {
			if numbers[at] > whole.from {
				words = append(words, span{whole.from, numbers[at] - 1}.String())
			}
			whole.from = numbers[at] + 1
		}
		if whole.from <= whole.to && whole.from != 0 {
			words = append(words, whole.String())
		}
	}
	switch {
	case !changed:
		return f.text
	case len(words) == 0:
		return ""
	}
	return f.name + ": " + strings.Join(words, " ") + "\n"
}

// drop takes numbers out of those sequences that are chosen.
func drop(text string, numbers []uint64, chosen func(sequence string) bool) string {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	var b strings.Builder
	for _, f := range parseFields(text) {
		if f.name != "" && chosen(f.name) {
			b.WriteString(f.without(numbers))
		} else {
			b.WriteString(f.text)
		}
	}
	return b.String()
}

// marks are the sequences of a folder.
type marks []struct {
	name  string
	spans []span // sorted
}

// unseen is the sequence of what was not read, unless a profile calls it
// otherwise. A mail in no such sequence was read: nmh writes none that is empty.
const unseen = "unseen"

func parseMarks(text string) (list marks) {
	for _, f := range parseFields(text) {
		var spans []span
		for _, word := range f.words() {
			if s, is := parseSpan(word); is {
				spans = append(spans, s)
			}
		}
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		// Overlapping ones would hide each other.
		var joined []span
		for _, s := range spans {
			if last := len(joined) - 1; last >= 0 && s.from <= joined[last].to {
				joined[last].to = max(joined[last].to, s.to)
			} else {
				joined = append(joined, s)
			}
		}
		list = append(list, struct {
			name  string
			spans []span
		}{f.name, joined})
	}
	return list
}

// flags gives those of a mail: the sequences it is in. "cur" is where the reader is.
func (m marks) flags(number string) []string {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil { // greater than any number in a sequence
		return []string{`\Seen`}
	}
	seen := true
	var flags []string
	for _, sequence := range m {
		_, in := slices.BinarySearchFunc(sequence.spans, n, func(s span, n uint64) int {
			switch {
			case s.to < n:
				return -1
			case s.from > n:
				return 1
			}
			return 0
		})
		switch {
		case !in || sequence.name == "cur":
		case sequence.name == unseen:
			seen = false
		case sequence.name == "replied":
			flags = append(flags, `\Answered`)
		case sequence.name == "flagged":
			flags = append(flags, `\Flagged`)
		case isKeyword(sequence.name) && !slices.Contains(flags, sequence.name):
			flags = append(flags, sequence.name)
		}
	}
	if seen {
		flags = append(flags, `\Seen`)
	}
	return flags
}

func isKeyword(s string) bool {
	return s != "" && utf8.ValidString(s) && s[0] != '\\' &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
