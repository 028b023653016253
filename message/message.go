// Package message reads one mail as data: its fields with their offsets,
// decoded text, addresses, ids and date, the tree of its parts with their
// offsets, and the text a person reads. It never fails: what could not be
// understood becomes a Defect, and the exact bytes stay the caller's. Every
// string it returns is valid UTF-8 without NUL, so that it fits a PostgreSQL
// text column.
package message

import (
	"strings"
	"time"
)

// Limits. What lies beyond them stays in the raw bytes and is recorded as a
// defect; they bound the memory a hostile mail can take, not what a mail may be.
const (
	MaxFields    = 100_000 // header fields of a mail
	MaxHeader    = 8 << 20 // bytes from which fields are read
	MaxAddresses = 10_000  // addresses of one field
	MaxIDs       = 10_000  // message ids of one In-Reply-To or References field
)

// Message is what was read of one mail.
type Message struct {
	// HeaderSize is the size of the header in bytes, including the blank
	// line that ends it: the offset of the body. It is len(raw) if there is
	// no body, and 0 if there is no header.
	HeaderSize int

	// LineEnds tells how lines end in the whole mail, body included.
	LineEnds LineEnds

	// Fields are all fields of the header in order. They are contiguous from
	// offset 0; only the blank line lies between the last one and HeaderSize
	// (and, beyond MaxFields or MaxHeader, the fields that were not kept).
	Fields []Field

	// Subject is the decoded subject, nil when the mail has no such field.
	Subject *string

	// The address fields of RFC 5322 3.6.2 and 3.6.3. A field that occurs
	// several times is read as if it were one.
	From, Sender, ReplyTo, To, Cc []Address

	// Date is the Date field with its own offset from UTC, nil when absent
	// or not understood. Its year in UTC is within 1..9999.
	Date *time.Time

	// MessageID is the id without its angle brackets, as the sender wrote
	// it: not necessarily unique, not necessarily with an "@" (RFC 5322 3.6.4).
	MessageID string

	// InReplyTo and References are ids without angle brackets, in order.
	InReplyTo, References []string

	// Parts are all entities of the MIME tree (RFC 2045 2.4), containers
	// included, depth first in the order of the mail. The first is the root;
	// there is none only in a mail without a single byte.
	Parts []Part

	// ContentType is the type of the root.
	ContentType string

	// Text is the plain text: the best of alternatives, HTML made plain text
	// where there is nothing else. HTML is the HTML that is shown, as sent.
	Text, HTML Body

	// Reply is what of the text is new, without quotes and signature: ranges
	// in characters. It is nil when all of it is, or of text over 1 MiB.
	Reply []Range

	// Cuts are the base64 bodies of MinCut bytes of content or more that can
	// be put back byte for byte from their content, in order.
	Cuts []Cut

	// AutoSubmitted says that a program sent the mail, with the keyword of
	// RFC 3834 5 in lower case: "auto-generated", "auto-replied", … It is ""
	// when a person did, as far as can be told.
	AutoSubmitted string

	// Bulk says that the mail went to many: by Precedence or the fields of
	// mailing lists (RFC 2369, RFC 2919, and those before them).
	Bulk bool

	// ListID is the id of the mailing list in lower case, without brackets
	// (RFC 2919); "" without.
	ListID string

	// Defects are the distinct deviations met: those of the header in order
	// of appearance, then those of the body.
	Defects []Defect
}

// Field is one header field (RFC 5322 2.2). A line of the header that is not
// a field, such as one without a colon, is kept as a Field without a name.
type Field struct {
	// Start and End are offsets in the raw mail: the whole field with its
	// folded lines and its last line end.
	Start, End int

	// Name is the field name as written, not lower-cased; "" for a line
	// that has none.
	Name string

	// Value is the text after the colon, ready to be shown: unfolded,
	// encoded words (RFC 2047) and 8-bit bytes decoded.
	Value string

	// Plain says that the field can be derived from the raw bytes without
	// any decoding. Name is the bytes before the first colon without the
	// blanks and tabs at their end, all in 0x21..0x7e. The bytes after it
	// are all in 0x20..0x7e, tabs and line ends (LF or CRLF), and Value is
	// those bytes with each line end removed, then leading and trailing
	// blanks and tabs trimmed. It is false for a Field without a name.
	Plain bool
}

