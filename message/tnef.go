package message

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// unpacked is one file taken out of a winmail.dat.
type unpacked struct {
	Name      string // "" when the sender gave none
	Type      string // media type as the sender gave it, or ""
	ContentID string // without angle brackets
	Content   []byte
	Body      bool // a text of the message itself, not of one enclosed in it
}

// Limits of what one winmail.dat unpacks to.
const (
	maxUnpackedFiles = 10_000
	maxUnpackedDepth = 5 // messages within messages
)

// tnefSignature begins a TNEF stream, little-endian ([MS-OXTNEF] 2.1.2).
const tnefSignature = "\x78\x9f\x3e\x22"

// Attributes ([MS-OXTNEF] 2.1.2.2 and 2.1.2.3), with their types in the upper half.
const (
	attBody                    = 0x0002800c
	attMsgProps                = 0x00069003
	attOemCodepage             = 0x00069007
	attAttachRenddata          = 0x00069002
	attAttachTitle             = 0x00018010
	attAttachData              = 0x0006800f
	attAttachTransportFilename = 0x00069001
	attAttachment              = 0x00069005
)

// unpackTNEF takes the files out of a TNEF stream ([MS-OXTNEF]), as Outlook and
// Exchange send in winmail.dat. ok says that data is such a stream; a broken
// one gives what comes before the damage. The texts of the message itself come
// first, as body.txt (in UTF-8), body.html (in whatever charset it says, UTF-8
// if it was Unicode) and body.rtf. The files of an enclosed message follow in
// its place, and then the enclosed message itself, a TNEF stream too, as
// application/ms-tnef. Contents share memory with data where they can.
func unpackTNEF(data []byte) (files []unpacked, ok bool) {
	u := unpacker{budget: 4*len(data) + 1<<20}
	ok = u.stream(data, 0)
	return u.files, ok
}

type unpacker struct {
	files  []unpacked
	budget int // bytes that may still be unpacked
}

func (u *unpacker) full() bool { return len(u.files) >= maxUnpackedFiles }

func (u *unpacker) add(f unpacked) {
	if u.full() || len(f.Content) > u.budget {
		return
	}
	u.budget -= len(f.Content)
	u.files = append(u.files, f)
}

// tnefStream is one message: the outer one or one enclosed in it.
type tnefStream struct {
	*unpacker
	depth   int
	charset charset

	body, text, html, rtf property // body of the attribute, text of the property

	inFile bool
	file   tnefFile
}

// tnefFile is what was met of one attachment; decoded when it is complete,
// because nothing but Renddata's being first is certain about the order.
type tnefFile struct {
	title, transport, data                                        []byte
	longName, shortName, displayName, mimeTag, contentID, content property
}

func isTNEF(data []byte) bool {
	return len(data) >= 6 && string(data[:4]) == tnefSignature
}

// stream reads the attributes of [MS-OXTNEF] 2.1.2. Checksums are not looked
// at: there is nothing better to do with a wrong one than to read on.
func (u *unpacker) stream(data []byte, depth int) bool {
	if !isTNEF(data) {
		return false
	}
	s := tnefStream{unpacker: u, depth: depth}
	c := cursor(data[6:]) // after the signature and the attachment key
	for len(c) > 0 && !u.full() {
		level, ok := c.take(1)
		if !ok || level[0] != 1 && level[0] != 2 {
			break
		}
		id, okID := c.uint32()
		length, okLength := c.uint32()
		if !okID || !okLength {
			break
		}
		s.attribute(id, c.upTo(length))
		c.upTo(2) // checksum
	}
	s.endFile()
	s.endBody()
	return true
}

func (s *tnefStream) attribute(id uint32, value []byte) {
	switch id {
	case attOemCodepage:
		if len(value) >= 4 {
			s.charset = codepageCharset(binary.LittleEndian.Uint32(value))
		}
	case attBody:
		s.body.keep(property{kind: ptString8, value: value})
	case attMsgProps:
		s.messageProperties(value)
	case attAttachRenddata:
		s.endFile()
		s.endBody()
		s.inFile = true
	case attAttachTitle:
		s.inFile, s.file.title = true, value
	case attAttachTransportFilename:
		s.inFile, s.file.transport = true, value
	case attAttachData:
		s.inFile, s.file.data = true, value
	case attAttachment:
		s.inFile = true
		s.file.properties(value)
	}
}

func (s *tnefStream) messageProperties(data []byte) {
	for id, p := range properties(data) {
		switch id {
		case prBody:
			s.text.keep(p)
		case prBodyHTML:
			s.html.keep(p)
		case prRTFCompressed:
			s.rtf.keep(p)
		}
	}
}

