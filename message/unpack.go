package message

import (
	"bytes"
	"strings"
)

// uuencode is older than MIME: files between lines "begin 644 name" and "end"
// in the text of a mail (POSIX uuencode). Each line begins with its number of
// bytes, then has four characters for three bytes; blanks at the end of a line
// may have been lost.

// uuBegin is the line that begins a file.
type uuBegin struct {
	start, next int // offsets of the line and of the one after it
	name        string
}

// uuFile is a file with its place in the text, from its first line up to the
// line end of its last.
type uuFile struct {
	span
	name  string
	lines []byte // what is between
	size  int64
	cut   bool // it has no end
}

// span is a range of bytes.
type span struct{ start, end int }

var beginWord = []byte("begin ")

// findBegin finds the first "begin" line from the line at offset pos on.
func findBegin(text []byte, pos int) (uuBegin, bool) {
	for pos < len(text) {
		if !bytes.HasPrefix(text[pos:], beginWord) {
			i := bytes.Index(text[pos:], []byte("\nbegin "))
			if i < 0 {
				break
			}
			pos += i + 1
		}
		line, next := lineAt(text, pos)
		if name, ok := parseBegin(line); ok {
			return uuBegin{pos, next, name}, true
		}
		pos = next
	}
	return uuBegin{}, false
}

// parseBegin reads "begin", the permissions in octal, and the name.
func parseBegin(line []byte) (name string, ok bool) {
	mode, rest, found := bytes.Cut(line[len(beginWord):], []byte{' '})
	if !found || len(mode) < 3 || len(mode) > 4 {
		return "", false
	}
	for _, c := range mode {
		if c < '0' || c > '7' {
			return "", false
		}
	}
	name = strings.TrimSpace(string(rest))
	return name, name != ""
}

// uuFiles finds the files in a text, up to limit.
func uuFiles(text []byte, limit int) (files []uuFile) {
	for pos := 0; len(files) < limit; {
		begin, ok := findBegin(text, pos)
		if !ok {
			break
		}
		var file uuFile
		if file, pos = readUU(text, begin); file.end > 0 {
			files = append(files, file)
		}
	}
	return files
}

// readUU reads a file, and gives where to read on. A file without its end ends
// with the last of its lines that have all their characters; without any, it is
// none, but text.
func readUU(text []byte, begin uuBegin) (file uuFile, next int) {
	file = uuFile{span: span{start: begin.start}, name: begin.name}
	var cut uuFile // what the file is if it has no end
	complete := true
	for pos := begin.next; pos < len(text); pos = next {
		var line []byte
		line, next = lineAt(text, pos)
		if bytes.Equal(line, []byte("end")) {
			file.lines, file.end = text[begin.next:pos], pos+len(line)
			return file, next
		}
		n, ok := uuLine(line)
		if !ok {
			next = pos
			break
		}
		file.size += int64(n)
		if complete = complete && len(line) > 0 && len(line) > (n+2)/3*4; complete {
			cut = file
			cut.lines, cut.end, cut.cut = text[begin.next:next], pos+len(line), true
		}
	}
	if cut.size == 0 {
		cut.end = 0
	}
	return cut, max(next, begin.next)
}

// lineAt gives the line at offset pos without its line end, and where the next
// one begins. CRs before the LF belong to the line end.
func lineAt(text []byte, pos int) (line []byte, next int) {
	i := bytes.IndexByte(text[pos:], '\n')
	if i < 0 {
		return bytes.TrimRight(text[pos:], "\r"), len(text)
	}
	return bytes.TrimRight(text[pos:pos+i], "\r"), pos + i + 1
}

// uuLine gives the bytes that a line stands for, if it may be one of uuencode.
func uuLine(line []byte) (size int, ok bool) {
	if len(line) == 0 {
		return 0, true
	}
	for _, c := range line {
		if c < ' ' || c > '`' {
			return 0, false
		}
	}
	size = int(line[0]-' ') & 63
	return size, len(line)-1 <= (size+2)/3*4+2 // some add a checksum
}

