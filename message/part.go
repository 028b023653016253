package message

import (
	"bytes"
	"strings"
)

// Limits of the body. What lies beyond them is kept as one part or left as it
// is, and recorded as a defect.
const (
	MaxParts      = 10_000    // entities of a mail; the last one takes all that is left
	MaxDepth      = 100       // levels of multiparts and messages; deeper ones are not divided
	MaxPartHeader = 256 << 10 // bytes of the header of one part from which fields are read
	MaxText       = 4 << 20   // bytes of Body.Stored, and of content decoded for it

	MinCut       = 1024    // bytes of content from which a Cut is worth it
	maxReplyText = 1 << 20 // bytes of text in which quotes are looked for
)

// Part is one entity of the MIME tree (RFC 2045 2.4), or what was unpacked out
// of a part: a file, or a leaf of a message that is encoded.
type Part struct {
	// Section is the number as in IMAP (RFC 9051 6.4.5): "1", "2.1". A
	// multipart that is the body of the mail is "TEXT", that of an embedded
	// message 2 is "2.TEXT". What is unpacked out of part 2, which is uuencode,
	// TNEF or an encoded message, is "2:1", "2:2".
	Section string

	// Parent is the index in Message.Parts of what this part is in, -1 for
	// the root.
	Parent int

	// Type is the lower-case media type, always "type/subtype". Without one
	// that can be read it is text/plain (RFC 2045 5.2), or message/rfc822 in
	// a digest (RFC 2046 5.1.5). A multipart in which no part was found is
	// the leaf it is read as, text/plain.
	Type string

	Charset     string // label in lower case as written, "" without
	Disposition string // lower case, "" without (RFC 2183)

	// Filename is the file's name as the sender wrote it, decoded (RFC 2231,
	// RFC 2047): that of the disposition, else that of the type; "" without.
	// It may have slashes or anything else in it.
	Filename string

	ContentID string // without angle brackets
	Encoding  string // transfer encoding: a known one by its name, else as written; "7bit" without

	// HeaderStart, BodyStart and BodyEnd are offsets in the raw mail. The
	// line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
	// What was unpacked has those of the body it was in.
	HeaderStart, BodyStart, BodyEnd int

	Size int64 // bytes of the content, transfer encoding undone

	// Attachment says that this is a file to a reader: a leaf, or an embedded
	// message (not one within ten others), that is named, of disposition
	// attachment, or no text. The
	// named text that is a whole mail is an attachment and the mail's text.
	Attachment bool

	Wrapped Wrapping // how the content lies in the raw mail

	Content []byte // of what was unpacked; nil otherwise
}

// Wrapping tells how the content of a part lies in the raw mail, strictly
// enough for every decoder to agree on it.
type Wrapping uint8

const (
	// Odd: only Decode can tell the content, for it is broken or rarely used.
	Odd Wrapping = iota

	// Identity: the content is raw[BodyStart:BodyEnd].
	Identity

	// QuotedPrintable (RFC 2045 6.7): each "=" is followed by two hexadecimal
	// digits, or directly by LF or CRLF; no blank or tab ends a line or all;
	// there is no NUL.
	QuotedPrintable

	// Base64 (RFC 2045 6.8): nothing but its alphabet, CR, LF, blank and tab,
	// then the padding it needs and nothing after that.
	Base64
)

// Decode gives the content of the part: transfer encoding undone, as far as it
// can be. It may share the memory of raw.
func (p *Part) Decode(raw []byte) []byte {
	if p.Content != nil {
		return p.Content
	}
	if p.Wrapped == Identity {
		return raw[p.BodyStart:p.BodyEnd:p.BodyEnd]
	}
	return p.AppendContent(nil, raw)
}

// AppendContent appends what Decode gives to b.
func (p *Part) AppendContent(b, raw []byte) []byte {
	if p.Content != nil || p.Wrapped == Identity {
		return append(b, p.Decode(raw)...)
	}
	d := p.decoder(raw)
	return d.appendAll(b, int(p.Size))
}

// Cut is a base64 body that can be taken out of the mail and put back byte for
// byte from its content. Its lines have LineLength characters but for the last,
// which may be shorter; the same line end is between all of them; the unused
// bits before the padding are zero.
type Cut struct {
	Part       int  // index in Message.Parts
	Start, End int  // offsets of the first base64 character and after the last
	LineLength int  // a multiple of 4; 0 when there is only one line
	CRLF       bool // the line end is CRLF, not LF
}

// Body is text for a person to read, put together of pieces.
type Body struct {
	// Pieces are where the text can be derived from the raw mail: undo the
	// wrapping of each, decode it, make each CRLF an LF, and join them with an
	// LF. It is nil when Stored is set, or when there is no text.
	Pieces []Piece

	// Stored is the text where it cannot: in another charset, made of HTML,
	// of odd wrapping or line ends. It is UTF-8 without NUL, its line ends are
	// LF, and it has MaxText bytes at the most.
	Stored string

	Exists bool // the mail has a part of this kind, if only an empty one
}

// Piece is a range of the raw mail. Its content is UTF-8, or windows-1252 where
// it says so, without NUL and without a byte that the charset leaves undefined.
// Wrapped is not Odd.
type Piece struct {
	Start, End  int
	Wrapped     Wrapping
	Windows1252 bool
}

// String gives the whole text, its line ends LF.
func (b Body) String(raw []byte) string {
	if b.Pieces == nil {
		return b.Stored
	}
	var out strings.Builder
	for i, piece := range b.Pieces {
		if i > 0 {
			out.WriteByte('\n')
		}
		content := raw[piece.Start:piece.End]
		if piece.Wrapped != Identity {
			d := newDecoder(piece.Wrapped.encoding(), content)
			content = d.all(len(content))
		}
		if piece.Windows1252 {
			content = fromWindows1252(content)
		}
		writeLF(&out, content)
	}
	return out.String()
}

// encoding is the name of the transfer encoding (RFC 2045 6.1).
func (w Wrapping) encoding() string {
	switch w {
	case QuotedPrintable:
		return encodingQuotedPrintable
	case Base64:
		return encodingBase64
	}
	return encoding8bit
}

// writeLF writes text with each CRLF made an LF.
func writeLF(out *strings.Builder, text []byte) {
	out.Grow(len(text))
	for {
		i := bytes.Index(text, crlf)
		if i < 0 {
			out.Write(text)
			return
		}
		out.Write(text[:i])
		text = text[i+1:]
	}
}

var crlf = []byte("\r\n")
