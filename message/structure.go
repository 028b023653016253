package message

import (
	"bytes"
	"strconv"
	"strings"
)

// The types that make a difference here.
const (
	typePlain       = "text/plain"
	typeHTML        = "text/html"
	typeHeaders     = "text/rfc822-headers" // RFC 6522 4: of a mail that came back
	typeMessage     = "message/rfc822"
	typeGlobal      = "message/global" // RFC 6532 3.7
	typeRTF         = "application/rtf"
	typeOpaque      = "application/octet-stream"
	typeAlternative = "multipart/alternative"
	typeRelated     = "multipart/related"
	typeDigest      = "multipart/digest"
)

// tree finds the parts of a mail in one pass over its lines. Only lines that
// begin with "--" are looked at, and all open boundaries are looked up at
// once, so that depth costs no time.
type tree struct {
	m   *Message
	r   *reader
	raw []byte
	eol byte
	pos int // begin of the line that is read next

	open   []int          // parts that have not ended, from the root on
	frames []frame        // the multiparts among them
	inner  map[string]int // by boundary the innermost of frames that waits for it

	starts     map[int]string // start parameters of multipart/related
	holes      map[int][]span // what is left out of the text of a part
	letter     []int          // texts of a winmail.dat that is in no other message
	unpackable int64          // bytes that may still be unpacked
	encoded    int            // messages around this one whose transfer encoding was undone
	guessable  int            // bytes that may still be looked at to guess boundaries
	buffer     []byte         // scratch of decoders
}

// frame is a multipart that has not ended.
type frame struct {
	part     int
	level    int    // its place in tree.open
	boundary string // "" when it is not known
	outer    int    // frame around it with the same boundary, -1
	prefix   string // of the sections of its parts
	children int
	closed   bool // its close delimiter was met
}

// delimiter is a line of a boundary (RFC 2046 5.1.1).
type delimiter struct {
	start, next int // offsets of the line and of the one after it
	frame       int
	closes      bool
}

// readBody fills in Parts and all that is taken from them.
func (r *reader) readBody(raw []byte) {
	m := r.m
	t := newTree(r, raw)
	t.pos, t.unpackable = m.HeaderSize, 4*int64(len(raw))+1<<20
	t.read()
	m.ContentType = m.Parts[0].Type
	t.bodies()
}

func newTree(r *reader, raw []byte) *tree {
	t := &tree{m: r.m, r: r, raw: raw, eol: '\n', inner: map[string]int{}, guessable: 2 * len(raw)}
	if r.m.LineEnds == CR {
		t.eol = '\r'
	}
	return t
}

func (t *tree) read() {
	var h entityHeader
	for i := range t.m.Fields {
		if f := &t.m.Fields[i]; len(f.Name) >= 10 && f.Name[0]|0x20 == 'c' {
			text := t.r.header[f.Start:f.End]
			t.setField(&h, f.Name, text[colonAfterName(text)+1:])
		}
	}
	t.r.report = h.report
	t.enter(h, h.part(false), 0, t.pos, "1", "TEXT", "")
	t.divide()
}

// divide divides what was entered at its boundaries.
func (t *tree) divide() {
	for {
		d, ok := t.nextDelimiter()
		if !ok {
			break
		}
		t.end(t.frames[d.frame].level+1, d.start)
		t.pos = d.next
		if d.closes {
			t.close(d.frame)
		} else {
			t.begin(d)
		}
	}
	t.end(0, len(t.raw))
}

// nextDelimiter finds the next line that is a boundary of an open multipart.
func (t *tree) nextDelimiter() (delimiter, bool) {
	if len(t.frames) == 0 {
		return delimiter{}, false
	}
	for pos := t.nextDashes(t.pos); pos < len(t.raw); pos = t.nextDashes(pos) {
		line, next := t.line(pos)
		if frame, closes := t.match(line); frame >= 0 {
			return delimiter{pos, next, frame, closes}, true
		}
		pos = next
	}
	return delimiter{}, false
}

