package message

import "strings"

// htmlTag is a start tag with the attributes that matter, as written.
type htmlTag struct {
	name                    string
	href, alt, style, class string
}

// name reads the name of a tag.
func (r *htmlReader) name() string {
	start := r.pos
	for r.pos < len(r.html) && !isTagBlank(r.html[r.pos]) && r.html[r.pos] != '/' && r.html[r.pos] != '>' {
		r.pos++
	}
	return r.html[start:r.pos]
}

// tag reads a start tag. It is not ok if its end is missing.
func (r *htmlReader) tag() (tag htmlTag, ok bool) {
	r.pos += len("<")
	tag.name = r.name()
	for {
		for r.pos < len(r.html) && (isTagBlank(r.html[r.pos]) || r.html[r.pos] == '/') {
			r.pos++
		}
		if r.pos == len(r.html) {
			return tag, false
		}
		if r.html[r.pos] == '>' {
			r.pos++
			return tag, true
		}
		name := r.attributeName()
		value := r.attributeValue()
		if kept := tag.attribute(name); kept != nil && *kept == "" {
			*kept = value
		}
	}
}

func (tag *htmlTag) attribute(name string) *string {
	switch {
	case strings.EqualFold(name, "style"):
		return &tag.style
	case strings.EqualFold(name, "class"):
		return &tag.class
	case strings.EqualFold(name, "href"):
		return &tag.href
	case strings.EqualFold(name, "alt"):
		return &tag.alt
	}
	return nil
}

func (r *htmlReader) attributeName() string {
	start := r.pos
	r.pos++ // even a "=", which begins a name here
	for r.pos < len(r.html) {
		c := r.html[r.pos]
		if isTagBlank(c) || c == '/' || c == '>' || c == '=' {
			break
		}
		r.pos++
	}
	return r.html[start:r.pos]
}

// attributeValue reads "= value", if that is what follows.
func (r *htmlReader) attributeValue() string {
	at := r.skipTagBlanks(r.pos)
	if at == len(r.html) || r.html[at] != '=' {
		return ""
	}
	at = r.skipTagBlanks(at + 1)
	r.pos = at
	if at == len(r.html) {
		return ""
	}
	if quote := r.html[at]; quote == '"' || quote == '\'' {
		if end := r.quoteEnd(quote); end >= 0 {
			r.pos = end + 1
			return r.html[at+1 : end]
		}
		// Browsers take all of the rest as the value.
		end := strings.IndexByte(r.html[at:], '>')
		if end < 0 {
			end = len(r.html) - at
		}
		r.pos = at + end
		return r.html[at+1 : r.pos]
	}
	for r.pos < len(r.html) && !isTagBlank(r.html[r.pos]) && r.html[r.pos] != '>' {
		r.pos++
	}
	return r.html[at:r.pos]
}

func (r *htmlReader) quoteEnd(quote byte) int {
	lacking := &r.noDouble
	if quote == '\'' {
		lacking = &r.noSingle
	}
	if *lacking {
		return -1
	}
	end := strings.IndexByte(r.html[r.pos+1:], quote)
	if end < 0 {
		*lacking = true
		return -1
	}
	return r.pos + 1 + end
}

func (r *htmlReader) skipTagBlanks(at int) int {
	for at < len(r.html) && isTagBlank(r.html[at]) {
		at++
	}
	return at
}

func isTagBlank(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'
}

// displaysNone finds "display: none" in an inline style.
func displaysNone(style string) bool {
	for declaration := range strings.SplitSeq(style, ";") {
		property, value, _ := strings.Cut(declaration, ":")
		if strings.EqualFold(strings.TrimSpace(property), "display") {
			value = strings.TrimSpace(value)
			return len(value) >= 4 && strings.EqualFold(value[:4], "none")
		}
	}
	return false
}

// isIndented says of a blockquote's inline style that it is Gmail's "Indent more":
// without the border at its left, it quotes nobody.
func isIndented(style string) bool {
	for declaration := range strings.SplitSeq(style, ";") {
		property, value, _ := strings.Cut(declaration, ":")
		property = strings.TrimSpace(property)
		if len(property) > 6 && strings.EqualFold(property[:6], "border") {
			return false
		}
		if strings.EqualFold(property, "border") && !strings.EqualFold(strings.TrimSpace(value), "none") {
			return false
		}
	}
	return strings.Contains(style, "border")
}

// htmlElement is what an element means for text.
type htmlElement uint8

const (
	inlineElement htmlElement = iota
	blockElement
	paragraphElement
	rowElement
	cellElement
	listElement
	itemElement
	quoteElement
	preElement
	anchorElement
	rawElement    // its content is not markup, and not shown
	hiddenElement // its content is not shown
	breakElement
	ruleElement
	imageElement
	voidElement // any other without content
)

func (e htmlElement) void() bool { return e >= breakElement }

func elementOf(name string) htmlElement {
	var buf [10]byte
	if len(name) > len(buf) {
		return inlineElement
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	switch string(buf[:len(name)]) {
	case "div", "table", "body", "html", "head", "center", "address", "article", "aside", "section", "header",
		"footer", "main", "nav", "figure", "figcaption", "form", "fieldset", "legend", "dl", "dt", "dd",
		"caption", "thead", "tbody", "tfoot", "option", "details", "summary":
		return blockElement
	case "p", "h1", "h2", "h3", "h4", "h5", "h6":
		return paragraphElement
	case "tr":
		return rowElement
	case "td", "th":
		return cellElement
	case "ul", "ol", "dir", "menu":
		return listElement
	case "li":
		return itemElement
	case "blockquote":
		return quoteElement
	case "pre", "xmp", "listing":
		return preElement
	case "a":
		return anchorElement
	case "script", "style", "title", "iframe", "noembed", "noframes":
		return rawElement
	case "template", "xml":
		return hiddenElement
	case "br":
		return breakElement
	case "hr":
		return ruleElement
	case "img":
		return imageElement
	case "area", "base", "basefont", "bgsound", "col", "embed", "input", "link", "meta", "param", "source", "track", "wbr":
		return voidElement
	}
	return inlineElement
}
