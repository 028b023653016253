package message

import (
	"strings"
	"unicode/utf8"
)

// end takes the element that was read as one or more addresses.
func (a *addressReader) end() {
	switch {
	case a.phrase >= 0:
		a.endAngle(false)
	case a.hasAt:
		a.flushHeld()
		a.endBare(a.tokens)
	case len(a.tokens) > 0:
		a.endName()
	}
	a.begin()
}

// endAngle adds "phrase <address> rest". With more, another angle bracket
// follows, and the rest is its phrase.
func (a *addressReader) endAngle(more bool) {
	before, after := a.tokens[:a.phrase], a.tokens[a.phrase+1:]
	address := a.addrSpec(a.angle)
	name := a.name(before)
	if name == "" || !a.joinHeld(&name, before) {
		a.flushHeld()
	}
	a.bare = false
	hasAt := false
	for _, t := range after {
		hasAt = hasAt || t.at
	}
	if name == "" && !more && !hasAt {
		name = a.name(after)
	}
	if name == "" {
		name = a.comment(before, after)
	}
	switch {
	case strings.Contains(address, ":;"), strings.Contains(address, ":@") && strings.HasSuffix(address, ";"): // an empty group in brackets
	case address == "":
		a.r.m.defect(DefectNoAddress)
		if name != "" {
			a.list = append(a.list, Address{Name: name})
		}
	default:
		a.list = append(a.list, Address{Name: name, Address: address})
	}
	switch {
	case more:
		a.tokens, a.hasAt, a.phrase = append(a.tokens[:0], after...), hasAt, -1
	case hasAt:
		a.malformed()
		a.endBare(after)
	}
}

// joinHeld completes "Doe, John <...>", written without quotes. That the parts
// belong together is likely unless they differ in case: "root, John <...>".
func (a *addressReader) joinHeld(name *string, before []token) bool {
	if len(a.held) == 0 || before[0].kind != tokenWord {
		return false
	}
	if last := a.held[len(a.held)-1]; last.atom && isLower(last.name) != isLower(*name) {
		return false
	}
	joined := ""
	for _, h := range a.held {
		joined += h.name + ", "
	}
	*name = joined + *name
	a.held = a.held[:0]
	a.malformed()
	return true
}

func isLower(name string) bool { return name != "" && 'a' <= name[0] && name[0] <= 'z' }

// endName takes an element without "@" and angle brackets. It may be the
// first half of a name with a comma in it, so it waits for the next element.
func (a *addressReader) endName() {
	if len(a.tokens) == 1 && a.tokens[0].kind == tokenQuoted && a.endQuoted() {
		return
	}
	b := bareName{name: a.name(a.tokens)}
	if address, ok := spelledAt(b.name); ok {
		a.flushHeld()
		a.malformed()
		a.append(a.comment(a.tokens), address)
		return
	}
	if b.name == "" { // only a comment, such as "(no To-header on input)"
		return
	}
	words, quoted := 0, 0
	for _, t := range a.tokens {
		switch t.kind {
		case tokenWord:
			words++
		case tokenQuoted:
			quoted++
		}
	}
	b.atom = words == 1 && quoted == 0 && isAtom(b.name)
	if len(a.held) == 2 {
		a.bare = true
	}
	if a.bare || words < len(a.tokens) {
		a.flushHeld()
		b.comment = a.comment(a.tokens)
		a.appendBare(b)
		return
	}
	a.held = append(a.held, b)
}

// endQuoted takes an element that is one quoted string with an address in it.
func (a *addressReader) endQuoted() bool {
	text := a.text(a.tokens[0])
	if strings.IndexByte(text, '@') < 0 || a.nested {
		return false
	}
	a.flushHeld()
	a.malformed()
	inner := addressReader{r: a.r, s: text, list: a.list, nested: true}
	a.list = inner.read()
	return true
}

// flushHeld adds the elements that turned out to be no part of a name.
func (a *addressReader) flushHeld() {
	for _, h := range a.held {
		a.appendBare(h)
	}
	a.held = a.held[:0]
}

func (a *addressReader) appendBare(b bareName) {
	switch {
	case b.atom && !strings.HasPrefix(strings.ToLower(b.name), "undisclosed"):
		a.malformed()
		a.append(b.comment, b.name)
	default:
		a.r.m.defect(DefectNoAddress)
		a.append(b.name, "")
	}
}

func (a *addressReader) append(name, address string) {
	if name != "" || address != "" {
		a.list = append(a.list, Address{Name: name, Address: address})
	}
}

// endBare takes tokens among which are addresses without angle brackets:
// "a@b", "a@b (Name)", "a@b c@d" with the comma forgotten.
func (a *addressReader) endBare(tokens []token) {
	a.bare = false
	from := 0
	for i := 0; i < len(tokens); i++ {
		if !tokens[i].at {
			continue
		}
		first, last := a.wholeAddress(tokens, from, i)
		rest := tokens[last+1:]
		more := 0
		for more < len(rest) && !rest[more].at {
			more++
		}
		name := a.name(tokens[from:first])
		if name == "" && more == len(rest) {
			name = a.name(rest)
		}
		if name != "" || more < len(rest) {
			a.malformed()
		}
		if name == "" {
			name = a.comment(rest[:more], tokens[from:first])
		}
		a.append(strings.TrimSuffix(name, ":"), a.addrSpec(a.s[tokens[first].start:tokens[last].end]))
		from, i = last+1, last
	}
}

