package client

import (
	"bytes"
	"strconv"
	"strings"
)

// scanner takes the arguments of a response apart. It never fails: where there is
// nothing more to find, it is at its end.
type scanner struct{ text []byte }

// Token is an atom, a string or a list of tokens.
type Token struct {
	Text string
	// Quoted is a string, which is not NIL even if it says so.
	Quoted bool
	List   []Token
	IsList bool
}

// Nil says whether the token stands for nothing.
func (t Token) Nil() bool { return !t.Quoted && !t.IsList && strings.EqualFold(t.Text, "NIL") }

// Tokens takes the arguments of a response apart.
func (r *Response) Tokens() []Token {
	s := scanner{r.Args}
	return s.list(0)
}

// maxDepth of lists in lists; what is deeper is left out.
const maxDepth = 50

func (s *scanner) list(depth int) []Token {
	var all []Token
	for {
		s.text = bytes.TrimLeft(s.text, " ")
		if len(s.text) == 0 {
			return all
		}
		if s.text[0] == ')' {
			s.text = s.text[1:]
			if depth > 0 {
				return all
			}
			continue
		}
		all = append(all, s.token(depth))
	}
}

// token reads one, of which there is at least a byte.
func (s *scanner) token(depth int) Token {
	switch s.text[0] {
	case '(':
		s.text = s.text[1:]
		if depth >= maxDepth {
			s.text = nil
			return Token{IsList: true}
		}
		return Token{List: s.list(depth + 1), IsList: true}
	case '"':
		return Token{Text: s.quoted(), Quoted: true}
	case '{', '~':
		if text, ok := s.literal(); ok {
			return Token{Text: text, Quoted: true}
		}
	}
	return Token{Text: s.atom()}
}

// atom ends with a blank or a parenthesis, outside of brackets: BODY[HEADER.FIELDS
// (TO)] is one, and servers have flags with brackets.
func (s *scanner) atom() string {
	section := bytes.HasPrefix(bytes.ToUpper(s.text[:min(len(s.text), 7)]), []byte("BODY[")) ||
		bytes.HasPrefix(bytes.ToUpper(s.text[:min(len(s.text), 7)]), []byte("BINARY["))
	end, inside := 0, false
	for ; end < len(s.text); end++ {
		b := s.text[end]
		if section && b == '[' {
			inside = true
		}
		if b == ']' {
			inside = false
		}
		if !inside && (b == ' ' || b == '(' || b == ')') {
			break
		}
	}
	end = max(end, 1)
	text := string(s.text[:end])
	s.text = s.text[end:]
	return text
}

func (s *scanner) quoted() string {
	var b strings.Builder
	for i := 1; i < len(s.text); i++ {
		switch s.text[i] {
		case '"':
			s.text = s.text[i+1:]
			return b.String()
		case '\\':
			if i++; i < len(s.text) {
				b.WriteByte(s.text[i])
			}
		default:
			b.WriteByte(s.text[i])
		}
	}
	s.text = nil
	return b.String()
}

func (s *scanner) literal() (string, bool) {
	head, rest, ok := bytes.Cut(s.text, []byte("\r\n"))
	if !ok {
		return "", false
	}
	n, ok := literalLength(head)
	if !ok || n > int64(len(rest)) || bytes.IndexByte(head, '{') > 1 || bytes.ContainsAny(head, " ()") {
		return "", false
	}
	s.text = rest[n:]
	return string(rest[:n]), true
}

// Uint32 is the number that a text is.
func Uint32(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil
}
