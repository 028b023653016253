package message

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// look is what the content of a text looks like.
type look struct {
	ascii, utf8, nul bool
	latin            bool   // has no byte that windows-1252 leaves undefined
	good, bad        int    // sequences of UTF-8 beyond ASCII, and bytes that are none
	crs              bool   // has CR CR LF
	escapes          bool   // has the escape sequences of ISO 2022
	head             []byte // the first bytes of it
}

const lookHead = 1024

// look goes through the content of a text, in pieces if it must be decoded.
func (t *tree) look(p *Part) look {
	body := t.raw[p.BodyStart:p.BodyEnd]
	l := look{ascii: true, utf8: true, latin: true}
	if p.Content != nil {
		body = p.Content
	}
	if p.Wrapped == Identity || p.Content != nil {
		l.take(body, true)
		l.head = body[:min(len(body), lookHead)]
		return l
	}
	d := p.decoder(t.raw)
	out := t.scratch()[:0]
	for done := false; !done; {
		out, done = d.more(out)
		if l.head == nil {
			l.head = bytes.Clone(out[:min(len(out), lookHead)])
		}
		rest := l.take(out, done)
		out = append(out[:0], rest...)
	}
	return l
}

// take looks at one piece. Unless it is the last it gives back the character
// that may go on in the next.
func (l *look) take(b []byte, last bool) (rest []byte) {
	end := len(b)
	if !last {
		end = wholeCharacters(b)
	}
	b, rest = b[:end], b[end:]
	if l.ascii && !allASCII(b) {
		l.ascii = false
	}
	l.utf8 = l.utf8 && (l.ascii || utf8.Valid(b))
	if !l.ascii {
		l.latin = l.latin && isWindows1252(b)
		good, bad := countUTF8(b)
		l.good, l.bad = l.good+good, l.bad+bad
	}
	l.nul = l.nul || bytes.IndexByte(b, 0) >= 0
	l.crs = l.crs || bytes.Contains(b, []byte("\r\r\n"))
	l.escapes = l.escapes || bytes.Contains(b, []byte("\x1b$"))
	return rest
}

// wholeCharacters gives the end of b without a character of UTF-8 that is cut
// off there.
func wholeCharacters(b []byte) int {
	for i := 1; i <= 3 && i <= len(b); i++ {
		if utf8.RuneStart(b[len(b)-i]) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

func allASCII(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// undeclared finds the charset of a text that does not tell it, or a useless
// one: by its first bytes, the escapes of Japanese and Korean mail, or the meta
// element of HTML.
func undeclared(kind string, l look) charset {
	switch {
	case bytes.HasPrefix(l.head, []byte("\xff\xfe")):
		return lookupCharset("utf-16le")
	case bytes.HasPrefix(l.head, []byte("\xfe\xff")):
		return lookupCharset("utf-16be")
	case l.escapes:
		return lookupCharset("iso-2022-jp")
	}
	if kind == typeHTML {
		if c := lookupCharset(metaCharset(l.head)); c.kind != unknown && !c.isWide() { // or it could not be read
			return c
		}
	}
	return charset{kind: text8}
}

// asSeen corrects a declared charset of two bytes a character: text without a
// NUL is of one byte each, and without a byte order mark the NULs of its ASCII
// characters tell the order.
func (c charset) asSeen(l look) charset {
	switch {
	case !c.isWide():
		return c
	case !l.nul && l.utf8:
		return charset{kind: text8}
	case bytes.HasPrefix(l.head, []byte("\xff\xfe")), bytes.HasPrefix(l.head, []byte("\xfe\xff")):
		return c
	}
	var nuls [2]int
	for i, b := range l.head {
		if b == 0 {
			nuls[i%2]++
		}
	}
	little, big := lookupCharset("utf-16le"), lookupCharset("utf-16be")
	switch {
	case c == little && nuls[0] > 2*nuls[1]:
		return big
	case c == big && nuls[1] > 2*nuls[0]:
		return little
	}
	return c
}

// metaCharset finds charset=… in a meta element (WHATWG HTML 13.2.3.2).
func metaCharset(head []byte) string {
	text := string(appendLower(make([]byte, 0, lookHead), head))
	for {
		_, rest, ok := strings.Cut(text, "<meta")
		if !ok {
			return ""
		}
		element, _, _ := strings.Cut(rest, ">")
		if _, value, ok := strings.Cut(element, "charset"); ok {
			if value, ok := strings.CutPrefix(strings.TrimLeft(value, " \t\r\n"), "="); ok {
				return charsetLabel(value)
			}
		}
		text = rest
	}
}

// decodeUpTo decodes a text. It stops when it has more than room bytes; whole
// says that it did not.
func (c charset) decodeUpTo(b []byte, room int) (text string, ok, whole bool) {
	if c.kind != encoded {
		text, ok = c.decode(string(b))
		return text, ok, true
	}
	var out strings.Builder
	out.Grow(min(len(b)+len(b)/2, room) + utf8.UTFMax)
	decoder := c.encoding.NewDecoder()
	buffer := make([]byte, min(32<<10, 4*len(b)+64))
	for rest := b; !whole && out.Len() <= room; {
		written, read, err := decoder.Transform(buffer, rest, true)
		out.Write(buffer[:written])
		rest = rest[read:]
		if err != nil && err != transform.ErrShortDst {
			return guess(string(b)), false, true
		}
		whole = err == nil
	}
	return out.String(), !strings.Contains(out.String(), "\uFFFD"), whole
}