// match finds the innermost multipart whose boundary is on the line, -1 if
// there is none. Blanks may follow it (RFC 2046 5.1.1).
func (t *tree) match(line []byte) (frame int, closes bool) {
	text := bytes.TrimRight(line[2:], " \t\r")
	frame, ok := t.inner[string(text)]
	if !ok {
		frame = -1
	}
	if text, ok := bytes.CutSuffix(text, []byte("--")); ok {
		if closed, ok := t.inner[string(text)]; ok && closed > frame {
			return closed, true
		}
	}
	return frame, false
}

func (t *tree) isDelimiter(line []byte) bool {
	frame, _ := t.match(line)
	return frame >= 0
}

// close takes the close delimiter of a multipart. What comes up to the next
// boundary is its epilogue. One around it with the same boundary has the next.
func (t *tree) close(i int) {
	f := &t.frames[i]
	f.closed = true
	if f.outer >= 0 {
		t.inner[f.boundary] = f.outer
	}
}

// begin begins a part of a multipart.
func (t *tree) begin(d delimiter) {
	f := &t.frames[d.frame]
	if f.closed {
		t.m.defect(DefectPartAfterClose)
	}
	f.children++
	section := f.prefix + strconv.Itoa(f.children)
	if len(t.m.Parts) >= MaxParts-1 {
		t.rest(section)
		return
	}
	start := t.skipDoubled(d.frame)
	h, body := t.readHeader(start)
	digest := t.m.Parts[f.part].Type == typeDigest
	t.enter(h, h.part(digest), start, body, section, section, section+".")
}

// skipDoubled moves past lines that say again that a part of this multipart
// begins, and gives where it does.
func (t *tree) skipDoubled(frame int) int {
	pos := t.pos
	for isBoundary(t.raw[pos:]) {
		line, next := t.line(pos)
		if again, closes := t.match(line); again != frame || closes {
			break
		}
		t.m.defect(DefectBoundaryDoubled)
		pos = next
	}
	return pos
}

// rest makes one part of all that is left.
func (t *tree) rest(section string) {
	t.m.defect(DefectTooManyParts)
	t.add(Part{Type: typeOpaque, Encoding: encodingBinary, Section: section, HeaderStart: t.pos, BodyStart: t.pos})
	t.pos = len(t.raw)
}

// add appends a part to what is open.
func (t *tree) add(p Part) {
	p.Parent = -1
	if len(t.open) > 0 {
		p.Parent = t.open[len(t.open)-1]
	}
	t.open = append(t.open, len(t.m.Parts))
	t.m.Parts = append(t.m.Parts, p)
}

// enter adds a part whose body begins at offset body, and goes on into it: a
// multipart will be divided at its boundaries, an embedded message has a header
// here. leaf and multi are the section by what it is, prefix is that of its
// parts.
func (t *tree) enter(h entityHeader, p Part, start, body int, leaf, multi, prefix string) {
	for {
		p.HeaderStart, p.BodyStart, p.Section = start, body, leaf
		t.pos = body
		switch {
		case strings.HasPrefix(p.Type, "multipart/"):
			p.Section = multi
			t.add(p)
			t.multipart(h, prefix)
			return
		case p.Type == typeMessage || p.Type == typeGlobal:
			t.add(p)
			if !t.mayDivide(&p) {
				return
			}
		default:
			t.add(p)
			return
		}
		leaf, multi, prefix = p.Section+".1", p.Section+".TEXT", p.Section+"."
		start = body
		h, body = t.readHeader(start)
		p = h.part(false)
	}
}

// mayDivide says whether the part that was just added is divided further.
func (t *tree) mayDivide(p *Part) bool {
	switch {
	case len(t.open) >= MaxDepth:
		t.m.defect(DefectTooDeep)
	case len(t.m.Parts) >= MaxParts-1:
		t.m.defect(DefectTooManyParts)
	case strings.HasPrefix(p.Type, "message/") && isEncoded(p.Encoding):
		t.m.defect(DefectMessageEncoded)
		return p.Encoding != encodingQuotedPrintable && t.isPlainMessage(p.BodyStart)
	default:
		return true
	}
	return false
}

