package message

import "strings"

// Address fields are read element by element, so that a bad element costs
// itself only. Elements end at commas, and at semicolons: those end groups
// (RFC 5322 3.4), and Outlook writes them between addresses. Everything here
// looks ahead at most once over the same text.

// maxTokens ends an element that never ends.
const maxTokens = 1000

type tokenKind uint8

const (
	tokenWord    tokenKind = iota // up to the next blank or special, encoded words whole
	tokenQuoted                   // with its quotes
	tokenComment                  // with its parentheses
	tokenAngle                    // <...> that turned out to be no address
)

// token is a piece of one element; start and end are offsets in the field.
type token struct {
	kind       tokenKind
	glued      bool // nothing between it and the token before
	at         bool // has an "@" outside of encoded words
	start, end int
}

type addressReader struct {
	r             *reader
	s             string
	pos           int
	list          []Address
	limit         int
	words         wordScanner
	lastSemicolon int
	nested        bool

	quotesBroken, commentsBroken bool // the rest of the field has an odd one

	// The element being read.
	tokens []token
	hasAt  bool   // a token has an "@"
	angle  string // what was between angle brackets
	phrase int    // tokens before it; -1 while there was no angle bracket

	held []bareName // elements before that may be the begin of "Doe, John <...>"
	bare bool       // elements without an address come in a row: a list of names
}

// bareName is an element without an address.
type bareName struct {
	name    string
	atom    bool // one word that may be a local address
	comment string
}

// addresses appends the addresses of a field to list.
func (r *reader) addresses(list []Address, value string) []Address {
	a := addressReader{r: r, s: value, list: list, tokens: r.tokens}
	list = a.read()
	r.tokens = a.tokens[:0]
	return list
}

func (a *addressReader) read() []Address {
	a.limit = len(a.list) + MaxAddresses
	a.words = wordScanner{s: a.s}
	a.lastSemicolon = strings.LastIndexByte(a.s, ';')
	a.begin()
	for a.pos < len(a.s) && len(a.list) <= a.limit {
		a.next()
		if len(a.tokens) > maxTokens {
			a.malformed()
			a.end()
		}
	}
	a.end()
	a.flushHeld()
	if len(a.list) > a.limit {
		a.list = a.list[:a.limit]
		a.r.m.defect(DefectTooManyAddresses)
	}
	return a.list
}

func (a *addressReader) begin() {
	a.tokens, a.hasAt, a.angle, a.phrase = a.tokens[:0], false, "", -1
}

func (a *addressReader) malformed() { a.r.m.defect(DefectAddress) }

// next reads one token or separator.
func (a *addressReader) next() {
	switch c := a.s[a.pos]; {
	case isBlank(c):
		a.pos++
	case c == ',':
		a.pos++
		a.end()
	case c == ';':
		a.pos++
		a.end()
		a.flushHeld()
	case c == ':' && a.isGroup(a.pos):
		a.pos++
		a.begin()
	case c == '<':
		a.readAngle()
	case c == '(':
		a.readComment()
	case c == '"':
		a.readQuoted()
	case c == '>' || c == ')':
		a.malformed()
		a.pos++
	default:
		a.readWord()
	}
}

// isGroup says whether the colon at offset i ends the name of a group (RFC
// 5322 3.4) and not just stands in a name: groups end with a semicolon or are
// empty.
func (a *addressReader) isGroup(i int) bool {
	if a.hasAt || a.phrase >= 0 {
		return false
	}
	return a.lastSemicolon > i || strings.TrimLeft(a.s[i+1:], " \t") == ""
}

func (a *addressReader) add(kind tokenKind, start, end int, at bool) {
	glued := len(a.tokens) > 0 && a.tokens[len(a.tokens)-1].end == start
	a.tokens = append(a.tokens, token{kind: kind, glued: glued, at: at, start: start, end: end})
	a.hasAt = a.hasAt || at
	a.pos = end
}

