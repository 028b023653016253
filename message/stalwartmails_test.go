package message

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What differs from stalwart on purpose.
var stalwartRules = []otherwise{
	{most: 6, reason: "padding ends base64, as far as its line goes", fields: "content text attachments", mails: "stalwart-thirdparty_002"},
	{most: 34, reason: "text that is not UTF-8 and does not tell its charset is Latin-1 rather than nothing", is: readable},
	{most: 18, reason: "a multipart without a part is text, which a person may read", fields: "parts structure type text attachments", is: with(DefectBoundaryUnused)},
	{most: 2, reason: "parts of an encoded message have no place in the mail's bytes", fields: "parts", is: with(DefectMessageEncoded)},
	{most: 10, reason: "uuencode is decoded", fields: "content", mails: "stalwart-legacy_017 stalwart-legacy_026 stalwart-legacy_048"},
	{most: 8, reason: "backslashes in the paths of Windows programs escape nothing", fields: "filename",
		is: func(d difference) bool { return strings.ReplaceAll(d.ours, `\`, "") == d.theirs }},
	{most: 2, reason: "a file name counts though the disposition was forgotten", fields: "filename", mails: "stalwart-malformed_017"},
	{most: 8, reason: "a word alone in an address field is a local address (RFC 5322 3.4 has no names alone)", fields: "from to",
		mails: "stalwart-rfc_001 stalwart-rfc_004"},
	{most: 20, reason: "the boundary of a multipart ends those inside of it that have not ended (RFC 2046 5.1.2)",
		mails: "stalwart-malformed_008 stalwart-malformed_009 stalwart-malformed_012 stalwart-malformed_016"},
	{most: 8, reason: "the text of a multipart counts though it has no end", fields: "text attachments", mails: "stalwart-malformed_003 stalwart-malformed_006"},
	{most: 36, reason: "a boundary after the header of a part ends the part, blank line or not",
		mails: "stalwart-malformed_000 stalwart-malformed_007 stalwart-malformed_019 stalwart-thirdparty_015"},
	{most: 2, reason: "a boundary at the very end begins a part, if only an empty one", fields: "parts", mails: "stalwart-malformed_014"},
	{most: 7, reason: "a boundary is at the begin of a line", fields: "content end-offset text", mails: "stalwart-thirdparty_005"},
	{most: 8, reason: "the first Content-Type that is understood counts", fields: "parts text", is: with(DefectDuplicateContentType)},
	{most: 2, reason: "an embedded message without a header is a message", fields: "parts", mails: "stalwart-malformed_022"},
	{most: 4, reason: "base64 of a picture is decoded though it has other characters in it", fields: "content", mails: "stalwart-rfc_000"},
	{most: 4, reason: "one of alternative texts is shown", fields: "text", mails: "stalwart-thirdparty_000 stalwart-thirdparty_001"},
	{most: 10, reason: "any text/… that is not a file is text of the mail", fields: "text attachments", mails: "stalwart-rfc_000 stalwart-rfc_003 stalwart-thirdparty_008"},
	{most: 4, reason: "their LF form has lost a CR that is alone", fields: "content text end-offset", mails: "stalwart-legacy_049"},
}

// What these mails do not have is not compared: Cc, Sender, threads.
var stalwartFloors = map[string]float64{
	"subject": 1, "from": 1, "reply-to": 1, "to": 1, "date": 1, "message-id": 1,
	"parts": 0.98, "structure": 1, "type": 1, "charset": 1, "disposition": 1, "filename": 1, "content-id": 1,
	"header-offset": 1, "body-offset": 1, "end-offset": 1, "content": 1, "attachments": 1, "text": 1, "html": 1,
}

func TestCorpusStalwart(t *testing.T) {
	dir := corpus(t)
	files, err := filepath.Glob(filepath.Join(dir, "expected", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no expected results: %v", err)
	}
	a := compareWith(t, stalwartRules)
	for _, file := range files {
		name, isCRLF := strings.CutSuffix(strings.TrimSuffix(filepath.Base(file), ".json"), ".crlf")
		raw, err := os.ReadFile(filepath.Join(dir, "torture", name+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.ReplaceAll(raw, crlf, crlf[1:])
		if isCRLF {
			raw = bytes.ReplaceAll(raw, crlf[1:], crlf)
		}
		mail, err := readStalwart(file)
		if err != nil {
			t.Fatal(err)
		}
		compareStalwart(a, name, raw, mail)
	}
	a.check(stalwartFloors)
}

// compareStalwart compares one mail, each of its parts if there are as many of
// them.
func compareStalwart(a *agreement, name string, raw []byte, theirs *stalwartMail) {
	m := Parse(raw)
	compare := func(field, ours, theirs string) {
		a.compare(difference{mail: name, field: field, ours: ours, theirs: theirs, m: m})
	}
	var root stalwartPart
	var nodes []stalwartNode
	if len(theirs.Parts) > 0 {
		root, nodes = theirs.Parts[0], theirs.tree(0, false)
	}
	date := ""
	if m.Date != nil {
		date = dateText(*m.Date)
	}
	compare("subject", oneBlank(pointed(m.Subject)), root.text("subject"))
	compare("from", addressText(m.From), root.addresses("from"))
	compare("sender", addressText(m.Sender), root.addresses("sender"))
	compare("reply-to", addressText(m.ReplyTo), root.addresses("reply_to"))
	compare("to", addressText(m.To), root.addresses("to"))
	compare("cc", addressText(m.Cc), root.addresses("cc"))
	compare("date", date, root.date())
	compare("message-id", m.MessageID, root.text("message_id"))
	compare("in-reply-to", strings.Join(m.InReplyTo, " "), root.text("in_reply_to"))
	compare("references", strings.Join(m.References, " "), root.text("references"))

	if text, ok := theirs.body(theirs.TextBody, false); ok {
		compare("text", m.Text.String(raw), text)
	}
	if html, ok := theirs.body(theirs.HTMLBody, true); ok {
		compare("html", m.HTML.String(raw), html)
	}
	ours := entities(m)
	compare("parts", fmt.Sprint(len(ours)), fmt.Sprint(len(nodes)))
	if len(ours) != len(nodes) {
		return
	}
	compare("attachments", attached(m, ours), theirs.attached(nodes))
	compare("structure", structure(m, 0), nodes[0].shape)
	for n, node := range nodes {
		p := &m.Parts[ours[n]]
		compare := func(field, ours, theirs string) {
			a.compare(difference{mail: name, part: p.Section, field: field, ours: ours, theirs: theirs, m: m})
		}
		compare("type", p.Type, node.kind)
		compare("charset", p.Charset, strings.ToLower(node.parameter("content_type", "charset")))
		compare("disposition", p.Disposition, node.disposition())
		compare("filename", p.Filename, node.filename())
		compare("content-id", p.ContentID, node.text("content_id"))
		compare("header-offset", fmt.Sprint(p.HeaderStart), fmt.Sprint(node.Header))
		compare("body-offset", fmt.Sprint(p.BodyStart), fmt.Sprint(node.Start))
		compare("end-offset", fmt.Sprint(p.BodyEnd), fmt.Sprint(node.End))
		ours, theirs := stalwartContent(raw, p, node)
		compare("content", ours, theirs)
	}
}

// attached gives the numbers of the attachments among parts.
func attached(m *Message, parts []int) string {
	list := []int{}
	for n, i := range parts {
		if m.Parts[i].Attachment {
			list = append(list, n)
		}
	}
	return fmt.Sprint(list)
}

// attached gives the same of theirs, those of embedded messages included.
func (s *stalwartMail) attached(nodes []stalwartNode) string {
	found := map[*stalwartPart]bool{}
	var find func(*stalwartMail)
	find = func(s *stalwartMail) {
		for _, i := range s.Attachments {
			found[&s.Parts[i]] = true
		}
		for i := range s.Parts {
			if message := s.Parts[i].Body.Message; message != nil {
				find(message)
			}
		}
	}
	find(s)
	list := []int{}
	for n, node := range nodes {
		if found[node.stalwartPart] {
			list = append(list, n)
		}
	}
	return fmt.Sprint(list)
}

// body joins the texts of parts, unless one of them has to be made of the other
// kind first, or is a file.
func (s *stalwartMail) body(parts []int, html bool) (string, bool) {
	var texts []string
	for _, i := range parts {
		p := &s.Parts[i]
		text := p.Body.Text
		if html {
			text = p.Body.HTML
		}
		if text == nil {
			return "", false
		}
		texts = append(texts, withLF(*text))
	}
	return strings.Join(texts, "\n"), true
}

// stalwartContent gives the content of a leaf as both read it: text as such,
// its line ends LF, anything else by its hash.
func stalwartContent(raw []byte, p *Part, node stalwartNode) (ours, theirs string) {
	body := node.Body
	content := p.Decode(raw)
	switch {
	case body.Text != nil || body.HTML != nil:
		text, _ := decodeText(p, content)
		return withLF(text), withLF(pointed(body.Text) + pointed(body.HTML))
	case body.Binary != nil || body.InlineBinary != nil:
		var bytes []byte
		for _, b := range append(body.Binary, body.InlineBinary...) {
			bytes = append(bytes, byte(b))
		}
		return sum(content), sum(bytes)
	}
	return "", ""
}

func decodeText(p *Part, content []byte) (string, bool) {
	c := lookupCharset(p.Charset)
	if c.kind == unknown || c.kind == text8 {
		c = undeclared(p.Type, look{head: content[:min(len(content), lookHead)]})
	}
	return c.decode(string(content))
}
