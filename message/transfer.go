package message

import (
	"bytes"
	"slices"
	"strings"
)

// The transfer encodings that are undone. Any other leaves the bytes as they
// are (RFC 2045 6.4).
const (
	encoding7bit            = "7bit"
	encoding8bit            = "8bit"
	encodingBinary          = "binary"
	encodingQuotedPrintable = "quoted-printable"
	encodingBase64          = "base64"
	encodingUU              = "x-uuencode"
)

// transferEncoding reads a Content-Transfer-Encoding field, with what is seen
// around and inside the names: quotes, semicolons, blanks, "8-bit". known says
// that it is one of RFC 2045 or uuencode.
func transferEncoding(value string) (name string, known bool) {
	value, _, _ = strings.Cut(withoutComments(value), ";")
	value = strings.ToLower(strings.Trim(value, " \t\"'.,"))
	var key [20]byte
	n := 0
	for i := 0; i < len(value) && n < len(key); i++ {
		if isLetter(value[i]) || isDigit(value[i]) {
			key[n] = value[i]
			n++
		}
	}
	switch string(key[:n]) {
	case "7bit", "7bits":
		return encoding7bit, true
	case "8bit", "8bits":
		return encoding8bit, true
	case "binary":
		return encodingBinary, true
	case "quotedprintable", "qp":
		return encodingQuotedPrintable, true
	case "base64", "b64":
		return encodingBase64, true
	case "xuuencode", "uuencode", "xuue", "uue":
		return encodingUU, true
	case "":
		return encoding7bit, value == ""
	}
	return value, false
}

// decoder undoes a transfer encoding piece by piece, so that a large part need
// not be in memory a second time. It never fails: each kind says what it does
// with what is no part of its encoding.
type decoder struct {
	encoding string
	src      []byte
	pos      int

	blanksEnd int // quoted-printable: blanks up to here are content

	bits   uint32 // base64: not yet written, of a quantum
	nbits  uint
	padded bool // an "=" was met
	below  int  // offset of the text below the data, 0 if none was met
	data   int  // no line before it is surely data
	text   bool // the content is text: prose may follow

	ended bool // uuencode: its "end" was met
}

// decoder undoes the transfer encoding of the part.
func (p *Part) decoder(raw []byte) decoder {
	d := newDecoder(p.Encoding, raw[p.BodyStart:p.BodyEnd:p.BodyEnd])
	d.text = isText(p.Type)
	return d
}

func newDecoder(encoding string, src []byte) decoder {
	d := decoder{encoding: encoding, src: src}
	if encoding == encodingUU {
		d.beginUU()
	}
	return d
}

// decodeRoom is how many free bytes a buffer must have to be written to.
const decodeRoom = 64

// more appends content to out until its capacity is nearly used up.
func (d *decoder) more(out []byte) (_ []byte, done bool) {
	switch d.encoding {
	case encodingQuotedPrintable:
		out = d.moreQuotedPrintable(out)
	case encodingBase64:
		out = d.moreBase64(out)
	case encodingUU:
		out = d.moreUU(out)
	default:
		n := min(len(d.src)-d.pos, cap(out)-len(out))
		out = append(out, d.src[d.pos:d.pos+n]...)
		d.pos += n
	}
	return out, d.pos >= len(d.src)
}

// all gives the whole content, of about size bytes.
func (d *decoder) all(size int) []byte { return d.appendAll(nil, size) }

// appendAll appends the whole content, of about size bytes.
func (d *decoder) appendAll(out []byte, size int) []byte {
	out, done := d.more(slices.Grow(out, size+decodeRoom))
	for !done {
		out, done = d.more(slices.Grow(out, cap(out)+decodeRoom))
	}
	return out
}

// size counts the bytes of content, through the given buffer.
func (d *decoder) size(buffer []byte) int64 {
	var n int64
	for done := false; !done; {
		var out []byte
		out, done = d.more(buffer[:0])
		n += int64(len(out))
	}
	return n
}