func (a *addressReader) readWord() {
	at := false
	i := a.pos
scan:
	for ; i < len(a.s); i++ {
		switch a.s[i] {
		case ' ', '\t', ',', ';', '<', '>', '(', ')', '"':
			break scan
		case ':':
			if !at && a.isGroup(i) {
				break scan
			}
		case '=':
			if strings.HasPrefix(a.s[i:], "=?") {
				if word, ok := a.words.at(i); ok {
					i = word.end - 1
				}
			}
		case '@':
			at = true
			if strings.HasPrefix(a.s[i:], "@[") {
				i = a.domainLiteral(i + 1)
			}
		}
	}
	a.add(tokenWord, a.pos, i, at)
}

// domainLiteral returns the offset of the "]" for the "[" at open, or open if
// the literal (RFC 5322 3.4.1) has no end. It may hold colons: [IPv6:::1].
func (a *addressReader) domainLiteral(open int) int {
	for i := open + 1; i < len(a.s) && i < open+64; i++ {
		switch a.s[i] {
		case ']':
			return i
		case ' ', ',', ';', '<', '>', '@':
			return open
		}
	}
	return open
}

func (a *addressReader) readQuoted() {
	end := a.closingQuote(a.pos)
	if end < 0 {
		a.malformed()
		a.pos++
		return
	}
	a.add(tokenQuoted, a.pos, end+1, false)
}

// closingQuote returns the offset of the quote that closes the one at open, or
// -1. A pair that would swallow an address and end in the middle of a word is
// none: `"John <john@x>, "Mary" <mary@y>`.
func (a *addressReader) closingQuote(open int) int {
	if a.quotesBroken {
		return -1
	}
	angle, at := false, false
	for i := open + 1; i < len(a.s); i++ {
		switch a.s[i] {
		case '\\':
			i++
		case '<':
			angle = true
		case '@':
			at = true
		case '"':
			if angle && at && i+1 < len(a.s) && strings.IndexByte(" \t<>@,;:().\"", a.s[i+1]) < 0 {
				return -1
			}
			return i
		}
	}
	a.quotesBroken = true
	return -1
}

func (a *addressReader) readComment() {
	end := a.closingParenthesis(a.pos)
	if end < 0 {
		a.malformed()
		a.pos++
		return
	}
	a.add(tokenComment, a.pos, end+1, false)
}

// closingParenthesis returns the end of the comment (RFC 5322 3.2.2) at open,
// or -1. Once one comment had no end, only those without another inside count.
func (a *addressReader) closingParenthesis(open int) int {
	if a.commentsBroken {
		next := strings.IndexAny(a.s[open+1:], "()")
		if next < 0 || a.s[open+1+next] == '(' {
			return -1
		}
		return open + 1 + next
	}
	depth := 0
	for i := open; i < len(a.s); i++ {
		switch a.s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	a.commentsBroken = true
	return -1
}

// readAngle reads <...>. A second one in an element without a comma before it
// begins a new element, unless the first one was no address.
func (a *addressReader) readAngle() {
	if a.phrase >= 0 {
		if strings.IndexByte(a.angle, '@') >= 0 {
			a.malformed()
			a.endAngle(true)
		} else {
			a.phrase, a.angle = -1, ""
		}
	}
	open := a.pos
	content := a.angleContent()
	a.phrase, a.angle = len(a.tokens), content
	end := a.pos
	a.add(tokenAngle, open, end, false)
}

// angleContent returns what is between angle brackets and moves past them. A
// bracket that is not closed ends where the next address begins.
func (a *addressReader) angleContent() string {
	start := a.pos + 1
	route := strings.HasPrefix(strings.TrimLeft(a.s[start:min(start+8, len(a.s))], " \t"), "@")
	i := start
scan:
	for ; i < len(a.s); i++ {
		switch a.s[i] {
		case '>':
			a.pos = i + 1
			return a.s[start:i]
		case '<':
			if strings.Trim(a.s[start:i], " \t") != "" {
				break scan
			}
			a.malformed()
			start = i + 1
		case '"':
			if end := a.closingQuote(i); end >= 0 {
				i = end
			}
		case ':':
			route = false
		case ',':
			if !route {
				break scan
			}
		case ';':
			if a.s[i-1] != ':' && !strings.HasPrefix(a.s[i:], ";>") {
				break scan
			}
		}
	}
	a.malformed()
	a.pos = i
	return a.s[start:i]
}
