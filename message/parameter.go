package message

import (
	"slices"
	"strings"
)

// maxParameters is how many parameters of one field are read.
const maxParameters = 1000

// structured is a field such as Content-Type (RFC 2045 5.1) or
// Content-Disposition (RFC 2183) taken apart. Everything is as written but for
// quotes and comments.
type structured struct {
	value      string // before the first parameter
	parameters []parameter
	malformed  bool // something had to be guessed or skipped
}

type parameter struct{ name, value string } // the name in lower case

// parseStructured reads a field, unfolded. It looks at each byte a bounded
// number of times.
func parseStructured(s string) structured {
	p := parameterReader{s: s, semicolon: -1}
	p.readValue()
	for p.skip(); p.pos < len(p.s); p.skip() {
		if len(p.out.parameters) == maxParameters {
			p.out.malformed = true
			break
		}
		p.readParameter()
	}
	return p.out
}

type parameterReader struct {
	s   string
	pos int
	out structured

	semicolon, beforeSemicolon int // offset of the next one, and of the blanks before it

	noEnd, noQuote bool // the rest has no quote after which a value may end, or none at all
}

// readValue reads what is before the first semicolon, or before the first
// parameter where the semicolon was forgotten.
func (p *parameterReader) readValue() {
	p.skip()
	start := p.pos
	for p.pos < len(p.s) && strings.IndexByte(";( \t=", p.s[p.pos]) < 0 {
		p.pos++
	}
	value := p.s[start:p.pos]
	p.comments()
	switch {
	case p.pos < len(p.s) && p.s[p.pos] == '=': // all is parameters
		p.pos, p.out.malformed = start, true
		return
	case p.pos < len(p.s) && p.s[p.pos] != ';':
		if rest, spaced := spacedSlash(value, p.s[p.pos:]); spaced > 0 { // "text / plain"
			value, p.pos = value+rest, p.pos+spaced
		} else {
			p.out.malformed = true
		}
	}
	p.out.value = strings.Trim(value, "\"'")
}

// spacedSlash completes a type with blanks around its slash. It gives what
// belongs to the value and how many bytes of rest that was.
func spacedSlash(value, rest string) (more string, n int) {
	if strings.HasSuffix(value, "/") == (rest[0] == '/') {
		return "", 0
	}
	subtype := strings.TrimLeft(strings.TrimPrefix(rest, "/"), " \t")
	end := strings.IndexAny(subtype, ";( \t")
	if end < 0 {
		end = len(subtype)
	}
	n = len(rest) - len(subtype) + end
	if rest[0] == '/' {
		return "/" + subtype[:end], n
	}
	return subtype[:end], n
}

// skip moves past semicolons, blanks and comments.
func (p *parameterReader) skip() {
	for p.comments(); p.pos < len(p.s) && (p.s[p.pos] == ';' || p.s[p.pos] == ','); p.comments() {
		p.pos++
	}
}

// comments moves past blanks and comments (RFC 5322 3.2.2). One that does not
// end takes the rest.
func (p *parameterReader) comments() {
	depth := 0
	for ; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0 && p.pos+1 < len(p.s):
			p.pos++
		case depth == 0 && !isBlank(c):
			return
		}
	}
	p.out.malformed = p.out.malformed || depth > 0
}

func (p *parameterReader) readParameter() {
	start := p.pos
	for p.pos < len(p.s) && strings.IndexByte("=;(\" \t,", p.s[p.pos]) < 0 {
		p.pos++
	}
	name := strings.ToLower(p.s[start:p.pos])
	p.comments()
	if p.pos == len(p.s) || p.s[p.pos] != '=' { // a word without a value
		p.out.malformed = true
		if p.pos == start {
			p.pos++
		}
		return
	}
	p.pos++
	p.comments()
	var value string
	switch {
	case p.pos < len(p.s) && p.s[p.pos] == '"':
		value = p.quoted()
	default:
		value = p.unquoted(name)
	}
	if name == "" {
		p.out.malformed = true
		return
	}
	p.out.parameters = append(p.out.parameters, parameter{name, value})
}

// quoted reads a quoted string. Senders leave quotes inside of it unescaped, so
// it ends at the quote after which a parameter may end.
func (p *parameterReader) quoted() string {
	start := p.pos + 1
	first := -1
	for i := start; i < len(p.s) && !p.noQuote && (!p.noEnd || first < 0); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '"':
			if !p.noEnd && p.mayEnd(i+1) {
				p.pos = i + 1
				return unquoteParameter(p.s[start:i])
			}
			if first < 0 {
				first = i
			}
		}
	}
	p.out.malformed, p.noEnd, p.noQuote = true, true, first < 0
	if first < 0 { // the closing quote was forgotten
		p.pos = start
		return unquoteParameter(p.s[start:p.untilSemicolon()])
	}
	p.pos = first + 1
	value := p.s[start:first]
	p.untilSemicolon()
	return unquoteParameter(value)
}

// mayEnd says whether a quoted string may end before offset i.
func (p *parameterReader) mayEnd(i int) bool {
	rest := strings.TrimLeft(p.s[i:], " \t")
	if rest == "" || rest[0] == ';' || rest[0] == '(' {
		return true
	}
	return len(rest) < len(p.s)-i && beginsKnownParameter(rest)
}