// isPlainMessage says whether what is called base64 is a message as it is: the
// fields of one were copied with what they say about its body.
func (t *tree) isPlainMessage(pos int) bool {
	line, _ := t.line(pos)
	return credibleField(line)
}

func isEncoded(encoding string) bool {
	return encoding == encodingBase64 || encoding == encodingQuotedPrintable || encoding == encodingUU
}

// multipart prepares for the parts of the multipart that was just added.
func (t *tree) multipart(h entityHeader, prefix string) {
	i := len(t.m.Parts) - 1
	if !t.mayDivide(&t.m.Parts[i]) {
		return
	}
	boundary := t.boundary(h.boundary)
	if h.start != "" {
		if t.starts == nil {
			t.starts = map[int]string{}
		}
		t.starts[i] = h.start
	}
	f := frame{part: i, level: len(t.open) - 1, boundary: boundary, outer: -1, prefix: prefix}
	if boundary != "" {
		if outer, ok := t.inner[boundary]; ok {
			f.outer = outer
		}
		t.inner[boundary] = len(t.frames)
	}
	t.frames = append(t.frames, f)
}

// end ends the open parts from level on, before the line at offset at.
func (t *tree) end(level, at int) {
	if level >= len(t.open) {
		return
	}
	limit := at
	if from := t.m.Parts[t.open[level]].BodyStart; at < len(t.raw) {
		limit = t.beforeLineEnd(at, from)
	}
	for len(t.open) > level {
		i := t.open[len(t.open)-1]
		t.open = t.open[:len(t.open)-1]
		p := &t.m.Parts[i]
		// The blank line below the header of an embedded message may be the
		// line end that belongs to the boundary.
		p.HeaderStart, p.BodyStart = min(p.HeaderStart, limit), min(p.BodyStart, limit)
		p.BodyEnd = limit
		t.finish(i)
	}
}

// beforeLineEnd gives the offset before the line end that precedes the line at
// offset at, but not less than from.
func (t *tree) beforeLineEnd(at, from int) int {
	end := at
	if end > from && t.raw[end-1] == t.eol {
		end--
		if end > from && t.raw[end-1] == '\r' && t.eol == '\n' {
			end--
		}
	}
	return end
}

// finish completes a part that has its end.
func (t *tree) finish(i int) {
	p := &t.m.Parts[i]
	if n := len(t.frames) - 1; n >= 0 && t.frames[n].part == i {
		f := t.frames[n]
		t.frames = t.frames[:n]
		t.leave(f)
		if f.children == 0 {
			p.Type, p.Section = typePlain, strings.ReplaceAll(p.Section, "TEXT", "1")
			t.leaf(i)
			return
		}
		if isEncoded(p.Encoding) {
			t.m.defect(DefectMultipartEncoded)
		}
	} else if i == len(t.m.Parts)-1 {
		t.leaf(i)
		return
	}
	p.Wrapped, p.Size = Identity, int64(p.BodyEnd-p.BodyStart)
	p.Attachment = strings.HasPrefix(p.Type, "message/") && t.messagesAround(i) < maxNestedFiles
}

// maxNestedFiles bounds how often the same bytes are an attachment: once with
// each message around them.
const maxNestedFiles = 10

func (t *tree) messagesAround(i int) (n int) {
	for i = t.m.Parts[i].Parent; i >= 0; i = t.m.Parts[i].Parent {
		if strings.HasPrefix(t.m.Parts[i].Type, "message/") {
			n++
		}
	}
	return n
}

// leave forgets the boundary of a multipart that has ended.
func (t *tree) leave(f frame) {
	switch {
	case f.boundary == "":
	case f.children == 0:
		t.m.defect(DefectBoundaryUnused)
	case !f.closed:
		t.m.defect(DefectUnterminated)
	}
	if t.inner[f.boundary] != len(t.frames) {
		return // closed: it belongs to the one outside already
	}
	if f.outer >= 0 {
		t.inner[f.boundary] = f.outer
	} else {
		delete(t.inner, f.boundary)
	}
}
