package message

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// bodies fills in Text, HTML and Reply.
func (t *tree) bodies() {
	parts := t.m.Parts
	c := chooser{t: t, kids: make([][]int, len(parts)), yield: make([]uint8, len(parts)), html: make([]bool, len(parts))}
	for i := len(parts) - 1; i >= 0; i-- { // parts come before what is in them
		p := &parts[i]
		if p.Content != nil {
			continue
		}
		slices.Reverse(c.kids[i])
		c.judge(i)
		if p.Parent >= 0 && !strings.HasPrefix(parts[p.Parent].Type, "message/") {
			c.kids[p.Parent] = append(c.kids[p.Parent], i)
		}
	}
	text, markup := c.text(nil, 0), c.markup(nil, 0)
	if t.letter != nil && !slices.ContainsFunc(text, func(i int) bool { return !t.isEmpty(&parts[i]) }) {
		text, markup = t.chooseLetter()
	}
	t.m.Text = t.body(text, true)
	t.m.HTML = t.body(markup, false)
	t.reply()
}

// chooseLetter makes the texts of a winmail.dat those of the mail, which has no
// others. They are no files then; but RTF is, with what its text does not show.
func (t *tree) chooseLetter() (text, markup []int) {
	for _, i := range t.letter { // plain text comes before HTML, and that before RTF
		p := &t.m.Parts[i]
		if text == nil {
			text = []int{i}
		}
		if p.Type == typeHTML {
			markup = []int{i}
		}
		p.Attachment = p.Type == typeRTF
	}
	return text, markup
}

// isBody says whether a leaf is text of the mail and no file.
func (t *tree) isBody(p *Part) bool {
	return isText(p.Type) && p.Type != typeHeaders && p.Disposition != "attachment" && (p.Filename == "" || p.Parent < 0)
}

// isEmpty says whether a part has nothing but blanks and line ends.
func (t *tree) isEmpty(p *Part) bool {
	return len(bytes.TrimSpace(t.raw[p.BodyStart:p.BodyEnd])) == 0
}

// body puts the text of leaves together. With plain, HTML among them is made
// plain text.
func (t *tree) body(leaves []int, plain bool) Body {
	if len(leaves) == 0 {
		return Body{}
	}
	leaves = t.withoutEmpty(leaves)
	b := Body{Exists: true, Pieces: make([]Piece, 0, len(leaves))}
	charsets, latin := make([]charset, len(leaves)), make([]bool, len(leaves))
	derivable := true
	for n, i := range leaves {
		var ok bool
		if charsets[n], latin[n], ok = t.derivable(i); !ok || plain && t.m.Parts[i].Type == typeHTML {
			derivable = false
		}
	}
	if derivable {
		for n, i := range leaves {
			b.Pieces = t.pieces(b.Pieces, i, latin[n])
		}
		return b
	}
	b.Pieces = nil
	texts := make([]string, 0, len(leaves))
	room := MaxText
	for n, i := range leaves {
		if room <= 0 {
			t.m.defect(DefectTextTruncated)
			break
		}
		text := t.stored(i, room, charsets[n], plain && t.m.Parts[i].Type == typeHTML)
		texts = append(texts, text)
		room -= len(text) + 1
	}
	b.Stored = strings.Join(texts, "\n")
	if len(b.Stored) > MaxText {
		t.m.defect(DefectTextTruncated)
		b.Stored = strings.Clone(truncate(b.Stored, MaxText))
	}
	return b
}

// withoutEmpty leaves out what has nothing to show, unless that is all: some
// programs put an empty text after each attachment.
func (t *tree) withoutEmpty(leaves []int) []int {
	list := slices.DeleteFunc(slices.Clone(leaves), func(i int) bool { return t.isEmpty(&t.m.Parts[i]) })
	if len(list) == 0 {
		return leaves[:1]
	}
	return list
}

// pieces appends the ranges of a part: all but the files unpacked out of it.
func (t *tree) pieces(list []Piece, i int, latin bool) []Piece {
	p := &t.m.Parts[i]
	for _, r := range t.shown(i, t.raw[p.BodyStart:p.BodyEnd]) {
		start := p.BodyStart + r.start
		if r.start == 0 && r.end > 0 && !latin {
			start += byteOrderMark(t.raw[start:p.BodyStart+r.end], p.Wrapped)
		}
		list = append(list, Piece{start, p.BodyStart + r.end, p.Wrapped, latin})
	}
	return list
}

// byteOrderMark gives the size of the mark that UTF-8 begins with: Windows
// programs put it there, and it would be part of the first word.
func byteOrderMark(text []byte, w Wrapping) int {
	mark := "\ufeff"
	switch w {
	case QuotedPrintable:
		mark = "=EF=BB=BF"
	case Base64:
		mark = "77u/"
	}
	if !bytes.HasPrefix(text, []byte(mark)) {
		return 0
	}
	return len(mark)
}

// shown gives the ranges of a text that are left when the files in it are taken
// out, each with the line end before it.
func (t *tree) shown(i int, text []byte) []span {
	holes := t.holes[i]
	if holes == nil {
		return []span{{end: len(text)}}
	}
	var list []span
	from := 0
	keep := func(from, to int) {
		if from < to {
			list = append(list, span{from, to})
		}
	}
	for _, hole := range holes {
		end := hole.start
		if end > from && text[end-1] == '\n' {
			end--
			if end > from && text[end-1] == '\r' {
				end--
			}
		}
		keep(from, end)
		_, from = lineAt(text, hole.end)
	}
	keep(from, len(text))
	if list == nil {
		return []span{{}}
	}
	return list
}