// unquoteParameter removes the backslashes before quotes and backslashes. Others
// stand in the paths that Windows programs put there.
func unquoteParameter(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return quotedPairs.Replace(s)
}

var quotedPairs = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

// unquoted reads a value without quotes. Only names of files may have blanks
// and parentheses in them.
func (p *parameterReader) unquoted(name string) string {
	start := p.pos
	end := p.untilSemicolon()
	value := p.s[start:end]
	for i := 0; i < len(value); i++ {
		c := value[i]
		if !isBlank(c) && c != '(' {
			continue
		}
		next := i
		for isBlank(value[next]) { // the last character is no blank
			next++
		}
		if isFilename(name) && (c == '(' || !beginsKnownParameter(value[next:])) {
			p.out.malformed = true
			i = next
			continue
		}
		p.pos = start + i
		return value[:i]
	}
	return value
}

// untilSemicolon moves to the next semicolon and gives the end of what is
// before it, blanks left out.
func (p *parameterReader) untilSemicolon() int {
	start := p.pos
	if p.semicolon < start {
		p.semicolon = len(p.s)
		if n := strings.IndexByte(p.s[start:], ';'); n >= 0 {
			p.semicolon = start + n
		}
		p.beforeSemicolon = len(strings.TrimRight(p.s[:p.semicolon], " \t"))
	}
	p.pos = p.semicolon
	return max(start, p.beforeSemicolon)
}

func isFilename(name string) bool {
	return strings.HasPrefix(name, "name") || strings.HasPrefix(name, "filename")
}

// beginsKnownParameter finds a parameter where the semicolon before it was
// forgotten.
func beginsKnownParameter(s string) bool {
	end := 0
	for end < len(s) && end < 20 && (isLetter(s[end]) || s[end] == '-') {
		end++
	}
	if end == 0 || !strings.HasPrefix(strings.TrimLeft(s[end:min(len(s), end+20)], " \t*0123456789"), "=") {
		return false
	}
	switch strings.ToLower(s[:end]) {
	case "charset", "name", "filename", "boundary", "type", "start", "format", "delsp", "size", "method", "protocol",
		"micalg", "report-type", "creation-date", "modification-date", "read-date", "x-unix-mode", "x-mac-type", "x-mac-creator":
		return true
	}
	return false
}

// parameter gives the value of a parameter: in the forms of RFC 2231 if it has
// one that can be read, else plain. The first of several counts.
func (r *reader) parameter(s structured, name string) string {
	plain, found := "", false
	var pieces []continuation
	for _, p := range s.parameters {
		switch {
		case !strings.HasPrefix(p.name, name):
		case len(p.name) == len(name):
			if !found {
				plain, found = p.value, true
			}
		case p.name[len(name)] == '*':
			if piece, ok := parseContinuation(p.name[len(name)+1:], p.value); ok {
				pieces = append(pieces, piece)
			}
		}
	}
	if pieces != nil {
		if value := r.continued(pieces); value != "" && (!found || !strings.Contains(value, "\uFFFD")) {
			return value
		}
	}
	return strings.Trim(r.decodeWords(plain), " \t")
}

// continuation is one of name*=, name*0=, name*0*= (RFC 2231 3, 4).
type continuation struct {
	number   int
	extended bool
	value    string
}

// parseContinuation reads what follows "name*".
func parseContinuation(suffix, value string) (continuation, bool) {
	c := continuation{value: value}
	if suffix == "" {
		c.number, c.extended = -1, true // one value is better than pieces of it
		return c, true
	}
	digits, extended := strings.CutSuffix(suffix, "*")
	if digits == "" || len(digits) > 4 {
		return c, false
	}
	for i := 0; i < len(digits); i++ {
		if !isDigit(digits[i]) {
			return c, false
		}
		c.number = 10*c.number + int(digits[i]-'0')
	}
	c.extended = extended
	return c, true
}

// continued joins the pieces by their numbers. What is missing is left out; of
// a number that comes twice the first counts.
func (r *reader) continued(pieces []continuation) string {
	slices.SortStableFunc(pieces, func(a, b continuation) int { return a.number - b.number })
	pieces = slices.CompactFunc(pieces, func(a, b continuation) bool { return a.number == b.number })
	if pieces[0].number < 0 {
		pieces = pieces[:1]
	}
	var text []byte
	label := ""
	for i, p := range pieces {
		if !p.extended {
			text = append(text, p.value...)
			continue
		}
		value := p.value
		if i == 0 {
			if charset, rest, ok := strings.Cut(value, "'"); ok {
				if _, rest, ok := strings.Cut(rest, "'"); ok {
					label, value = charset, rest
				}
			}
		}
		text = appendPercent(text, value)
	}
	c := lookupCharset(label)
	if c.kind == unknown && label != "" {
		r.m.defect(DefectUnknownCharset)
	}
	value, ok := c.decode(string(text))
	if !ok {
		r.m.defect(DefectCharsetMismatch)
	}
	return strings.Trim(oneLine(r.decodeWords(value)), " \t")
}

// appendPercent decodes "%" and two hexadecimal digits; any other "%" is kept.
func appendPercent(out []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}