// appendUU decodes one line; what is missing of it is zero.
func appendUU(out, line []byte) []byte {
	size, ok := uuLine(line)
	if !ok || size == 0 {
		return out
	}
	at := func(i int) byte {
		if i < len(line) {
			return (line[i] - ' ') & 63
		}
		return 0
	}
	end := len(out) + size
	for i := 1; len(out) < end; i += 4 {
		a, b, c, d := at(i), at(i+1), at(i+2), at(i+3)
		out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	return out[:end]
}

// unpackUU adds the files that are in the text of part i, and remembers where
// they were, so that the text is shown without them.
func (t *tree) unpackUU(i int) {
	p := &t.m.Parts[i]
	text, ok := t.uuText(p)
	if !ok {
		return
	}
	files := uuFiles(text, MaxParts)
	for _, file := range files {
		if !t.mayUnpack(file.size) {
			return
		}
		if file.cut {
			t.m.defect(DefectUUNoEnd)
		}
		d := decoder{encoding: encodingUU, src: file.lines}
		name, _ := t.r.decodeText(file.name)
		t.addUnpacked(i, unpacked{Name: name, Content: d.all(int(file.size))})
		if t.holes == nil {
			t.holes = map[int][]span{}
		}
		t.holes[i] = append(t.holes[i], file.span)
	}
}

// uuText gives the content of a part that may have uuencode in it. Large text
// that is encoded twice is not looked through.
func (t *tree) uuText(p *Part) ([]byte, bool) {
	body := t.raw[p.BodyStart:p.BodyEnd]
	switch {
	case p.Encoding == encodingBase64 || p.Wrapped != Identity && !bytes.Contains(body, beginWord):
		return nil, false
	case p.Wrapped == Identity:
		return body, bytes.HasPrefix(body, beginWord) || bytes.Contains(body, []byte("\nbegin "))
	}
	return p.Decode(t.raw), p.Size <= MaxText
}

// unpackTNEF adds the files that are in part i, an application/ms-tnef of
// Outlook, which stays a part itself.
func (t *tree) unpackTNEF(i int) {
	p := &t.m.Parts[i]
	declared := p.Type == "application/ms-tnef" || p.Type == "application/vnd.ms-tnef"
	if !declared && !strings.EqualFold(p.Filename, "winmail.dat") {
		return
	}
	content := p.Decode(t.raw)
	if p.Wrapped == Identity {
		content = bytes.Clone(content)
	}
	files, ok := unpackTNEF(content)
	if !ok {
		if declared {
			t.m.defect(DefectTNEF)
		}
		return
	}
	outer := t.letter == nil && t.messagesAround(i) == 0
	for _, file := range files {
		if !t.mayUnpack(int64(len(file.Content))) {
			return
		}
		if file.Body && outer {
			t.letter = append(t.letter, len(t.m.Parts))
		}
		t.addUnpacked(i, file)
	}
}

// unpackMessage adds the leaves of part i, an embedded message that is encoded
// (RFC 6532 3.7; RFC 2046 5.2.1 forbids it), and the messages in it.
func (t *tree) unpackMessage(i int) {
	switch p := &t.m.Parts[i]; {
	case t.encoded == maxUnpackedDepth:
		t.m.defect(DefectTooDeep)
		return
	case p.Size > t.unpackable:
		t.m.defect(DefectUnpackedTooLarge)
		return
	}
	raw := t.m.Parts[i].Decode(t.raw)
	m := &Message{LineEnds: lineEnds(raw)}
	inner := newTree(&reader{m: m}, raw)
	inner.unpackable, inner.encoded = t.unpackable, t.encoded+1
	inner.enter(entityHeader{}, Part{Type: typeMessage, Encoding: encodingBinary}, 0, 0, "1", "TEXT", "")
	inner.divide()
	if m.Parts[1].BodyStart == 0 { // no header: no message
		return
	}
	for _, d := range m.Defects {
		t.m.defect(d)
	}
	for n, p := range m.Parts[1:] {
		divided := n+2 < len(m.Parts) && m.Parts[n+2].Parent == n+1 && m.Parts[n+2].Content == nil
		if divided && !p.Attachment {
			continue
		}
		p.Content = p.Decode(raw)
		if !t.mayUnpack(p.Size) {
			return
		}
		t.addContent(i, p)
	}
}

// mayUnpack takes size bytes out of what may be unpacked of this mail.
func (t *tree) mayUnpack(size int64) bool {
	if len(t.m.Parts) >= MaxParts-1 {
		t.m.defect(DefectTooManyParts)
		return false
	}
	if size > t.unpackable {
		t.m.defect(DefectUnpackedTooLarge)
		return false
	}
	t.unpackable -= size
	return true
}