// Address is one mailbox of an address field (RFC 5322 3.4).
type Address struct {
	// Name is the decoded display name without quotes; for the old form
	// "a@b (Name)" the comment.
	Name string

	// Address is the addr-spec as written, without comments and obsolete
	// blanks; the local part is quoted only where it must be. Without a
	// domain for a local name such as MAILER-DAEMON; "" when there is a name
	// but no address at all. A domain stays in the form that was written,
	// A-label (xn--…) or U-label (RFC 5890): which is which needs tables of
	// Unicode, and a mapping that changes with them.
	Address string
}

// LineEnds is the kind of line end a mail uses.
type LineEnds string

// A lone CR counts as a line end only in a mail that has no LF at all;
// anywhere else it is data.
const (
	LF    LineEnds = "lf"
	CRLF  LineEnds = "crlf"
	Mixed LineEnds = "mixed" // both LF and CRLF
	CR    LineEnds = "cr"    // only lone CRs
	None  LineEnds = "none"  // not a single line end
)

// Parse reads one mail, given as its exact bytes. It never fails and never
// panics, whatever the bytes; it takes time linear in their number, and no
// copies of attachments. The result keeps no reference to raw.
func Parse(raw []byte) *Message {
	m := &Message{LineEnds: lineEnds(raw)}
	if len(raw) == 0 {
		m.defect(DefectEmpty)
		return m
	}
	m.split(raw)
	r := reader{m: m, header: string(raw[:m.bound()])}
	for i := range m.Fields {
		r.field(&m.Fields[i])
	}
	r.readBody(raw)
	r.flags()
	return m
}

// bound drops the fields that do not end within MaxHeader, and gives the end of
// the last one that is left.
func (m *Message) bound() int {
	kept := len(m.Fields)
	for kept > 0 && m.Fields[kept-1].End > MaxHeader {
		kept--
	}
	if kept < len(m.Fields) {
		m.defect(DefectHeaderTooLarge)
		m.Fields = m.Fields[:kept]
	}
	if kept == 0 {
		return 0
	}
	return m.Fields[kept-1].End
}

// reader decodes the fields that split has found.
type reader struct {
	m      *Message
	header string // one copy: names and plain values are slices of it

	fallback      charset // of the top-level Content-Type, for raw 8-bit values
	fallbackKnown bool

	seen   [fieldReferences + 1]bool
	tokens []token // scratch of the address parser

	report string // report-type of the mail's own Content-Type
}

func (r *reader) field(f *Field) {
	text := r.header[f.Start:f.End]
	colon := colonAfterName(text)
	if colon < 0 {
		f.Value, _ = r.decodeText(text)
		r.m.defect(namelessDefect(f, text))
		return
	}
	name, plainName := r.name(strings.TrimRight(text[:colon], " \t"))
	f.Name = name

	// Addresses must be taken apart before encoded words are decoded: a word
	// may decode to "," or "<" (RFC 2047 5). 8-bit text is decoded before,
	// because the second byte of a Shift_JIS or Big5 character may be "\" or "@".
	value, plain := r.decodeText(text[colon+1:])
	f.Value = r.decodeWords(value)
	f.Plain = plain && plainName && f.Value == value
	r.known(f, value)
}

// known takes what Message promises from the fields it knows. value is the
// field's text before encoded words were decoded.
func (r *reader) known(f *Field, value string) {
	m := r.m
	known := knownField(f.Name)
	again := r.seen[known]
	r.seen[known] = true
	switch known {
	case fieldSubject:
		if again {
			m.defect(DefectDuplicateSubject)
			return
		}
		m.Subject = &f.Value
	case fieldFrom:
		if again {
			m.defect(DefectDuplicateFrom)
		}
		m.From = r.addresses(m.From, value)
	case fieldSender:
		m.Sender = r.addresses(m.Sender, value)
	case fieldReplyTo:
		m.ReplyTo = r.addresses(m.ReplyTo, value)
	case fieldTo:
		m.To = r.addresses(m.To, value)
	case fieldCc:
		m.Cc = r.addresses(m.Cc, value)
	case fieldDate:
		if again {
			m.defect(DefectDuplicateDate)
		}
		r.date(value)
	case fieldMessageID:
		if again {
			m.defect(DefectDuplicateMessageID)
		}
		if m.MessageID == "" {
			m.MessageID = messageID(value)
		}
	case fieldInReplyTo:
		m.InReplyTo = r.ids(m.InReplyTo, value)
	case fieldReferences:
		m.References = r.ids(m.References, value)
	}
}

func (r *reader) date(value string) {
	if r.m.Date != nil {
		return
	}
	t, defect := parseDate(value)
	if defect != "" {
		r.m.defect(defect)
	}
	if !t.IsZero() {
		r.m.Date = &t
	}
}
