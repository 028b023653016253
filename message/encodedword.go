package message

import (
	"strings"
	"unicode/utf8"
)

// encodedWord is one =?charset?encoding?text?= (RFC 2047 2), not yet decoded.
type encodedWord struct {
	start, end int // offsets in the string scanned
	charset    string
	base64     bool
	text       string
}

// wordScanner finds encoded words from left to right. It remembers where the
// next "?=" is, so that text full of "=?" still takes linear time.
type wordScanner struct {
	s       string
	nextEnd int // offset of a "?=" at or after any place looked at, len(s) if there is none
}

// at reads the encoded word that begins at offset i, where s has "=?". i must
// not decrease between calls.
func (w *wordScanner) at(i int) (encodedWord, bool) {
	s := w.s
	charset, ok := untilQuestionMark(s, i+2, 64)
	if !ok {
		return encodedWord{}, false
	}
	text := i + 2 + len(charset) + 3
	if text > len(s) || s[text-1] != '?' {
		return encodedWord{}, false
	}
	word := encodedWord{start: i}
	switch s[text-2] {
	case 'b', 'B':
		word.base64 = true
	case 'q', 'Q':
	default:
		return encodedWord{}, false
	}
	if w.nextEnd < text {
		n := strings.Index(s[text:], "?=")
		if n < 0 {
			w.nextEnd = len(s)
		} else {
			w.nextEnd = text + n
		}
	}
	if w.nextEnd == len(s) {
		return encodedWord{}, false
	}
	word.text, word.end = s[text:w.nextEnd], w.nextEnd+2
	// Another "=?" means that this word has no end: the next one does. A "?"
	// must be encoded, so it cannot be text.
	if strings.Contains(word.text, "=?") {
		return encodedWord{}, false
	}
	charset, _, _ = strings.Cut(charset, "*") // language, RFC 2231 5
	word.charset = strings.Trim(charset, "\"'")
	return word, true
}

// untilQuestionMark returns what lies between offset i and the next "?", if
// that can be the name of a charset.
func untilQuestionMark(s string, i, limit int) (string, bool) {
	for n := i; n < len(s) && n < i+limit; n++ {
		switch c := s[n]; {
		case c == '?':
			return s[i:n], n > i
		case c <= ' ' || c >= 0x7f || c == '=' || c == '<' || c == '>':
			return "", false
		}
	}
	return "", false
}

// decodeWords decodes the encoded words of s, also those stuck to other text
// or inside quotes, as all mail programs do. Blanks between two of them are
// dropped (RFC 2047 6.2). A word that cannot be decoded stays as written.
func (r *reader) decodeWords(s string) string {
	next := strings.Index(s, "=?")
	if next < 0 {
		return s
	}
	d := wordDecoder{r: r}
	scanner := wordScanner{s: s}
	done := 0
	for next >= 0 {
		word, ok := scanner.at(next)
		if ok && lookupCharset(word.charset).kind == unknown {
			r.m.defect(DefectUnknownCharset)
			d.text(s[done:word.end])
			done, ok = word.end, false
		}
		from := max(next+2, done)
		if ok {
			if between := s[done:word.start]; !d.pending || strings.Trim(between, " \t") != "" {
				d.text(between)
			}
			d.word(word)
			done, from = word.end, word.end
		}
		if n := strings.Index(s[from:], "=?"); n >= 0 {
			next = from + n
		} else {
			next = -1
		}
	}
	d.text(s[done:])
	d.flush()
	return d.out.String()
}

// wordDecoder collects the bytes of adjacent words of one charset before it
// decodes them: senders cut characters in two, though RFC 2047 5 forbids it.
type wordDecoder struct {
	r       *reader
	out     strings.Builder
	pending bool // the last thing seen was a word
	charset string
	bytes   []byte
}

func (d *wordDecoder) word(w encodedWord) {
	if !w.base64 && !isASCII(w.text) { // raw 8-bit text, which is UTF-8 here
		d.r.m.defect(DefectCharsetMismatch)
		w.charset = "utf-8"
	}
	if d.pending && !strings.EqualFold(d.charset, w.charset) {
		d.flush()
	}
	d.pending, d.charset = true, w.charset
	if w.base64 {
		d.bytes = appendBase64(d.bytes, w.text)
	} else {
		d.bytes = appendQ(d.bytes, w.text)
	}
}

func (d *wordDecoder) text(s string) {
	if s != "" {
		d.flush()
		d.out.WriteString(s)
	}
}

func (d *wordDecoder) flush() {
	if !d.pending {
		return
	}
	d.pending = false
	text, ok := lookupCharset(d.charset).decode(string(d.bytes))
	d.bytes = d.bytes[:0]
	if !ok {
		d.r.m.defect(DefectCharsetMismatch)
	}
	d.out.WriteString(oneLine(text))
}

// oneLine keeps what was hidden in an encoded word from breaking the field or
// the database: line ends become blanks, NUL becomes U+FFFD.
func oneLine(s string) string {
	s, _ = Clean(s)
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", " ")
	s = strings.ReplaceAll(s, "\n", " ")
	return strings.ReplaceAll(s, "\r", " ")
}

// appendQ decodes the Q encoding (RFC 2047 4.2); what is no escape is kept.
func appendQ(out []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '_':
			c = ' '
		case c == '=' && i+2 < len(s):
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendBase64 decodes base64, skipping what is not of its alphabet and going
// on after padding: both occur, and half a subject beats none.
func appendBase64(out []byte, s string) []byte {
	var bits uint32
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		var v byte
		switch {
		case 'A' <= c && c <= 'Z':
			v = c - 'A'
		case 'a' <= c && c <= 'z':
			v = c - 'a' + 26
		case '0' <= c && c <= '9':
			v = c - '0' + 52
		case c == '+' || c == '-':
			v = 62
		case c == '/' || c == '_':
			v = 63
		case c == '=':
			bits, n = 0, 0
			continue
		default:
			continue
		}
		bits = bits<<6 | uint32(v)
		n += 6
		if n >= 8 {
			n -= 8
			out = append(out, byte(bits>>n))
		}
	}
	return out
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
