package message

import "strings"

// messageID reads one id: what is between angle brackets, or else the text
// without comments.
func messageID(value string) string {
	var first string
	found := false
	bracketed(value, func(id string) bool {
		first, found = id, true
		return id == ""
	})
	if found && first != "" {
		return first
	}
	text := strings.TrimSpace(withoutComments(value))
	text = strings.Trim(text, "<>")
	for word := range strings.FieldsSeq(text) {
		if strings.IndexByte(word, '@') >= 0 {
			return word
		}
	}
	return strings.TrimSpace(text)
}

// ids appends the ids of an In-Reply-To or References field. Old mail has
// prose there ("Your message of ..."), so only what is bracketed counts, and
// words with an "@" only if nothing is.
func (r *reader) ids(list []string, value string) []string {
	limit := len(list) + MaxIDs
	found := false
	add := func(id string) bool {
		found = true
		if id == "" {
			return true
		}
		if len(list) == limit {
			r.m.defect(DefectTooManyIDs)
			return false
		}
		list = append(list, id)
		return true
	}
	bracketed(value, add)
	if found {
		return list
	}
	for word := range strings.FieldsSeq(withoutComments(value)) {
		word = strings.Trim(word, ",;\"'")
		if strings.IndexByte(word, '@') > 0 && !add(word) {
			break
		}
	}
	return list
}

// bracketed calls yield with the trimmed content of each <...>. A bracket that
// is opened again before it was closed, or never closed, ends at the next blank.
func bracketed(s string, yield func(id string) bool) {
	start := -1
	unclosed := func(end int) bool {
		id, _, _ := strings.Cut(strings.TrimLeft(s[start:end], " \t"), " ")
		return id == "" || yield(id)
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<':
			if start >= 0 && !unclosed(i) {
				return
			}
			start = i + 1
		case '>':
			if start >= 0 && !yield(strings.Trim(s[start:i], " \t")) {
				return
			}
			start = -1
		}
	}
	if start >= 0 {
		unclosed(len(s))
	}
}

// withoutComments replaces comments (RFC 5322 3.2.2), nested or not closed,
// by a blank.
func withoutComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var out strings.Builder
	out.Grow(len(s))
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
			if depth == 1 {
				out.WriteByte(' ')
			}
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0:
			out.WriteByte(c)
		}
	}
	return out.String()
}
