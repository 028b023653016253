package store

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"mailrow/message"
)

// structure adds p_parts and p_addresses: arrays in JSON, of an object per part
// and of an array per address.
func (a *arguments) structure(m *message.Message) {
	w := json{text: append(make([]byte, 0, 256+256*len(m.Parts)), jsonbVersion), clean: a.clean}
	w.raw("[")
	parts(m, func(i int, part *message.Part, cut, content int) {
		if i > 0 {
			w.raw(",")
		}
		w.raw(`{"position":`)
		w.int(i + 1)
		w.string("section", part.Section)
		w.string("content_type", bounded(part.Type))
		w.string("encoding", part.Encoding)
		w.stringUnlessEmpty("charset", part.Charset)
		w.stringUnlessEmpty("disposition", part.Disposition)
		w.stringUnlessEmpty("filename", part.Filename)
		w.stringUnlessEmpty("content_id", part.ContentID)
		w.number("size", int(part.Size))
		w.number("header_start", part.HeaderStart)
		w.number("body_start", part.BodyStart)
		w.number("body_end", part.BodyEnd)
		w.raw(`,"attachment":`)
		w.raw(strconv.FormatBool(part.Attachment))
		w.string("kept", kept(part))
		if cut > 0 {
			w.number("cut", cut)
		}
		if content > 0 {
			w.number("content", content)
		}
		w.raw("}")
	})
	w.raw("]")
	a.add(oidJsonb, binaryFormat, w.text)
	w = json{text: []byte{jsonbVersion}, clean: a.clean}
	w.raw("[")
	eachAddress(m, func(i int, field, address, name string) {
		if i > 0 {
			w.raw(",")
		}
		w.raw("[")
		w.quoted(field)
		w.raw(",")
		w.quoted(address)
		if name != "" {
			w.raw(",")
			w.quoted(name)
		}
		w.raw("]")
	})
	w.raw("]")
	a.add(oidJsonb, binaryFormat, w.text)
}

// parts gives each part with the number of its content among those cut out of
// the mail or those sent beside it, from 1, and 0 for what it is not.
func parts(m *message.Message, yield func(i int, part *message.Part, cut, content int)) {
	cut := make([]int, len(m.Parts))
	for i, c := range cuts(m) {
		cut[c.Part] = i + 1
	}
	contents := 0
	for i := range m.Parts {
		content := 0
		if cut[i] == 0 && isContent(m, i) {
			contents++
			content = contents
		}
		yield(i, &m.Parts[i], cut[i], content)
	}
}

// kept says where SQL finds the content of a part that is in no blob.
func kept(part *message.Part) string {
	switch part.Wrapped {
	case message.QuotedPrintable:
		return "quoted-printable"
	case message.Base64:
		return "base64"
	}
	return "raw"
}

// isContent says whether the content of a part has to be sent by itself: it was
// unpacked, or is encoded in a way that only the parser understands.
func isContent(m *message.Message, i int) bool {
	part := &m.Parts[i]
	return part.Content != nil || part.Wrapped == message.Odd && !strings.HasPrefix(part.Type, "multipart/")
}

// contentsOrNull sends the contents of parts, and none as NULL. They are decoded
// where they are sent from: they may be large.
func (a *arguments) contentsOrNull(parts []*message.Part, raw []byte) {
	if len(parts) == 0 {
		a.add(oidByteaArray, binaryFormat, nil)
		return
	}
	size := 0
	for _, part := range parts {
		size += 4 + int(part.Size)
	}
	b := arrayHeader(len(parts), oidBytea, size+64)
	for _, part := range parts {
		length := len(b)
		b = part.AppendContent(append(b, 0, 0, 0, 0), raw)
		binary.BigEndian.PutUint32(b[length:], uint32(len(b)-length-4))
	}
	a.add(oidByteaArray, binaryFormat, b)
}

// contents adds p_cuts and p_contents.
func (a *arguments) contents(d *Delivery) {
	m := d.Message
	cuts := cuts(m)
	a.int4ArrayOrNull(4*len(cuts), func(i int) int {
		c := cuts[i/4]
		switch i % 4 {
		case 0:
			return c.Start
		case 1:
			return c.End
		case 2:
			return c.LineLength
		}
		if c.CRLF {
			return 1
		}
		return 0
	})
	var contents []*message.Part
	for i := range m.Parts {
		if isContent(m, i) {
			contents = append(contents, &m.Parts[i])
		}
	}
	a.contentsOrNull(contents, d.Raw)
}

// cuts are what is taken out of the mail: all that can be, but for its text and
// HTML, which SQL reads from where they are in raw.
func cuts(m *message.Message) []message.Cut {
	return slices.DeleteFunc(slices.Clone(m.Cuts), func(c message.Cut) bool {
		read := func(p message.Piece) bool { return p.Start < c.End && c.Start < p.End }
		return slices.ContainsFunc(m.Text.Pieces, read) || slices.ContainsFunc(m.HTML.Pieces, read)
	})
}

// plain says that nothing of the mail is to be kept by itself or hashed.
func plain(m *message.Message) bool {
	for i := range m.Parts {
		if m.Parts[i].Attachment || isContent(m, i) {
			return false
		}
	}
	return len(cuts(m)) == 0
}

// jsonbVersion precedes the text of a jsonb value in the binary format.
const jsonbVersion = 1

// json writes JSON (RFC 8259). It is by hand because this program starts once
// per mail: encoding/json would cost it more than this.
type json struct {
	text  []byte
	clean func(string) string
}

func (w *json) raw(s string) { w.text = append(w.text, s...) }
func (w *json) int(n int)    { w.text = strconv.AppendInt(w.text, int64(n), 10) }

func (w *json) key(name string) {
	w.raw(`,"`)
	w.raw(name)
	w.raw(`":`)
}

func (w *json) number(name string, n int) {
	w.key(name)
	w.int(n)
}

func (w *json) string(name, value string) {
	w.key(name)
	w.quoted(value)
}

func (w *json) stringUnlessEmpty(name, value string) {
	if value != "" {
		w.string(name, value)
	}
}

// quoted writes a string; jsonb takes everything but NUL, which clean removes.
func (w *json) quoted(s string) {
	const hex = "0123456789abcdef"
	s = w.clean(s)
	w.text = append(w.text, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			w.text = append(w.text, '\\', c)
		case c < ' ':
			w.text = append(w.text, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			w.text = append(w.text, c)
		}
	}
	w.text = append(w.text, '"')
}

// eachAddress gives the addresses as they are stored.
func eachAddress(m *message.Message, yield func(i int, field, address, name string)) {
	i := 0
	for _, list := range [...]struct {
		field string
		of    []message.Address
	}{{"from", m.From}, {"sender", m.Sender}, {"reply-to", m.ReplyTo}, {"to", m.To}, {"cc", m.Cc}} {
		for _, address := range list.of {
			if address.Address == "" && address.Name == "" || i == maxAddresses {
				continue
			}
			yield(i, list.field, bounded(strings.ToLower(address.Address)), address.Name)
			i++
		}
	}
}

// maxAddresses are what the smallint of message_addresses.position can count.
const maxAddresses = 1<<15 - 1
