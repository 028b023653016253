package message

import (
	"strings"
	"unicode/utf8"
)

// decodeText unfolds a field's text (RFC 5322 2.2.3), with its line ends, and
// makes it valid UTF-8 without NUL. plain says that unfolding and trimming was
// all it took.
func (r *reader) decodeText(text string) (value string, plain bool) {
	plain = true
	high, control := false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c < 0x7f || c == '\t' || c == '\n' {
			continue
		}
		if c == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			continue
		}
		plain = false
		if c >= utf8.RuneSelf {
			high = true
		} else {
			control = true
		}
	}
	value = unfold(text, r.m.LineEnds == CR)
	if plain {
		return value, true
	}
	if control {
		value = r.cleanControls(value)
	}
	if high && !utf8.ValidString(value) {
		r.m.defect(DefectHeader8bit)
		value, _ = r.fallbackCharset().decode(value)
		value, _ = Clean(value)
	}
	return strings.Trim(value, " \t"), false
}

// unfold removes line ends and trims blanks. With cr the line ends are lone CRs.
func unfold(text string, cr bool) string {
	text = strings.Trim(text, " \t\r\n")
	if strings.IndexByte(text, '\n') < 0 && (!cr || strings.IndexByte(text, '\r') < 0) {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	if cr {
		for line := range strings.SplitSeq(text, "\r") {
			out.WriteString(line)
		}
		return out.String()
	}
	for line := range strings.SplitSeq(text, "\n") {
		out.WriteString(strings.TrimSuffix(line, "\r"))
	}
	return out.String()
}

// cleanControls deals with the control characters that have a meaning in a
// header: escapes of raw ISO-2022-JP, NUL, and CRs that end no line.
func (r *reader) cleanControls(value string) string {
	if strings.Contains(value, "\x1b$") {
		r.m.defect(DefectHeader8bit)
		if jp, ok := lookupCharset("iso-2022-jp").decode(value); ok {
			value = jp
		}
	}
	if strings.IndexByte(value, 0) >= 0 {
		r.m.defect(DefectHeaderNUL)
		value = strings.ReplaceAll(value, "\x00", "\uFFFD")
	}
	return strings.ReplaceAll(value, "\r", " ")
}

// name cleans a field name. plain says that there was nothing to clean.
func (r *reader) name(name string) (clean string, plain bool) {
	for i := 0; i < len(name); i++ {
		if name[i] > ' ' && name[i] < 0x7f {
			continue
		}
		r.m.defect(DefectName8bit)
		clean = strings.ReplaceAll(name, "\x00", "\uFFFD")
		if !utf8.ValidString(clean) {
			clean = guess(clean)
		}
		return strings.TrimPrefix(clean, "\uFEFF"), false // before the first field of a mail saved by an editor
	}
	return name, true
}

// fallbackCharset is what 8-bit values that are not UTF-8 are decoded with:
// the charset of the mail's own Content-Type if it can mean anything.
func (r *reader) fallbackCharset() charset {
	if r.fallbackKnown {
		return r.fallback
	}
	r.fallbackKnown = true
	r.fallback = charset{kind: text8}
	for i := range r.m.Fields {
		f := &r.m.Fields[i]
		text := r.header[f.Start:f.End]
		colon := colonAfterName(text)
		if colon < 0 || !strings.EqualFold(strings.TrimRight(text[:colon], " \t"), "Content-Type") {
			continue
		}
		c := lookupCharset(charsetParameter(text[colon+1:]))
		if c.kind == encoded {
			r.fallback = c
		}
		break
	}
	return r.fallback
}

// charsetParameter finds charset=... in a Content-Type, quoted or not.
func charsetParameter(contentType string) string {
	for rest := contentType; ; {
		semicolon := strings.IndexByte(rest, ';')
		if semicolon < 0 {
			return ""
		}
		rest = strings.TrimLeft(rest[semicolon+1:], " \t\r\n")
		if len(rest) < 8 || !strings.EqualFold(rest[:7], "charset") {
			continue
		}
		value, ok := strings.CutPrefix(strings.TrimLeft(rest[7:], " \t\r\n"), "=")
		if !ok {
			continue
		}
		value = strings.TrimLeft(value, " \t\r\n\"'")
		if end := strings.IndexAny(value, " \t\r\n\"';("); end >= 0 {
			value = value[:end]
		}
		return value
	}
}
