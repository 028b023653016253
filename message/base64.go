package message

import (
	"bytes"
	"unicode/utf8"
)

const notBase64 = 0xff

// base64Value is the six bits of each character of the alphabet (RFC 2045 6.8).
var base64Value = func() (values [256]byte) {
	for i := range values {
		values[i] = notBase64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		values[c] = byte(i)
	}
	return values
}()

// moreBase64 skips what is not of the alphabet, goes on after padding, and
// keeps the whole bytes of a quantum that is cut off. Text below the data, such
// as a list adds it, is not taken for data: see footer.
func (d *decoder) moreBase64(out []byte) []byte {
	src := d.src
	for d.pos < len(src) && cap(out)-len(out) >= decodeRoom {
		if d.nbits == 0 {
			out = d.quanta(out)
			if d.pos >= len(src) || cap(out)-len(out) < decodeRoom {
				break
			}
		}
		c := src[d.pos]
		d.pos++
		v := base64Value[c]
		switch {
		case v != notBase64:
			d.bits = d.bits<<6 | uint32(v)
			d.nbits += 6
			if d.nbits >= 8 {
				d.nbits -= 8
				out = append(out, byte(d.bits>>d.nbits))
			}
		case c == '=':
			d.bits, d.nbits, d.padded = 0, 0, true
		case c == '\n' || c == '\r' || d.padded && isBlank(c) && d.pos < len(src) && !isBlank(src[d.pos]):
			if d.footer() {
				d.below, d.pos = d.pos, len(src)
			}
		}
	}
	return out
}

// quanta decodes whole groups of four characters that are not interrupted.
func (d *decoder) quanta(out []byte) []byte {
	src, pos := d.src, d.pos
	for pos+4 <= len(src) && cap(out)-len(out) >= decodeRoom {
		q := src[pos : pos+4 : pos+4]
		v0, v1, v2, v3 := base64Value[q[0]], base64Value[q[1]], base64Value[q[2]], base64Value[q[3]]
		if v0|v1|v2|v3 == notBase64 {
			break
		}
		out = append(out, v0<<2|v1>>4, v1<<4|v2>>2, v2<<6|v3)
		pos += 4
	}
	d.pos = pos
	return out
}

// footer says whether the line at pos, or what is left of it after a blank, is
// text below the data: one that begins with "--" or "__", in a text prose after
// which no data comes, or after padding any with a character that is not base64, or too
// short and uneven to be a line of it.
func (d *decoder) footer() bool {
	line, _ := lineAt(d.src, d.pos)
	if bytes.HasPrefix(line, []byte("--")) || bytes.HasPrefix(line, []byte("__")) {
		return true
	}
	line = bytes.Trim(line, " \t\r")
	if !d.padded {
		return d.text && isProse(line) && !d.dataBelow()
	}
	return !isOfBase64(line) || len(line)%4 != 0 && len(line) < 40
}

// isProse says whether a line is of several words that are not all of base64.
func isProse(line []byte) bool {
	words := 0
	odd := false
	for word := range bytes.FieldsSeq(line) {
		words++
		odd = odd || !isOfBase64(word)
	}
	return odd && words > 1
}

func isOfBase64(b []byte) bool {
	for _, c := range b {
		if base64Value[c] == notBase64 && c != '=' {
			return false
		}
	}
	return true
}

// dataBelow says whether any line from pos on is surely one of base64.
func (d *decoder) dataBelow() bool {
	for d.data < len(d.src) {
		line, next := lineAt(d.src, d.data)
		if d.data >= d.pos && len(line) >= 40 && isOfBase64(line) {
			return true
		}
		d.data = next
	}
	return false
}

// looksLikeBase64 tells base64 with some junk in it from prose that merely is
// called base64: that does not begin with a line of base64, and has far more
// blanks and punctuation. Where there is prose, a word before it that could be
// base64 must give text.
func looksLikeBase64(b, scratch []byte) bool {
	b = bytes.Trim(b, " \t\r\n")
	d := decoder{encoding: encodingBase64, src: b, text: true}
	d.size(scratch)
	if d.below > 0 {
		b = b[:d.below]
	}
	other := 0
	for _, c := range b {
		if base64Value[c] == notBase64 && c != '=' && c != '\n' && c != '\r' {
			other++
		}
	}
	line, _ := lineAt(b, 0)
	line = bytes.TrimRight(line, " \t")
	switch {
	case other == 0 && d.below == 0:
		return true
	case len(line) < 24 && !bytes.HasSuffix(line, []byte{'='}):
		d = newDecoder(encodingBase64, line)
		return isReadable(d.all(len(line)))
	case bytes.IndexByte(line, ' ') < 0 && scanBase64(line).strict:
		return true
	}
	return other*12 < len(b)
}