// moreQuotedPrintable drops blanks before a line end (RFC 2045 6.7 rule 3) and
// takes as a soft line break also an "=" with blanks behind it, or at the very
// end. Any other "=" that begins no escape is kept.
func (d *decoder) moreQuotedPrintable(out []byte) []byte {
	src := d.src
	for d.pos < len(src) && cap(out)-len(out) >= decodeRoom {
		if n := d.literals(src[d.pos:min(len(src), d.pos+cap(out)-len(out))]); n > 0 {
			out = append(out, src[d.pos:d.pos+n]...)
			d.pos += n
			continue
		}
		c := src[d.pos]
		switch {
		case c == '=':
			out = d.escape(out)
			continue
		case isBlank(c):
			end := d.pos + 1
			for end < len(src) && isBlank(src[end]) {
				end++
			}
			if end == len(src) || src[end] == '\n' || src[end] == '\r' {
				d.pos = end
			} else {
				d.blanksEnd = end
			}
			continue
		}
		out = append(out, c)
		d.pos++
	}
	return out
}

// literals gives how many of the next bytes stand for themselves as far as they tell:
// blanks at their end do if an "=" follows, or if they are known to be content.
func (d *decoder) literals(next []byte) int {
	n := literalsOf(next)
	if n < len(next) && next[n] == '=' {
		return n
	}
	for n > 0 && isBlank(next[n-1]) && d.pos+n > d.blanksEnd {
		n--
	}
	return n
}

// literalsOf gives how many bytes there are before an "=", a line end or a NUL.
func literalsOf(b []byte) int {
	for i, c := range b {
		if notLiteral[c] {
			return i
		}
	}
	return len(b)
}

var notLiteral = [256]bool{'=': true, '\n': true, '\r': true, 0: true}

// escape decodes what begins with the "=" at pos.
func (d *decoder) escape(out []byte) []byte {
	src := d.src[d.pos+1:]
	if len(src) >= 2 {
		if hi, lo := unhex(src[0]), unhex(src[1]); hi >= 0 && lo >= 0 {
			d.pos += 3
			return append(out, byte(hi<<4|lo))
		}
	}
	end := 0
	for end < len(src) && isBlank(src[end]) {
		end++
	}
	switch {
	case end == len(src):
	case src[end] == '\n':
		end++
	case src[end] == '\r':
		end++
		if end < len(src) && src[end] == '\n' {
			end++
		}
	default:
		d.pos++
		return append(out, '=')
	}
	d.pos += 1 + end
	return out
}

// quotedPrintable is what is known of quoted-printable without decoding it.
type quotedPrintable struct {
	strict  bool // as Wrapping promises
	escapes bool // each "=" begins an escape
	size    int64
}

// scanQuotedPrintable looks at each byte once.
func scanQuotedPrintable(b []byte) quotedPrintable {
	q := quotedPrintable{strict: true, escapes: true}
	n := 0
	for i := 0; ; i++ {
		literals := literalsOf(b[i:])
		n, i = n+literals, i+literals
		if i == len(b) {
			break
		}
		switch {
		case b[i] == 0: // which SQL cannot take for text
			q.strict = false
		case b[i] != '=':
			q.strict = q.strict && (i == 0 || !isBlank(b[i-1]))
		case i+1 < len(b) && b[i+1] == '\n':
			i++
			continue
		case i+2 < len(b) && b[i+1] == '\r' && b[i+2] == '\n':
			i += 2
			continue
		case i+2 < len(b) && unhex(b[i+1]) >= 0 && unhex(b[i+2]) >= 0:
			i += 2
		default:
			q.escapes = false
		}
		n++
	}
	q.strict = q.strict && q.escapes && (len(b) == 0 || !isBlank(b[len(b)-1]))
	q.size = int64(n)
	return q
}

// beginUU moves to the line after "begin", if there is one.
func (d *decoder) beginUU() {
	if start, ok := findBegin(d.src, 0); ok {
		d.pos = start.next
	}
}

// moreUU decodes the lines of uuencode up to "end".
func (d *decoder) moreUU(out []byte) []byte {
	for d.pos < len(d.src) && cap(out)-len(out) >= decodeRoom {
		line, next := lineAt(d.src, d.pos)
		if bytes.Equal(line, []byte("end")) {
			d.pos, d.ended = len(d.src), true
			break
		}
		out = appendUU(out, line)
		d.pos = next
	}
	return out
}
