package message

import (
	"bytes"
	"strings"
)

// maxName is the longest field name in bytes. A longer one is taken for text
// with a colon in it, and would not fit into a btree key of PostgreSQL.
const maxName = 256

// lineEnds looks at every line end of the mail until two kinds were met.
func lineEnds(raw []byte) LineEnds {
	if bytes.IndexByte(raw, '\r') < 0 {
		if bytes.IndexByte(raw, '\n') < 0 {
			return None
		}
		return LF
	}
	kind := None
	for pos := 0; ; {
		i := bytes.IndexByte(raw[pos:], '\n')
		if i < 0 {
			break
		}
		here := LF
		if pos+i > 0 && raw[pos+i-1] == '\r' {
			here = CRLF
		}
		if kind != None && kind != here {
			return Mixed
		}
		kind = here
		pos += i + 1
	}
	if kind == None {
		return CR
	}
	return kind
}

// splitter cuts a header into fields. Lines that are no fields are kept on
// approval: if a credible field follows before the blank line they were
// garbage inside the header, if not the body has begun without a blank line.
type splitter struct {
	m   *Message
	raw []byte
	eol byte
	pos int

	fields, named int // so far, beyond MaxFields included; with a name

	odd                 int // offset of the first line on approval, -1 if none
	oddFields, oddNamed int // fields before it
}

// split finds the fields and the end of the header. It fills in HeaderSize
// and the offsets of Fields.
func (m *Message) split(raw []byte) {
	s := splitter{m: m, raw: raw, eol: '\n', odd: -1}
	switch {
	case m.LineEnds == CR:
		s.eol = '\r'
	case hasHeaderOfCRs(raw):
		s.eol = '\r'
		m.defect(DefectHeaderCRs)
	}
	m.Fields = make([]Field, 0, 32)
	s.leadingBlankLines()
	for s.pos < len(raw) {
		start := s.pos
		line := s.line()
		if len(line) == 0 {
			break
		}
		if s.odd < 0 && s.fieldLine(line, start) {
			continue
		}
		if !s.oddLine(line, start) {
			break
		}
	}
	s.end()
}

// hasHeaderOfCRs says whether the header ends its lines in CRs alone though the
// body does not: its first two fields and its blank line are one line then.
func hasHeaderOfCRs(raw []byte) bool {
	first, rest, found := bytes.Cut(raw[:max(bytes.IndexByte(raw, '\n'), 0)], []byte{'\r'})
	return found && credibleField(first) && bytes.Contains(rest, []byte("\r\r")) && credibleField(rest[:bytes.IndexByte(rest, '\r')])
}

// line returns the next line without its line end and moves past it. CRs
// before the line end are part of it: mails that went through a text mode
// twice end their lines in CR CR LF.
func (s *splitter) line() []byte {
	rest := s.raw[s.pos:]
	i := bytes.IndexByte(rest, s.eol)
	if i < 0 {
		s.pos = len(s.raw)
		return bytes.TrimRight(rest, "\r")
	}
	s.pos += i + 1
	for i > 0 && rest[i-1] == '\r' && s.eol == '\n' {
		i--
	}
	return rest[:i]
}

// leadingBlankLines skips empty lines at the very beginning if a credible
// field follows; otherwise the first one ends an empty header.
func (s *splitter) leadingBlankLines() {
	for s.pos < len(s.raw) {
		start := s.pos
		line := s.line()
		if len(line) == 0 {
			continue
		}
		s.pos = start
		if start > 0 && credibleField(line) {
			s.keep(0)
			return
		}
		break
	}
	s.pos = 0
}

// fieldLine takes a line that begins or continues a field, or is mbox's
// separator, and reports whether it did.
func (s *splitter) fieldLine(line []byte, start int) bool {
	switch {
	case isBlank(line[0]):
		if start == 0 {
			return false
		}
		s.extend()
	case colonAfterName(line) >= 0:
		s.named++
		s.keep(start)
	case start == 0 && isMboxFrom(line):
		s.keep(start)
	default:
		return false
	}
	return true
}

