package message

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mime4jEntity is one entity as the events of mime4j tell it: a message or a
// body part. That of a message in a body part has no header of its own.
type mime4jEntity struct {
	header []string // fields
	kind   string   // "multipart", "message", "text", "binary", or "body" for either of these
	body   string   // as in the mail, of kind "body"
	inside []*mime4jEntity
}

var mime4jTag = regexp.MustCompile(`<(/?)([a-z-]+)[^>]*>\n?`)

var mime4jText = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// readMime4j reads the events. They are XML but for the characters that XML does
// not allow. Line ends do not count.
func readMime4j(events string) *mime4jEntity {
	root := &mime4jEntity{}
	open := []*mime4jEntity{root}
	last := 0
	for _, tag := range mime4jTag.FindAllStringSubmatchIndex(events, -1) {
		text := events[last:tag[0]]
		last = tag[1]
		in := open[len(open)-1]
		begins, name := tag[2] == tag[3], events[tag[4]:tag[5]]
		switch {
		case begins && (name == "message" || name == "body-part"):
			e := &mime4jEntity{}
			if name == "message" && len(open) > 1 {
				in.kind = "message"
			}
			in.inside = append(in.inside, e)
			open = append(open, e)
		case name == "message" || name == "body-part":
			open = open[:len(open)-1]
		case name == "field" && !begins:
			in.header = append(in.header, mime4jText.Replace(text))
		case name == "multipart" || name == "body":
			in.kind = name
			if name == "body" {
				in.body = mime4jText.Replace(text)
			}
		case name == "text-body" || name == "binary-body":
			in.kind, _, _ = strings.Cut(name, "-")
		}
	}
	return root.inside[0]
}

func (e *mime4jEntity) shape() string {
	var inside []string
	for _, entity := range e.inside {
		inside = append(inside, entity.shape())
	}
	return e.kind + "(" + strings.Join(inside, " ") + ")"
}

func (e *mime4jEntity) all() []*mime4jEntity {
	list := []*mime4jEntity{e}
	for _, entity := range e.inside {
		list = append(list, entity.all()...)
	}
	return list
}

// mime4jShape is the same of ours. Whether a body is text is told only where
// decoded says so.
func mime4jShape(m *Message, i int, decoded bool) string {
	var inside []string
	for j := i + 1; j < len(m.Parts); j++ {
		if m.Parts[j].Parent == i && m.Parts[j].Content == nil {
			inside = append(inside, mime4jShape(m, j, decoded))
		}
	}
	kind := "body"
	switch kind0, _, _ := strings.Cut(m.Parts[i].Type, "/"); {
	case inside != nil:
		kind = kind0
	case decoded && kind0 == "text":
		kind = "text"
	case decoded:
		kind = "binary"
	}
	return kind + "(" + strings.Join(inside, " ") + ")"
}

// What differs from mime4j on purpose.
var mime4jRules = []otherwise{
	{most: 10, reason: "a multipart without a part is text, which a person may read", fields: "structure structure-and-kind",
		mails: "mime4j-mimetools-testmsgs_badbound mime4j-testmsgs_missing-boundary mime4j-testmsgs_missing-inner-boundary " +
			"mime4j-testmsgs_missing-inner-start-boundary mime4j-testmsgs_multipartnopart"},
	{most: 6, reason: "parts of an encoded message have no place in the mail's bytes", fields: "structure structure-and-kind", is: with(DefectMessageEncoded)},
	{most: 4, reason: "the same boundary twice in a row begins one part", fields: "structure structure-and-kind", is: with(DefectBoundaryDoubled)},
	{most: 2, reason: "text behind a boundary on its line makes it another one, as \"--ab\" is not that of \"a\"", fields: "structure structure-and-kind",
		mails: "mime4j-testmsgs_ending-boundaries"},
	{most: 6, reason: "blanks at the end of a boundary are not part of it (RFC 2046 5.1.1)", fields: "structure structure-and-kind",
		mails: "mime4j-testmsgs_very-long-boundary mime4j-testmsgs_very-very-long-boundary mime4j-testmsgs_weird-boundary"},
	{most: 4, reason: "the From_ line of mbox is kept", fields: "header", is: with(DefectMboxFromLine)},
	{most: 5, reason: "a body that begins without a blank line is not lost, with its first lines that look like fields", fields: "header body",
		is: with(DefectNoBlankLine, DefectNoHeader)},
	{most: 1, reason: "a field whose name has 8-bit characters is kept", fields: "header", mails: "mime4j-testmsgs_obsolete"},
}

var mime4jFloors = map[string]float64{"structure": 1, "structure-and-kind": 1, "header": 1, "body": 1}

func TestCorpusMime4j(t *testing.T) {
	dir := corpus(t)
	files, err := filepath.Glob(filepath.Join(dir, "expected", "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no expected results: %v", err)
	}
	a := compareWith(t, mime4jRules)
	for _, file := range files {
		name, decoded := strings.CutSuffix(strings.TrimSuffix(filepath.Base(file), ".xml"), "_decoded")
		raw, err := os.ReadFile(filepath.Join(dir, "torture", name+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		events, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		theirs := readMime4j(withoutCR(events))
		m := Parse(raw)
		compare := func(part, field, ours, theirs string) {
			a.compare(difference{mail: name, part: part, field: field, ours: ours, theirs: theirs, m: m})
		}
		if decoded {
			compare("", "structure-and-kind", mime4jShape(m, 0, true), theirs.shape())
			continue
		}
		compare("", "structure", mime4jShape(m, 0, false), theirs.shape())
		ours, entities := entities(m), theirs.all()
		if len(ours) != len(entities) {
			continue
		}
		for n, i := range ours {
			p := &m.Parts[i]
			header := strings.Trim(withoutCR(raw[p.HeaderStart:p.BodyStart]), "\n")
			compare(p.Section, "header", header, strings.Join(entities[n].header, "\n"))
			if entities[n].kind == "body" {
				compare(p.Section, "body", withoutCR(raw[p.BodyStart:p.BodyEnd]), entities[n].body)
			}
		}
	}
	a.check(mime4jFloors)
}

func withoutCR(b []byte) string { return string(bytes.ReplaceAll(b, []byte("\r"), nil)) }