func (f *tnefFile) properties(data []byte) {
	for id, p := range properties(data) {
		switch id {
		case prAttachLongFilename:
			f.longName.keep(p)
		case prAttachFilename:
			f.shortName.keep(p)
		case prDisplayName:
			f.displayName.keep(p)
		case prAttachMIMETag:
			f.mimeTag.keep(p)
		case prAttachContentID:
			f.contentID.keep(p)
		case prAttachData:
			f.content.keep(p)
		}
	}
}

// endBody adds the texts of the message that were met so far.
func (s *tnefStream) endBody() {
	text := s.body
	text.keep(s.text)
	if content := s.contentOf(text); len(content) > 0 {
		s.add(unpacked{Name: "body.txt", Type: "text/plain", Content: content, Body: s.depth == 0})
	}
	if content := s.contentOf(s.html); len(content) > 0 {
		s.add(unpacked{Name: "body.html", Type: "text/html", Content: content, Body: s.depth == 0})
	}
	if content := decompressRTF(s.rtf.value, s.budget); len(content) > 0 {
		s.add(unpacked{Name: "body.rtf", Type: "application/rtf", Content: content, Body: s.depth == 0})
	}
	s.body, s.text, s.html, s.rtf = property{}, property{}, property{}, property{}
}

// contentOf is a body as bytes; text becomes UTF-8.
func (s *tnefStream) contentOf(p property) []byte {
	if p.kind == ptBinary {
		return p.value
	}
	text := p.text(s.charset)
	if strings.HasPrefix(string(p.value), text) {
		return p.value[:len(text)]
	}
	return []byte(text)
}

// endFile adds the attachment that has been read, if there is one.
func (s *tnefStream) endFile() {
	f := s.file
	inFile := s.inFile
	s.file, s.inFile = tnefFile{}, false
	if !inFile || s.full() {
		return
	}
	content := f.data
	if object := f.content.object(); len(content) == 0 || isTNEF(object) {
		content = object
	}
	out := unpacked{
		Name:      s.fileName(&f),
		Type:      f.mimeTag.text(s.charset),
		ContentID: strings.Trim(f.contentID.text(s.charset), "<> \t\r\n"),
		Content:   content,
	}
	if len(content) == 0 && out.Name == "" {
		return
	}
	if isTNEF(content) {
		out.Type = "application/ms-tnef"
		// Its files come before itself, so that at the limit the copy is dropped
		// and not they.
		if s.depth < maxUnpackedDepth {
			s.stream(content, s.depth+1)
		}
	}
	s.add(out)
}

func (s *tnefStream) fileName(f *tnefFile) string {
	title := property{kind: ptString8, value: f.title}
	transport := property{kind: ptString8, value: f.transport}
	for _, p := range []property{f.longName, title, f.shortName, transport, f.displayName} {
		if name := strings.TrimSpace(p.text(s.charset)); name != "" {
			return name
		}
	}
	return ""
}

// codepageCharset finds the charset of a Windows code page number; what it does
// not know is decoded as what the bytes look like.
func codepageCharset(page uint32) charset {
	switch page {
	case 65001:
		return lookupCharset("utf-8")
	case 65000:
		return lookupCharset("utf-7")
	case 20866:
		return lookupCharset("koi8-r")
	case 21866:
		return lookupCharset("koi8-u")
	case 10000:
		return lookupCharset("macintosh")
	case 20932, 51932:
		return lookupCharset("euc-jp")
	case 50225:
		return lookupCharset("iso-2022-kr")
	case 51949:
		return lookupCharset("euc-kr")
	case 52936:
		return lookupCharset("hz-gb-2312")
	case 54936:
		return lookupCharset("gb18030")
	}
	if 28591 <= page && page <= 28605 {
		return lookupCharset("iso-8859-" + strconv.Itoa(int(page-28590)))
	}
	return lookupCharset("cp" + strconv.Itoa(int(page)))
}

// cursor is the rest of a stream.
type cursor []byte

func (c *cursor) take(n uint32) ([]byte, bool) {
	if uint64(n) > uint64(len(*c)) {
		return nil, false
	}
	return c.upTo(n), true
}

// upTo takes n bytes, or what there is.
func (c *cursor) upTo(n uint32) []byte {
	size := int(min(uint64(n), uint64(len(*c))))
	taken := (*c)[:size:size]
	*c = (*c)[size:]
	return taken
}

func (c *cursor) uint16() (uint16, bool) {
	b, ok := c.take(2)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint16(b), true
}

func (c *cursor) uint32() (uint32, bool) {
	b, ok := c.take(4)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b), true
}