// isReadable says whether content is UTF-8 or ISO-2022 without other control
// characters.
func isReadable(content []byte) bool {
	for _, c := range content {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != 0x1b {
			return false
		}
	}
	return len(content) > 0 && utf8.Valid(content)
}

// base64Scan is what is known of base64 without decoding it.
type base64Scan struct {
	strict bool // as Wrapping promises
	size   int64

	// As a Cut promises, with offsets in what was scanned.
	regular    bool
	start, end int
	lineLength int
	crlf       bool
}

// scanBase64 looks at each byte once.
func scanBase64(b []byte) base64Scan {
	s := base64Lines{base64Scan: base64Scan{strict: true, regular: true, start: -1}}
	for pos := 0; pos < len(b) && s.strict; {
		next := bytes.IndexByte(b[pos:], '\n')
		if next < 0 {
			next = len(b)
		} else {
			next += pos + 1
		}
		s.line(b, pos, next)
		pos = next
	}
	chars := s.chars + int64(s.padding)
	if chars%4 != 0 || s.padding > 2 {
		s.strict = false
	}
	s.size = s.chars * 6 / 8
	s.regular = s.regular && s.strict && s.start >= 0 && s.canonical(b)
	if s.lines == 1 {
		s.lineLength, s.crlf = 0, false
	}
	return s.base64Scan
}

// base64Lines is the state of scanBase64.
type base64Lines struct {
	base64Scan
	chars   int64 // of the alphabet
	padding int
	lines   int  // that are not empty
	short   bool // the line before was shorter than the first: it must be the last
	ended   bool // and so must a line be that was followed by an empty one
	lastCR  bool
}

// line takes b[pos:next], a line with its line end.
func (s *base64Lines) line(b []byte, pos, next int) {
	end, hasCR := next, false
	if b[end-1] == '\n' {
		end--
		if end > pos && b[end-1] == '\r' {
			end--
			hasCR = true
		}
	}
	text := b[pos:end]
	if len(text) == 0 {
		s.ended = s.lines > 0
		return
	}
	var bad byte
	for _, c := range text {
		bad |= base64Value[c]
	}
	n := len(text)
	if bad == notBase64 {
		if n = s.odd(text); n == 0 {
			s.ended = s.lines > 0
			return
		}
	} else {
		if s.padding > 0 {
			s.strict = false
		}
		s.chars += int64(n)
	}
	s.shape(pos, n, hasCR)
}

// shape checks that a line of n characters goes on as the lines before began.
func (s *base64Lines) shape(pos, n int, hasCR bool) {
	switch {
	case s.lines == 0:
		s.start, s.lineLength, s.crlf = pos, n, hasCR
	case s.short || s.ended || n > s.lineLength || s.lineLength%4 != 0 || s.lastCR != s.crlf:
		s.regular = false
	}
	s.short = n < s.lineLength
	s.lastCR = hasCR
	s.end = pos + n
	s.lines++
}

// odd takes a line with more in it than the alphabet, and gives how many
// characters it has with the padding: 0 if it is only blanks.
func (s *base64Lines) odd(text []byte) int {
	n := 0
	for _, c := range text {
		switch {
		case base64Value[c] != notBase64:
			if s.padding > 0 {
				s.strict = false
			}
			s.chars++
			n++
		case c == '=':
			s.padding++
			n++
		case c == ' ' || c == '\t' || c == '\r':
		default:
			s.strict = false
		}
	}
	if n != len(text) && n > 0 {
		s.regular = false
	}
	return n
}

// canonical says whether the bits that padding leaves unused are zero.
func (s *base64Lines) canonical(b []byte) bool {
	if s.padding == 0 {
		return true
	}
	unused := byte(1)<<(2*s.padding) - 1
	for i := s.end - 1; i >= s.start; i-- {
		if v := base64Value[b[i]]; v != notBase64 {
			return v&unused == 0
		}
	}
	return false
}
