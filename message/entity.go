package message

import (
	"bytes"
	"strings"
)

// entityHeader is what the fields of one part say about it (RFC 2045 3).
type entityHeader struct {
	kind     string // type/subtype, "" while none was read
	present  bool   // there is a Content-Type, if only a broken one
	charset  string
	boundary string
	name     string
	start    string // root of a multipart/related (RFC 2387 3.2)
	report   string // what a multipart/report is about (RFC 6522 3)

	encoding, disposition, filename, contentID string
	encodingSeen, dispositionSeen              bool
}

// setField takes one field. text is what follows the colon, as its bytes.
func (t *tree) setField(h *entityHeader, name, text string) {
	switch {
	case len(name) == 12 && strings.EqualFold(name, "Content-Type"):
		t.contentType(h, text)
	case len(name) == 25 && strings.EqualFold(name, "Content-Transfer-Encoding"):
		if h.encodingSeen {
			return
		}
		h.encodingSeen = true
		value, _ := t.r.decodeText(text)
		known := false
		if h.encoding, known = transferEncoding(value); !known {
			t.m.defect(DefectEncodingUnknown)
		}
	case len(name) == 19 && strings.EqualFold(name, "Content-Disposition"):
		if !h.dispositionSeen {
			h.dispositionSeen = true
			t.contentDisposition(h, text)
		}
	case len(name) == 10 && strings.EqualFold(name, "Content-ID"):
		if h.contentID == "" {
			value, _ := t.r.decodeText(text)
			h.contentID = messageID(t.r.decodeWords(value))
		}
	}
}

// contentDisposition reads a Content-Disposition field (RFC 2183).
func (t *tree) contentDisposition(h *entityHeader, text string) {
	value, _ := t.r.decodeText(text)
	s := parseStructured(value)
	if isToken(s.value) {
		h.disposition = strings.ToLower(s.value)
	} else {
		s.malformed = true
	}
	h.filename = t.r.parameter(s, "filename")
	if s.malformed {
		t.m.defect(DefectParameter)
	}
}

// contentType reads a Content-Type field. Of several the first counts that has
// a type; the parameters of a broken one count when there is no other.
func (t *tree) contentType(h *entityHeader, text string) {
	if h.present {
		t.m.defect(DefectDuplicateContentType)
		if h.kind != "" {
			return
		}
	}
	h.present = true
	t.learnCharset(text)
	value, _ := t.r.decodeText(text)
	s := parseStructured(value)
	if s.malformed {
		t.m.defect(DefectParameter)
	}
	switch {
	case isType(s.value):
		h.kind = strings.ToLower(s.value)
	case strings.EqualFold(s.value, "html"), strings.EqualFold(s.value, "texthtml"):
		h.kind = typeHTML
		fallthrough
	default:
		t.m.defect(DefectContentType)
	}
	h.charset = charsetLabel(t.r.parameter(s, "charset"))
	h.boundary = strings.TrimRight(t.r.parameter(s, "boundary"), " \t")
	h.name = t.r.parameter(s, "name")
	h.start = messageID(t.r.parameter(s, "start"))
	h.report = strings.ToLower(t.r.parameter(s, "report-type"))
}

// learnCharset makes the charset of a part the one of raw 8-bit names in it and
// in the parts after it, where the mail as a whole has none.
func (t *tree) learnCharset(contentType string) {
	if t.r.fallbackCharset().kind != text8 {
		return
	}
	if c := lookupCharset(charsetParameter(contentType)); c.kind == encoded {
		t.r.fallback = c
	}
}

// isType says whether s is type/subtype (RFC 6838 4.2).
func isType(s string) bool {
	kind, subtype, ok := strings.Cut(s, "/")
	return ok && isToken(kind) && isToken(subtype)
}

// isToken says whether s is a token of RFC 2045 5.1, of a sane length.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?=", c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 127
}

// charsetLabel drops the junk around a label and after it, and the name of the
// parameter where it is there twice.
func charsetLabel(s string) string {
	s = strings.TrimLeft(s, " \t'\"=")
	if name, value, ok := strings.Cut(s, "="); ok && strings.EqualFold(name, "charset") {
		s = strings.TrimLeft(value, " \t'\"")
	}
	end := 0
	for end < len(s) && end < 64 && (isLetter(s[end]) || isDigit(s[end]) || strings.IndexByte("-_.:+*", s[end]) >= 0) {
		end++
	}
	return strings.ToLower(s[:end])
}

// part makes a part of the header. digest says that it is in a
// multipart/digest.
func (h *entityHeader) part(digest bool) Part {
	p := Part{
		Type: h.kind, Charset: h.charset, Disposition: h.disposition, ContentID: h.contentID,
		Filename: h.filename, Encoding: h.encoding,
	}
	switch {
	case p.Type == "" && digest && !h.present:
		p.Type = typeMessage
	case p.Type == "":
		p.Type = typePlain
	}
	if p.Filename == "" {
		p.Filename = h.name
	}
	if p.Encoding == "" {
		p.Encoding = encoding7bit
	}
	return p
}

// readHeader reads the header of a part that begins at offset start, and gives
// where its body begins. A line that is no field, and no credible field below
// it, mean that the body has begun without a blank line.
func (t *tree) readHeader(start int) (h entityHeader, body int) {
	field := -1 // where the field being read begins
	known := -1 // where a credible field was found below
	end := func(pos int) {
		if field >= 0 {
			t.endField(&h, start, field, pos)
		}
		field = -1
	}
	for pos := start; ; {
		if pos == len(t.raw) {
			end(pos)
			return h, pos
		}
		line, next := t.line(pos)
		switch {
		case len(line) == 0:
			end(pos)
			return h, next
		case isBlank(line[0]):
		case isBoundary(line) && t.isDelimiter(line):
			end(pos)
			t.m.defect(DefectPartNoBlankLine)
			return h, pos
		case colonAfterName(line) >= 0:
			end(pos)
			field = pos
		case pos == start && isMboxFrom(line):
		default:
			end(pos)
			if pos > known {
				known = t.fieldBelow(next)
			}
			if known < 0 || isBoundary(line) {
				t.m.defect(DefectPartNoBlankLine)
				return h, pos
			}
			t.m.defect(DefectPartNoColon)
		}
		pos = next
	}
}

// endField takes the field raw[from:to] of a header that begins at start.
func (t *tree) endField(h *entityHeader, start, from, to int) {
	if to-start > MaxPartHeader {
		t.m.defect(DefectPartHeaderTooLarge)
		return
	}
	field := t.raw[from:to]
	if len(field) < 8 || field[0]|0x20 != 'c' { // all that count are Content-…
		return
	}
	colon := colonAfterName(field)
	name := string(bytes.TrimRight(field[:colon], " \t"))
	t.setField(h, name, string(field[colon+1:]))
}

// fieldBelow finds a credible field before the blank line or boundary that ends
// a header; it gives -1 when there is none.
func (t *tree) fieldBelow(pos int) int {
	for pos < len(t.raw) {
		line, next := t.line(pos)
		if len(line) == 0 || isBoundary(line) {
			break
		}
		if credibleField(line) {
			return pos
		}
		pos = next
	}
	return -1
}

// line gives the line at offset pos without its line end and the CRs before
// that, and where the next one begins.
func (t *tree) line(pos int) (line []byte, next int) {
	if t.eol == '\n' {
		return lineAt(t.raw, pos)
	}
	if i := bytes.IndexByte(t.raw[pos:], t.eol); i >= 0 {
		return t.raw[pos : pos+i], pos + i + 1
	}
	return t.raw[pos:], len(t.raw)
}