// oddLine takes a line that is no field, or that follows such a line, on
// approval. It reports false when the line proves that the body has begun.
func (s *splitter) oddLine(line []byte, start int) bool {
	if s.odd < 0 {
		s.odd, s.oddFields, s.oddNamed = start, s.fields, s.named
		s.keep(start)
		return !isBoundary(line)
	}
	switch {
	case isBlank(line[0]):
		s.extend()
	case colonAfterName(line) >= 0:
		s.named++
		s.keep(start)
		if credibleField(line) {
			s.odd = -1
		}
	default:
		s.keep(start)
		return !isBoundary(line)
	}
	return true
}

// end ends the header here, or before the lines still on approval.
func (s *splitter) end() {
	m := s.m
	m.HeaderSize = s.pos
	if s.odd >= 0 {
		m.HeaderSize, s.fields, s.named = s.odd, s.oddFields, s.oddNamed
		m.Fields = m.Fields[:min(s.fields, MaxFields)]
	}
	switch {
	case s.odd >= 0 && s.named == 0:
		m.Fields, m.HeaderSize = nil, 0
		m.defect(DefectNoHeader)
	case s.odd >= 0:
		m.defect(DefectNoBlankLine)
	case s.fields == 0:
		m.defect(DefectNoHeader)
	}
	if s.fields > MaxFields {
		m.defect(DefectTooManyFields)
	}
}

func (s *splitter) keep(start int) {
	s.fields++
	if s.fields <= MaxFields {
		s.m.Fields = append(s.m.Fields, Field{Start: start, End: s.pos})
	}
}

func (s *splitter) extend() {
	if s.fields <= MaxFields {
		s.m.Fields[len(s.m.Fields)-1].End = s.pos
	}
}

// isBoundary says whether a line may separate parts (RFC 2046 5.1.1). The
// fields after it are those of a part.
func isBoundary(line []byte) bool { return bytes.HasPrefix(line, dashes) }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isMboxFrom(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

// colonAfterName returns the offset of the colon after the field name a line
// begins with, or -1. Blanks before the colon are obsolete but allowed (RFC
// 5322 4.5.1); blanks inside a name mean that the line is text.
func colonAfterName[T string | []byte](line T) int {
	blank := false
	for i := 0; i < len(line) && i <= maxName; i++ {
		switch c := line[i]; {
		case c == ':':
			if i == 0 {
				return -1
			}
			return i
		case isBlank(c):
			if i == 0 {
				return -1
			}
			blank = true
		case blank, c == '\n', c == '\r':
			return -1
		}
	}
	return -1
}

// credibleField says whether a line is surely a header field and not prose
// with a colon ("Note: ...", "http://...") or part of a forwarded message.
func credibleField(line []byte) bool {
	colon := colonAfterName(line)
	if colon < 0 {
		return false
	}
	name := strings.TrimRight(string(line[:colon]), " \t")
	if i := strings.IndexByte(name, '-'); i > 0 && i < len(name)-1 {
		return true
	}
	if knownField(name) != fieldOther {
		return true
	}
	switch strings.ToLower(name) {
	case "received", "bcc", "status", "lines", "path", "newsgroups", "organization", "priority",
		"importance", "precedence", "sensitivity", "comments", "keywords", "xref":
		return true
	}
	return false
}

// namelessDefect tells why a field has no name.
func namelessDefect(f *Field, text string) Defect {
	if f.Start == 0 {
		switch {
		case text[0] == '\r' || text[0] == '\n':
			return DefectLeadingBlank
		case isBlank(text[0]):
			return DefectLeadingFolding
		case strings.HasPrefix(text, "From ") || strings.HasPrefix(text, ">From "):
			return DefectMboxFromLine
		}
	}
	return DefectNoColon
}

// The fields that Message reads.
const (
	fieldOther = iota
	fieldSubject
	fieldFrom
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldDate
	fieldMessageID
	fieldInReplyTo
	fieldReferences
)

func knownField(name string) int {
	is := func(word string, field int) int {
		if strings.EqualFold(name, word) {
			return field
		}
		return fieldOther
	}
	switch len(name) {
	case 2:
		return max(is("To", fieldTo), is("Cc", fieldCc))
	case 4:
		return max(is("From", fieldFrom), is("Date", fieldDate))
	case 6:
		return is("Sender", fieldSender)
	case 7:
		return is("Subject", fieldSubject)
	case 8:
		return is("Reply-To", fieldReplyTo)
	case 10:
		return max(is("Message-ID", fieldMessageID), is("References", fieldReferences))
	case 11:
		return is("In-Reply-To", fieldInReplyTo)
	}
	return fieldOther
}
