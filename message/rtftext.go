package message

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// rtfReader takes the text out of RTF (Word 2007 RTF Specification 1.9.1), as
// far as a mail has it: paragraphs, tabs and characters. Everything else is
// skipped, and what is broken is read on from where it is understood again.
type rtfReader struct {
	src   []byte
	pos   int
	limit int

	out     strings.Builder
	run     []byte // text that is not decoded yet
	high    rune   // first half of a surrogate pair
	instead int    // characters to skip that stand for a \u

	rtfGroup
	groups []rtfGroup // around this one

	ansi  charset
	fonts map[int]charset
}

// rtfGroup is what a group inherits from the one around it.
type rtfGroup struct {
	skip    bool
	inFonts bool
	font    int // that is used, or defined
	charset charset
	unicode int // how many characters follow a \u for readers without Unicode
}

const maxRTFDepth = 1000

// rtfText gives the text, at most about limit bytes of it.
func rtfText(src []byte, limit int) string {
	ansi := codepageCharset(1252)
	r := rtfReader{src: src, limit: limit, ansi: ansi, fonts: map[int]charset{}, rtfGroup: rtfGroup{charset: ansi, unicode: 1}}
	for r.pos < len(r.src) && r.out.Len()+len(r.run) < limit {
		r.next()
	}
	r.flush()
	return strings.TrimRight(r.out.String(), "\n")
}

func (r *rtfReader) next() {
	c := r.src[r.pos]
	r.pos++
	switch c {
	case '{':
		r.instead = 0
		if len(r.groups) == maxRTFDepth {
			r.pos = len(r.src)
			return
		}
		r.groups = append(r.groups, r.rtfGroup)
	case '}':
		r.instead = 0
		if n := len(r.groups) - 1; n >= 0 {
			r.flush()
			r.rtfGroup, r.groups = r.groups[n], r.groups[:n]
		}
	case '\\':
		r.control()
	case '\r', '\n', 0:
	default:
		r.char(c)
	}
}

// char takes one byte of text.
func (r *rtfReader) char(c byte) {
	switch {
	case r.instead > 0:
		r.instead--
	case !r.skip && !r.inFonts:
		r.run = append(r.run, c)
	}
}

// flush decodes the text so far: its charset may change now.
func (r *rtfReader) flush() {
	if len(r.run) > 0 {
		text, _ := r.charset.decode(string(r.run))
		r.out.WriteString(text)
		r.run = r.run[:0]
	}
}

func (r *rtfReader) write(text string) {
	if !r.skip && !r.inFonts {
		r.flush()
		r.out.WriteString(text)
	}
}

// control reads what follows a backslash: a symbol, or a word with its number.
func (r *rtfReader) control() {
	if r.pos == len(r.src) {
		return
	}
	c := r.src[r.pos]
	if !isLetter(c) {
		r.pos++
		r.symbol(c)
		return
	}
	start := r.pos
	for r.pos < len(r.src) && r.pos < start+32 && isLetter(r.src[r.pos]) {
		r.pos++
	}
	word := string(r.src[start:r.pos])
	number, given := r.number()
	if r.pos < len(r.src) && r.src[r.pos] == ' ' {
		r.pos++
	}
	r.word(word, number, given)
}

func (r *rtfReader) number() (n int, given bool) {
	negative := r.pos < len(r.src) && r.src[r.pos] == '-'
	if negative {
		r.pos++
	}
	for ; r.pos < len(r.src) && isDigit(r.src[r.pos]); r.pos++ {
		n, given = min(n*10+int(r.src[r.pos]-'0'), 1<<30), true
	}
	if negative {
		n = -n
	}
	return n, given
}

func (r *rtfReader) symbol(c byte) {
	switch c {
	case '\'':
		if r.pos+1 < len(r.src) {
			if hi, lo := unhex(r.src[r.pos]), unhex(r.src[r.pos+1]); hi >= 0 && lo >= 0 {
				r.pos += 2
				r.char(byte(hi<<4 | lo))
			}
		}
	case '*': // a destination that one need not know
		r.skip = true
	case '\\', '{', '}':
		r.char(c)
	case '~':
		r.write("\u00a0")
	case '_':
		r.write("-")
	case '\r', '\n':
		r.write("\n")
	}
}

func (r *rtfReader) word(word string, number int, given bool) {
	switch word {
	case "par", "line", "row", "sect", "page":
		r.write("\n")
	case "tab", "cell":
		r.write("\t")
	case "fonttbl":
		r.inFonts = true
	case "colortbl", "stylesheet", "info", "pict", "object", "fldinst", "header", "footer", "headerl", "headerr", "headerf",
		"footerl", "footerr", "footerf", "listtable", "listoverridetable", "revtbl", "themedata", "datastore", "generator":
		r.skip = true
	case "ansicpg":
		r.flush()
		r.ansi = codepageCharset(uint32(number))
		r.charset = r.ansi
	case "f":
		r.useFont(number)
	case "fcharset":
		if r.inFonts {
			r.fonts[r.font] = r.fontCharset(number)
		}
	case "plain":
		r.useFont(-1)
	case "uc":
		r.unicode = max(number, 0)
	case "u":
		if given && -1<<15 <= number && number < 1<<16 {
			r.rune(rune(uint16(number)))
		}
	case "bin":
		r.pos = min(r.pos+max(number, 0), len(r.src))
	default:
		if c := rtfCharacter(word); c != "" {
			r.write(c)
		}
	}
}

func (r *rtfReader) useFont(number int) {
	r.font = number
	if !r.inFonts {
		r.flush()
		r.charset = r.ansi
		if c, ok := r.fonts[number]; ok {
			r.charset = c
		}
	}
}

// rune takes the character of a \u, which is one unit of UTF-16.
func (r *rtfReader) rune(c rune) {
	r.instead = r.unicode
	switch {
	case utf16.IsSurrogate(c) && c < 0xdc00:
		r.high = c
		return
	case utf16.IsSurrogate(c):
		c = utf16.DecodeRune(r.high, c)
	}
	r.high = 0
	r.write(string(utf8.AppendRune(nil, c)))
}

// rtfCharacter is the character that a control word stands for.
func rtfCharacter(word string) string {
	switch word {
	case "emdash":
		return "—"
	case "endash":
		return "–"
	case "lquote":
		return "‘"
	case "rquote":
		return "’"
	case "ldblquote":
		return "“"
	case "rdblquote":
		return "”"
	case "bullet":
		return "•"
	}
	return ""
}

// fontCharset is the charset of a font by its \fcharset.
func (r *rtfReader) fontCharset(number int) charset {
	pages := map[int]uint32{
		77: 10000, 128: 932, 129: 949, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258,
		177: 1255, 178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250,
	}
	if page, ok := pages[number]; ok {
		return codepageCharset(page)
	}
	return r.ansi
}