// derivable says whether the text of a leaf can be derived from the raw mail as
// Body.Pieces says, and finds the charset it is in. It must be UTF-8 or
// windows-1252 without NUL; where another charset is declared, ASCII; and its
// line ends no CR alone nor CR CR LF.
func (t *tree) derivable(i int) (c charset, latin, ok bool) {
	p := &t.m.Parts[i]
	look := t.look(p)
	declared := lookupCharset(p.Charset)
	if declared.kind == unknown && p.Charset != "" {
		t.m.defect(DefectTextUnknownCharset)
	}
	if seen := declared.asSeen(look); seen != declared {
		t.m.defect(DefectTextCharset)
		declared = seen
	}
	c = declared
	if declared.kind == unknown || declared.kind == text8 {
		c = undeclared(p.Type, look)
	}
	if look.nul && !c.isWide() {
		t.m.defect(DefectTextNUL)
	}
	text := declared.kind == unknown || declared.kind == text8
	utf8 := look.utf8 && c.isASCIICompatible() && (look.ascii || text)
	// What says nothing and is mostly not UTF-8 is windows-1252: see guess.
	latin = !utf8 && look.latin && (c.encoding == charmap.Windows1252 || c.kind == text8 && look.bad > look.good)
	ok = p.Wrapped != Odd && t.m.LineEnds != CR && !look.nul && !look.crs && (utf8 || latin) &&
		(p.Wrapped == Identity || t.holes[i] == nil)
	if ok && latin && text {
		t.m.defect(DefectTextCharset)
	}
	return c, latin, ok
}

// stored is the text of a leaf in UTF-8, made of at most room bytes of it.
func (t *tree) stored(i, room int, c charset, html bool) string {
	p := &t.m.Parts[i]
	content, footer, whole := t.content(i, room)
	cut := !whole || p.Wrapped == Odd && p.Encoding == encodingBase64
	if end := wholeCharacters(content); cut && c.kind == text8 && end < len(content) {
		content = content[:end]
	}
	text, ok, all := "", true, true
	if p.Type == typeRTF {
		text = rtfText(content, room)
	} else {
		text, ok, all = c.decodeUpTo(content, room)
	}
	if whole = whole && all; !whole {
		t.m.defect(DefectTextTruncated)
		text = strings.TrimRight(text, "\uFFFD")
	} else if !ok {
		t.m.defect(DefectTextCharset)
	}
	text, _ = Clean(strings.TrimPrefix(text, "\ufeff"))
	if html {
		text = htmlText(text)
	}
	if len(footer) > 0 && (p.Type != typeHTML || html) {
		text = withFooter(text, footer)
	}
	text = withLF(text)
	if t.m.LineEnds == CR {
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	return text
}

// withFooter puts the text that was found below base64 under the decoded one.
func withFooter(text string, footer []byte) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	below, _ := charset{kind: text8}.decode(string(footer))
	below, _ = Clean(below)
	return text + below
}

// withLF makes each LF with the CRs before it an LF: mails that went through a
// text mode twice end their lines in CR CR LF.
func withLF(text string) string {
	if !strings.Contains(text, "\r\n") {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for line := range strings.Lines(text) {
		if end, ok := strings.CutSuffix(line, "\n"); ok {
			out.WriteString(strings.TrimRight(end, "\r"))
			out.WriteByte('\n')
		} else {
			out.WriteString(line)
		}
	}
	return out.String()
}

// content decodes up to limit bytes of the text of a leaf. footer is what is
// below it if it was base64.
func (t *tree) content(i, limit int) (content, footer []byte, whole bool) {
	p := &t.m.Parts[i]
	content, whole = p.Content, true
	switch {
	case p.Content != nil:
	case p.Wrapped == Identity:
		content = t.raw[p.BodyStart:p.BodyEnd]
	default:
		d := p.decoder(t.raw)
		content, whole = d.more(make([]byte, 0, min(int(p.Size), limit)+decodeRoom))
		if d.below > 0 {
			footer = d.src[d.below:min(len(d.src), d.below+limit)]
		}
	}
	if ranges := t.shown(i, content); t.holes[i] != nil {
		var text []byte
		for n, r := range ranges {
			if n > 0 {
				text = append(text, '\n')
			}
			text = append(text, content[r.start:r.end]...)
		}
		content = text
	}
	if len(content) > limit {
		content, whole = content[:limit], false
	}
	return content, footer, whole
}

// truncate cuts s to at most n bytes, not amid a character.
func truncate(s string, n int) string {
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// reply finds what of the text is new.
func (t *tree) reply() {
	size := len(t.m.Text.Stored)
	for _, piece := range t.m.Text.Pieces {
		size += piece.End - piece.Start
	}
	if size == 0 || size > 4*maxReplyText {
		return
	}
	if text := t.m.Text.String(t.raw); len(text) <= maxReplyText {
		t.m.Reply = replyRanges(text)
	}
}
