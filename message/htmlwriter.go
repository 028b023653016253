package message

import (
	"bytes"
	"strings"
)

// maxQuoteLevels is how many "> " a line begins with at most.
const maxQuoteLevels = 10

// htmlWriter lays text out. What separates two texts is held back until the
// second one comes.
type htmlWriter struct {
	out   []byte
	taken int // bytes of HTML that out is from
	shown int // how often something was written

	breaks int  // line ends before the next text
	space  byte // blank or tab before the next text, or 0
	item   bool // a list item begins with the next text
	filled bool // the empty line has an &nbsp; that keeps it open

	quote, lowest int    // level now, and the lowest since the last text
	blockquotes   int    // open ones
	indented      uint64 // a bit for each of the outer 64 that quotes nobody
	list, pre     int    // levels
	tight         bool   // the paragraph has no margin
}

// separate ends a line, with n of 2 leaving an empty one.
func (w *htmlWriter) separate(n int) {
	w.endLine()
	if w.filled {
		n = max(n, w.breaks+1)
	}
	w.filled = false
	w.breaks = max(w.breaks, n)
	if w.pre == 0 {
		w.breaks = min(w.breaks, 2)
	}
}

// lineBreak is br.
func (w *htmlWriter) lineBreak() {
	w.endLine()
	w.filled = false
	w.breaks++
	if w.pre == 0 {
		w.breaks = min(w.breaks, 2)
	}
}

// endLine keeps the blank of "-- ": it is what makes a line the separator of a
// signature (RFC 3676 4.3).
func (w *htmlWriter) endLine() {
	if w.space == ' ' && w.breaks == 0 && bytes.HasSuffix(w.out, []byte("--")) {
		before := w.out[:len(w.out)-2]
		if len(before) == 0 || bytes.HasSuffix(before, []byte("\n")) || bytes.HasSuffix(before, []byte("\n> ")) {
			w.out = append(w.out, ' ')
		}
	}
	w.space = 0
}

func (w *htmlWriter) paragraphBreak() int {
	if w.tight {
		return 1
	}
	return 2
}

func (w *htmlWriter) openBlock(element htmlElement) {
	switch element {
	case blockElement, rowElement:
		w.separate(1)
	case breakElement:
		w.lineBreak()
	case cellElement:
		w.space = '\t'
	case listElement:
		w.separate(1)
		w.list++
	case itemElement:
		w.separate(1)
		w.item = true
	}
}

// openQuote opens a blockquote, or one that is only indented.
func (w *htmlWriter) openQuote(indented bool) {
	w.separate(1)
	w.blockquotes++
	if indented && w.blockquotes <= 64 {
		w.indented |= 1 << (w.blockquotes - 1)
	} else {
		w.quote++
	}
}

func (w *htmlWriter) closeQuote() {
	w.separate(1)
	if w.blockquotes == 0 {
		return
	}
	w.blockquotes--
	if w.blockquotes < 64 && w.indented&(1<<w.blockquotes) != 0 {
		w.indented &^= 1 << w.blockquotes
		return
	}
	w.quote--
	w.lowest = min(w.lowest, w.quote)
}

func (w *htmlWriter) closeBlock(element htmlElement) {
	switch element {
	case blockElement, rowElement:
		w.separate(1)
	case paragraphElement:
		w.separate(w.paragraphBreak())
		w.tight = false
	case listElement:
		w.separate(1)
		w.list = max(w.list-1, 0)
		w.item = false
	case itemElement:
		w.separate(1)
		w.item = false
	case quoteElement:
		w.closeQuote()
	case preElement:
		w.pre = max(w.pre-1, 0)
		w.separate(1)
	}
}

// show writes text as it is, after what was held back.
func (w *htmlWriter) show(text string) {
	if w.breaks > 0 || len(w.out) == 0 {
		w.startLine()
	} else if w.space != 0 {
		w.out = append(w.out, w.space)
	}
	w.out = append(w.out, text...)
	w.space, w.filled, w.lowest = 0, false, w.quote
	w.shown++
}

