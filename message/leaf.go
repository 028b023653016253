package message

import (
	"strconv"
	"strings"
)

// leaf looks at the content of a part that is not divided.
func (t *tree) leaf(i int) {
	p := &t.m.Parts[i]
	p.Attachment = !isText(p.Type) || p.Type == typeHeaders || p.Filename != "" || p.Disposition == "attachment"
	t.measure(i)
	switch {
	case p.Type == typePlain && t.isBody(p):
		t.unpackUU(i)
	case (p.Type == typeMessage || p.Type == typeGlobal) && isEncoded(p.Encoding):
		t.unpackMessage(i)
	case p.Attachment:
		t.unpackTNEF(i)
	}
}

func isText(kind string) bool { return strings.HasPrefix(kind, "text/") }

// measure finds out how the content of a leaf is wrapped, and its size.
func (t *tree) measure(i int) {
	p := &t.m.Parts[i]
	body := t.raw[p.BodyStart:p.BodyEnd]
	p.Wrapped, p.Size = Identity, int64(len(body))
	switch p.Encoding {
	case encodingQuotedPrintable:
		q := scanQuotedPrintable(body)
		if !q.escapes {
			t.m.defect(DefectQuotedPrintable)
		}
		if q.strict {
			p.Wrapped, p.Size = QuotedPrintable, q.size
		} else {
			t.measureOdd(p)
		}
	case encodingBase64:
		b := scanBase64(body)
		switch {
		case b.strict:
			p.Wrapped, p.Size = Base64, b.size
		case isText(p.Type) && !looksLikeBase64(body, t.scratch()): // it is as it is
			t.m.defect(DefectBase64)
		default:
			t.m.defect(DefectBase64)
			t.measureOdd(p)
		}
		if b.regular && b.size >= MinCut {
			t.m.Cuts = append(t.m.Cuts, Cut{i, p.BodyStart + b.start, p.BodyStart + b.end, b.lineLength, b.crlf})
		}
	case encodingUU:
		if d := t.measureOdd(p); !d.ended {
			t.m.defect(DefectUUNoEnd)
		}
	}
}

func (t *tree) measureOdd(p *Part) decoder {
	d := p.decoder(t.raw)
	p.Wrapped, p.Size = Odd, d.size(t.scratch())
	return d
}

func (t *tree) scratch() []byte {
	if t.buffer == nil {
		t.buffer = make([]byte, 0, min(32<<10, len(t.raw)+decodeRoom))
	}
	return t.buffer
}

// addUnpacked adds a file that was unpacked out of part i.
func (t *tree) addUnpacked(i int, file unpacked) {
	p := Part{
		Type: strings.ToLower(file.Type), ContentID: oneLine(file.ContentID),
		Filename: oneLine(file.Name), Attachment: true, Content: file.Content,
	}
	if !isType(p.Type) {
		p.Type = typeOpaque
	}
	t.addContent(i, p)
}

// addContent adds a part whose content was in part i and is nowhere else.
func (t *tree) addContent(i int, p Part) {
	from := &t.m.Parts[i]
	p.Section, p.Parent = from.Section+":"+strconv.Itoa(len(t.m.Parts)-i), i
	p.HeaderStart, p.BodyStart, p.BodyEnd = from.BodyStart, from.BodyStart, from.BodyEnd
	p.Encoding, p.Wrapped, p.Size = encodingBinary, Odd, int64(len(p.Content))
	if p.Content == nil {
		p.Content = []byte{}
	}
	t.m.Parts = append(t.m.Parts, p)
}
