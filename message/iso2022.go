package message

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// codeSet is a set of characters that ISO 2022 can switch to, as 7-bit codes
// of width bytes: with the high bits set and prefix before, they are those of
// an encoding. The zero value is ASCII.
type codeSet struct {
	encoding encoding.Encoding
	prefix   byte
	width    int
}

var (
	katakana = codeSet{japanese.EUCJP, 0x8e, 1}
	kanji    = codeSet{japanese.EUCJP, 0, 2}
	hanzi    = codeSet{simplifiedchinese.GB18030, 0, 2}
	hangul   = codeSet{korean.EUCKR, 0, 2}
)

// switches are the escape sequences of ISO-2022-JP with its extensions (RFC
// 1468, RFC 1554, RFC 2237, JIS X 0213), -KR (RFC 1557) and -CN (RFC 1922), and
// to which of G0, G1 and G2 they apply. The first plane of JIS X 0213 is nearly
// that of JIS X 0208; JIS-Roman is read as ASCII, as everybody does.
var switches = []struct {
	escape string
	g      int
	set    codeSet
}{
	{"(B", 0, codeSet{}}, {"(J", 0, codeSet{}}, {"(H", 0, codeSet{}}, {"(I", 0, katakana},
	{"$@", 0, kanji}, {"$B", 0, kanji}, {"$(@", 0, kanji}, {"$(B", 0, kanji}, {"$(O", 0, kanji}, {"$(Q", 0, kanji},
	{"$(D", 0, codeSet{japanese.EUCJP, 0x8f, 2}},
	{"$A", 0, hanzi}, {"$(A", 0, hanzi}, {"$(C", 0, hangul},
	{"$)A", 1, hanzi}, {"$)C", 1, hangul}, {")I", 1, katakana},
	{".A", 2, codeSet{charmap.ISO8859_1, 0, 1}}, {".F", 2, codeSet{charmap.ISO8859_7, 0, 1}},
}

// iso2022 decodes ISO 2022. What was switched to ends with the line even if it
// is not switched back (RFC 1468), and Korean text needs no designation of what
// SO switches to.
type iso2022 struct {
	g       [3]codeSet
	shifted bool // by SO, to G1

	out      strings.Builder
	run      []byte // not decoded yet
	encoding encoding.Encoding
	ok       bool
}

// decodeISO2022 decodes text in which SO switches to g1.
func decodeISO2022(s string, g1 codeSet) (string, bool) {
	if !strings.ContainsAny(s, "\x1b\x0e") {
		return decodeUnswitched(s, g1)
	}
	d := iso2022{g: [3]codeSet{1: g1}, encoding: g1.encoding, ok: true}
	d.out.Grow(len(s))
	for i := 0; i < len(s); {
		i += d.next(s[i:])
	}
	d.flush()
	return d.out.String(), d.ok
}

// decodeUnswitched decodes 8-bit text that is only called ISO 2022.
func decodeUnswitched(s string, g1 codeSet) (string, bool) {
	if utf8.ValidString(s) {
		return s, true
	}
	for _, e := range []encoding.Encoding{g1.encoding, japanese.ShiftJIS} {
		if text, err := e.NewDecoder().String(s); err == nil && !strings.Contains(text, "\uFFFD") {
			return text, false
		}
	}
	return guess(s), false
}

// next takes what s begins with, and gives how many bytes that is.
func (d *iso2022) next(s string) int {
	set := d.g[0]
	if d.shifted {
		set = d.g[1]
	}
	switch c := s[0]; {
	case c == 0x1b && strings.HasPrefix(s[1:], "N") && len(s) > 2: // one character of G2
		d.character(d.g[2], s[2:3])
		return 3
	case c == 0x1b:
		for _, to := range switches {
			if strings.HasPrefix(s[1:], to.escape) {
				d.g[to.g] = to.set
				return 1 + len(to.escape)
			}
		}
		d.ok = false
	case c == 0x0e || c == 0x0f:
		d.shifted = c == 0x0e
		return 1
	case c == '\n' || c == '\r':
		d.g[0], d.shifted = codeSet{}, false
	case c > ' ' && c != 0x7f && set.encoding != nil:
		size := min(set.width, len(s))
		if size == 2 && s[1]&0x7f <= ' ' {
			size = 1
		}
		d.character(set, s[:size])
		return size
	}
	d.run = append(d.run, s[0])
	return 1
}

// character takes one character of a set.
func (d *iso2022) character(set codeSet, code string) {
	if set.encoding == nil || len(code) < set.width {
		d.flush()
		d.out.WriteRune(utf8.RuneError)
		d.ok = false
		return
	}
	if set.encoding != d.encoding {
		d.flush()
		d.encoding = set.encoding
	}
	if set.prefix != 0 {
		d.run = append(d.run, set.prefix)
	}
	for i := range len(code) {
		d.run = append(d.run, code[i]|0x80)
	}
}

func (d *iso2022) flush() {
	text, err := d.encoding.NewDecoder().Bytes(d.run)
	d.ok = d.ok && err == nil && !strings.Contains(string(text), "\uFFFD")
	d.out.Write(text)
	d.run = d.run[:0]
}