// wholeAddress widens the token at i, which has an "@", over what obsolete
// blanks (RFC 5322 4.4) cut off: "a . b @ c . d".
func (a *addressReader) wholeAddress(tokens []token, from, i int) (first, last int) {
	text := func(i int) string { return a.s[tokens[i].start:tokens[i].end] }
	first, last = i, i
	for first > from {
		c := text(first)[0]
		if c != '@' && c != '.' && c != '(' && text(first-1) != "." || tokens[first-1].kind == tokenAngle {
			break
		}
		first--
	}
	for last+1 < len(tokens) {
		t, next := text(last), text(last+1)
		if tokens[last].kind == tokenComment || tokens[last+1].kind == tokenAngle || tokens[last+1].kind == tokenQuoted {
			break
		}
		if t[len(t)-1] != '@' && t != "." && next[0] != '.' {
			break
		}
		last++
	}
	return first, last
}

// name makes a display name of the tokens that are no comments, decoded.
func (a *addressReader) name(tokens []token) string {
	words := true
	for len(tokens) > 0 && tokens[0].kind == tokenComment {
		tokens = tokens[1:]
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].kind == tokenComment {
		tokens = tokens[:len(tokens)-1]
	}
	if len(tokens) == 0 {
		return ""
	}
	for _, t := range tokens {
		words = words && t.kind == tokenWord
	}
	var name string
	switch {
	case words:
		name = a.s[tokens[0].start:tokens[len(tokens)-1].end]
		if strings.Contains(name, "  ") || strings.IndexByte(name, '\t') >= 0 {
			name = strings.Join(strings.Fields(name), " ")
		}
	case len(tokens) == 1:
		name = a.text(tokens[0])
	default:
		var b strings.Builder
		for _, t := range tokens {
			if t.kind == tokenComment {
				continue
			}
			if !t.glued && b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(a.text(t))
		}
		name = b.String()
	}
	name = strings.Trim(a.r.decodeWords(name), " \t")
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' { // quoted inside an encoded word
		name = strings.Trim(name[1:len(name)-1], " \t")
	}
	return name
}

// comment returns the text of the first comment that has any.
func (a *addressReader) comment(lists ...[]token) string {
	for _, tokens := range lists {
		for _, t := range tokens {
			if t.kind != tokenComment {
				continue
			}
			if text := strings.Trim(a.r.decodeWords(a.text(t)), " \t"); text != "" {
				return text
			}
		}
	}
	return ""
}

// text is a token without its delimiters and escapes.
func (a *addressReader) text(t token) string {
	if t.kind != tokenQuoted && t.kind != tokenComment {
		return a.s[t.start:t.end]
	}
	return unescape(a.s[t.start+1 : t.end-1])
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// addrSpec tidies the text of one address: no comments, no blanks around dots
// and "@", no route (RFC 5322 4.4), no needless quotes, no "mailto:".
func (a *addressReader) addrSpec(s string) string {
	s = strings.Trim(s, " \t")
	if strings.HasPrefix(s, "@") {
		if route := strings.IndexByte(s, ':'); route >= 0 {
			s = strings.Trim(s[route+1:], " \t")
		}
	}
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		s = s[7:]
	}
	quoted := strings.IndexByte(s, '"') >= 0
	if !quoted {
		s = strings.TrimSpace(withoutComments(s))
	}
	for len(s) > 2 && (s[0] == '\'' && s[len(s)-1] == '\'' || s[0] == '[' && s[len(s)-1] == ']' && strings.Contains(s[:len(s)-1], "@") && !strings.Contains(s, "@[")) {
		s = strings.Trim(s[1:len(s)-1], " \t")
	}
	if quoted {
		return unquoteLocal(s)
	}
	if strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, '\t') < 0 {
		return s
	}
	if address, ok := spelledAt(s); ok {
		return address
	}
	return a.tightened(s)
}

// tightened removes blanks beside dots and "@".
func (a *addressReader) tightened(s string) string {
	var b strings.Builder
	last := byte('@')
	for word := range strings.FieldsSeq(s) {
		if last != '.' && last != '@' && word[0] != '.' && word[0] != '@' {
			a.malformed()
			b.WriteByte(' ')
		}
		b.WriteString(word)
		last = word[len(word)-1]
	}
	return b.String()
}

// unquoteLocal removes the quotes of a local part that does not need them.
func unquoteLocal(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		at = len(s)
	}
	local := strings.Trim(s[:at], " \t")
	domain := strings.Join(strings.Fields(s[at:]), "")
	if len(local) >= 2 && local[0] == '"' && local[len(local)-1] == '"' && isAtom(local[1:len(local)-1]) {
		local = local[1 : len(local)-1]
	}
	return local + domain
}

// spelledAt reads "a at b.example", as archives write it. The dot tells it
// from prose.
func spelledAt(s string) (string, bool) {
	if len(s) > 320 || !strings.Contains(s, " ") {
		return "", false
	}
	words := strings.Fields(s)
	if len(words) != 3 || !strings.EqualFold(strings.Trim(words[1], "()[]"), "at") {
		return "", false
	}
	if !isAtom(words[0]) || !strings.Contains(strings.Trim(words[2], "."), ".") || !isAtom(words[2]) {
		return "", false
	}
	return words[0] + "@" + words[2], true
}

// isAtom says whether s can stand unquoted as a local part: atext and dots
// between (RFC 5322 3.2.3), or UTF-8 (RFC 6532 3.2).
func isAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isLetter(c), isDigit(c), c >= utf8.RuneSelf:
		case c == '.' && i > 0 && i < len(s)-1 && s[i-1] != '.':
		case strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
