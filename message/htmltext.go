package message

import (
	"strings"
	"unicode/utf8"
)

// htmlText is what a reader sees of HTML, as plain text with LF line ends: valid
// UTF-8 without NUL, about twice the size of the HTML at most. Blocks stand on
// lines of their own, with at most one empty line between them outside of pre;
// blockquotes get "> ", list items "- ", table cells a tab between them.
//
// It reads HTML the way browsers do (WHATWG HTML 13.2.5), but without a tree:
// building one takes quadratic time for some inputs, and x/net/html spends
// 0.13 ms on maps at the start of every program that imports it.
func htmlText(html string) string {
	r := htmlReader{html: html}
	if !utf8.ValidString(html) {
		r.html = strings.ToValidUTF8(html, "\uFFFD")
		r.longer = len(r.html) - len(html)
	}
	r.read()
	if r.hiding != "" {
		// The end of a hidden element is missing: rather show all of it than
		// lose the rest of the mail.
		r.pos, r.hiding, r.showAll = r.hidingFrom, "", true
		r.read()
	}
	r.endLink()
	return string(r.out)
}

type htmlReader struct {
	htmlWriter
	html   string
	pos    int
	longer int // bytes that html grew by becoming valid

	hiding      string // name of the element whose content is left out
	hidingDepth int    // elements of this name that are open, itself included
	hidingFrom  int
	showAll     bool

	inLink   bool
	link     string // href of the link that is open
	linkFrom int    // what was shown when it began

	noDouble, noSingle, noCommentEnd bool // none follows: each is sought once
}

func (r *htmlReader) read() {
	for r.pos < len(r.html) {
		if r.html[r.pos] == '<' {
			r.markup()
			continue
		}
		end := strings.IndexByte(r.html[r.pos:], '<')
		if end < 0 {
			end = len(r.html) - r.pos
		}
		if r.hiding == "" {
			r.put(r.html[r.pos:r.pos+end], inText)
		}
		r.pos += end
	}
}

func (r *htmlReader) put(text string, where textKind) {
	r.taken = r.pos - r.longer
	r.write(text, where)
}

// markup reads what begins with "<".
func (r *htmlReader) markup() {
	rest := r.html[r.pos:]
	switch {
	case len(rest) > 1 && isLetter(rest[1]):
		r.startTag()
	case len(rest) > 2 && rest[1] == '/' && isLetter(rest[2]):
		r.endTag()
	case strings.HasPrefix(rest, "<!--"):
		r.comment()
	case len(rest) > 1 && (rest[1] == '!' || rest[1] == '?' || rest[1] == '/'):
		// <!DOCTYPE>, <?xml:namespace>, and Outlook's <![if !mso]>, whose
		// content is meant for everybody else.
		r.skipPast(">", 2)
	default:
		if r.hiding == "" {
			r.put("<", inText)
		}
		r.pos++
	}
}

// skipPast goes on after the next end, which is sought from offset bytes on.
func (r *htmlReader) skipPast(end string, offset int) {
	at := strings.Index(r.html[r.pos+offset:], end)
	if at < 0 {
		r.pos = len(r.html)
		return
	}
	r.pos += offset + at + len(end)
}

// comment skips a comment, among them <!--[if mso]> with its content. "<!-->"
// and "<!--->" are whole comments. Where browsers take all of the rest as one,
// its first ">" ends it.
func (r *htmlReader) comment() {
	rest := r.html[r.pos+len("<!--"):]
	switch {
	case strings.HasPrefix(rest, ">"):
		r.pos += len("<!-->")
	case strings.HasPrefix(rest, "->"):
		r.pos += len("<!--->")
	case r.noCommentEnd:
		r.skipPast(">", len("<!--"))
	default:
		start := r.pos
		r.skipPast("-->", len("<!--"))
		if r.pos == len(r.html) && !strings.HasSuffix(r.html, "-->") {
			r.noCommentEnd = true
			r.pos = start
			r.skipPast(">", len("<!--"))
		}
	}
}

func (r *htmlReader) startTag() {
	start := r.pos
	tag, ok := r.tag()
	if !ok {
		return // the mail ends within the tag
	}
	element := elementOf(tag.name)
	if element == rawElement {
		r.skipRaw(tag.name)
		return
	}
	if r.hiding != "" {
		if !strings.EqualFold(tag.name, r.hiding) {
			return
		}
		if element != paragraphElement {
			r.hidingDepth++
			return
		}
		r.hiding = "" // a paragraph ends where the next one begins
	}
	if element == hiddenElement || displaysNone(tag.style) {
		if !element.void() && !r.showAll {
			r.hiding, r.hidingDepth, r.hidingFrom = tag.name, 1, start
		}
		if !r.showAll || element == hiddenElement {
			return
		}
	}
	r.open(element, &tag)
}

func (r *htmlReader) endTag() {
	r.pos += len("</")
	name := r.name()
	r.skipPast(">", 0)
	if r.hiding == "" {
		r.close(elementOf(name))
		return
	}
	if strings.EqualFold(name, r.hiding) {
		if r.hidingDepth--; r.hidingDepth == 0 {
			r.hiding = ""
		}
	}
}

// skipRaw goes to the end tag of an element whose content is not markup.
func (r *htmlReader) skipRaw(name string) {
	for {
		r.skipPast("</", 0)
		rest := r.html[r.pos:]
		if rest == "" {
			return
		}
		if len(rest) > len(name) && strings.EqualFold(rest[:len(name)], name) && !isLetter(rest[len(name)]) {
			r.skipPast(">", 0)
			return
		}
	}
}

func (r *htmlReader) open(element htmlElement, tag *htmlTag) {
	switch element {
	case anchorElement:
		r.endLink()
		r.inLink, r.link, r.linkFrom = true, tag.href, r.shown
	case imageElement:
		r.put(tag.alt, inAttribute)
	case preElement:
		r.separate(1)
		r.pre++
		rest := strings.TrimPrefix(r.html[r.pos:], "\r")
		r.pos = len(r.html) - len(strings.TrimPrefix(rest, "\n")) // it does not count
	case paragraphElement:
		// Outlook's paragraphs have no margin; an empty one makes an empty line.
		r.tight = len(tag.class) > 3 && strings.EqualFold(tag.class[:3], "Mso")
		r.separate(r.paragraphBreak())
	case quoteElement:
		r.openQuote(isIndented(tag.style))
	case ruleElement:
		r.separate(1)
		r.put("---", inText)
		r.separate(1)
	default:
		r.openBlock(element)
	}
}

func (r *htmlReader) close(element htmlElement) {
	if element == anchorElement {
		r.endLink()
		return
	}
	r.closeBlock(element)
}

// endLink shows where a link leads if there is nothing else to see of it.
func (r *htmlReader) endLink() {
	link := strings.TrimSpace(r.link)
	if r.inLink && r.shown == r.linkFrom && isWebLink(link) {
		r.put(link, inAttribute)
	}
	r.inLink, r.link = false, ""
}

// isWebLink says whether a reader could do something with the link, other than
// with "#top", "cid:..." or "javascript:...".
func isWebLink(link string) bool {
	for _, scheme := range [...]string{"https:", "http:", "mailto:", "tel:", "ftp:"} {
		if len(link) > len(scheme) && strings.EqualFold(link[:len(scheme)], scheme) {
			return true
		}
	}
	return false
}