func (w *htmlWriter) startLine() {
	if len(w.out) > 0 {
		for ; w.breaks > 1; w.breaks-- {
			w.out = append(w.out, '\n')
			w.quoteMarks(w.lowest)
			w.out = bytes.TrimSuffix(w.out, []byte(" "))
		}
		w.out = append(w.out, '\n')
	}
	w.breaks = 0
	w.quoteMarks(w.quote)
	if w.item {
		w.repeat("  ", w.list-1)
		w.out = append(w.out, "- "...)
		w.item = false
	}
}

func (w *htmlWriter) quoteMarks(level int) { w.repeat("> ", level) }

// repeat writes what begins a line at a level, unless the text would become more
// than twice the size of the HTML: "a<br>" deep in quotes would become ten times
// as long.
func (w *htmlWriter) repeat(s string, level int) {
	level = min(level, maxQuoteLevels)
	if level > 0 && len(w.out)+level*len(s) <= 2*w.taken {
		for range level {
			w.out = append(w.out, s...)
		}
	}
}

// textKind says how character references are read.
type textKind uint8

const (
	inText textKind = iota
	inAttribute
	literal // they are none
)

// write shows text with blanks collapsed and references decoded.
func (w *htmlWriter) write(text string, kind textKind) {
	from := w.taken
	for i := 0; i < len(text); {
		start := i
		for i < len(text) && w.isPlain(text[i]) {
			i++
		}
		w.taken = from + i
		if i > start {
			w.show(text[start:i])
			continue
		}
		if text[i] != '&' {
			i += w.special(text[i:])
			continue
		}
		value, size := "&", 1
		if kind != literal {
			value, size = characterReference(text[i:], kind == inAttribute)
		}
		i += size
		if value == "&" {
			w.show(value)
		} else {
			w.write(value, literal)
		}
	}
	w.taken = from + len(text)
}

// isPlain says of a byte that it can be shown without another look at it.
func (w *htmlWriter) isPlain(c byte) bool {
	switch c {
	case '&', 0x7f, 0xc2, 0xcd, 0xe2, 0xef:
		return false
	case ' ', '\t':
		return w.pre > 0
	}
	return c > ' '
}

// special deals with the character that text begins with, which is not plain,
// and returns its size.
func (w *htmlWriter) special(text string) int {
	switch c := text[0]; {
	case c == ' ' || c == '\t' || c == '\f':
		w.blank()
		return 1
	case c == '\n' || c == '\r':
		if c == '\r' && strings.HasPrefix(text[1:], "\n") {
			return 1
		}
		if w.pre > 0 {
			w.lineBreak()
		} else {
			w.blank()
		}
		return 1
	case c < ' ' || c == 0x7f:
		return 1 // a control character, NUL among them
	case c == 0xc2 && text[1] == 0xa0: // nbsp
		w.filled = w.filled || w.breaks > 0
		w.blank()
		return 2
	case c == 0xc2 && (text[1] < 0xa0 || text[1] == 0xad): // C1 controls, soft hyphen
		return 2
	case c == 0xcd && text[1] == 0x8f: // combining grapheme joiner
		return 2
	case c == 0xe2 && text[1] == 0x80 && (text[2] <= 0x8a || text[2] == 0xa8 || text[2] == 0xa9 || text[2] == 0xaf):
		w.blank() // spaces of any width, line and paragraph separator
		return 3
	case c == 0xe2 && text[1] == 0x80 && text[2] <= 0x8d, c == 0xe2 && text[1] == 0x81 && text[2] == 0xa0:
		return 3 // zero width: space, non-joiner, joiner, word joiner
	case c == 0xef && text[1] == 0xbb && text[2] == 0xbf: // byte order mark
		return 3
	case c >= 0xe0:
		w.show(text[:3])
		return 3
	}
	w.show(text[:2])
	return 2
}

func (w *htmlWriter) blank() {
	if w.pre > 0 {
		w.show(" ")
	} else if w.space == 0 {
		w.space = ' '
	}
}
