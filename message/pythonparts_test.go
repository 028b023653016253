package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What differs from Python on purpose.
var pythonRules = []otherwise{
	{most: 284, reason: "quoted-printable: blanks at the end of a line are no content (RFC 2045 6.7), an \"=\" that begins no escape is", fields: "text",
		is: func(d difference) bool { return d.leaf.Lenient == d.ours }},
	{most: 22, reason: "the last line end of a part that has no boundary after it is content", fields: "text message",
		is: func(d difference) bool {
			line, ended := bytes.CutSuffix(d.content, []byte("\n"))
			return ended && (sum(line) == d.theirs || sum(bytes.TrimSuffix(line, []byte("\r"))) == d.theirs)
		}},
	{most: 7, reason: "Python writes the close delimiter that a message lacks", fields: "message",
		is: func(d difference) bool { return with(DefectUnterminated)(d) || d.leaf.Type == "message/partial" }},
	{most: 11, reason: "prose that is called base64 is prose", fields: "text attachment",
		mails: "torture/phpmime-mails_m0028.eml torture/stalwart-thirdparty_002.eml"},
	{most: 1, reason: "what a list writes below base64 is no base64", fields: "text", mails: "spamassassin/spam-2/01072.ac604802c74de2ebc445efc827299b96"},
	{most: 1, reason: "blanks behind the name of a transfer encoding do not count", fields: "attachment", mails: "torture/mime4j-mimetools-testmsgs_twopart.eml"},
	{most: 62, reason: "a multipart without a part is text, which a person may read", fields: "leaves type text message", is: with(DefectBoundaryUnused, DefectBoundaryMissing)},
	{most: 4, reason: "where the declared boundary does not appear, another that plainly is one counts", is: with(DefectBoundaryWrong)},
	{most: 10, reason: "parts of an encoded message have no place in the mail's bytes", fields: "leaves text message", is: with(DefectMessageEncoded)},
	{most: 13, reason: "a header goes on after a line that is no field, if fields follow",
		is: func(d difference) bool {
			return with(DefectNoColon, DefectPartNoColon)(d) || d.leaf != nil && slices.Contains(d.leaf.Defects, "MissingHeaderBodySeparatorDefect")
		}},
	{most: 1, reason: "a field whose name has 8-bit characters is a field", fields: "leaves text", mails: "torture/mimekit-messages_feedback-report.eml torture/mime4j-testmsgs_obsolete.eml"},
	{most: 5, reason: "the line end of a boundary that is folded is removed, as in any field (RFC 5322 2.2.3)",
		mails: "torture/mime4j-mimetools-testmsgs_multi-badnames.eml torture/mime4j-mimetools-testmsgs_multi-clen.eml " +
			"torture/mime4j-mimetools-testmsgs_multi-digest.eml torture/mime4j-mimetools-testmsgs_multi-simple.eml torture/zbateson-emails_m0021.eml"},
	{most: 10, reason: "a type ends at a blank, if the semicolon was forgotten",
		mails: "spamassassin/spam-2/00204.4cf15f97b8ea08bfafab7d5091b8fbe7 torture/enmime-mail_mime-bad-content-type.eml " +
			"torture/enmime-mail_mime-blank-media-name.eml torture/stalwart-malformed_017.eml"},
	{most: 12, reason: "a boundary that is that of two multiparts counts for the inner one, until that is closed",
		mails: "torture/cpython-msg_15.eml torture/cpython-msg_39.eml torture/stalwart-malformed_003.eml"},
	{most: 1, reason: "a boundary directly after the header ends the part", fields: "text", mails: "torture/mime4j-testmsgs_multipartemptypart.eml"},
	{most: 10, reason: "text that is not UTF-8 and does not tell its charset is Latin-1, or the charset of the mail", fields: "filename",
		is: func(d difference) bool { return strings.Contains(d.theirs, "\uFFFD") }},
	{most: 4, reason: "the name of the parameter is not part of a charset", fields: "charset",
		is: func(d difference) bool { return "charset="+d.ours == d.theirs }},
	{most: 1, reason: "a disposition is a word (RFC 2183 2)", fields: "disposition", mails: "torture/rubymail-error_emails_multiple_invalid_content_dispositions.eml"},
	{most: 1, reason: "an encoded word amid a file name is joined as it stands", fields: "filename",
		mails: "torture/deltachat-message_attach_filename_encoded_words_bad_delimiter.eml"},
	{most: 3, reason: "waves and dashes of Japanese and Chinese text are those of browsers (WHATWG Encoding)", fields: "characters",
		mails: "spamassassin/spam-2/01188.67d69a8d6e5c899914556488c8cbd2c9 torture/mailcore2-input_4925-japanese.eml " +
			"torture/mailcore2-input_6094-japanese-1.eml"},
}

var pythonFloors = map[string]float64{
	"attachment": 1, "text": 1, "characters": 1, "message": 1, "type": 1, "charset": 0.9999, "disposition": 1, "filename": 1, "leaves": 0.9998,
}

// Python tells no content of these: a multipart in which it found no part, and
// base64 with one character too many, which it gives back as it is.
func (l *pythonLeaf) decodable() bool {
	return l.SHA256 != "" && !strings.HasPrefix(l.Type, "multipart/") && !slices.Contains(l.Defects, "InvalidBase64LengthDefect")
}

// field says how the content of the leaf is counted.
func (l *pythonLeaf) field() string {
	switch {
	case l.Divided:
		return "message"
	case !isText(l.Type) || pointed(l.Filename) != "" || pointed(l.Disposition) == "attachment":
		return "attachment"
	}
	return "text"
}

func TestCorpusPythonParts(t *testing.T) {
	a := compareWith(t, pythonRules)
	all, decodable := 0, 0.0
	comparePython(t, func(mail corpusMail, python *pythonMail) {
		comparePythonParts(a, mail, python)
		for i := range python.Leaves {
			if leaf := &python.Leaves[i]; leaf.field() == "attachment" {
				all++
				if leaf.decodable() {
					decodable++
				}
			}
		}
	})
	t.Logf("Python can decode %.0f of %d attachments", decodable, all)
	if same := float64(a.same["attachment"]) / decodable; same < 0.99 {
		t.Errorf("attachments: %.4f are the same", same)
	}
	a.check(pythonFloors)
}

func comparePythonParts(a *agreement, mail corpusMail, python *pythonMail) {
	m := mail.m
	ours := leaves(m)
	var types, theirs []string
	for _, i := range ours {
		types = append(types, m.Parts[i].Type)
	}
	for _, leaf := range python.Leaves {
		theirs = append(theirs, leaf.Type)
	}
	a.compare(difference{mail: mail.Name, field: "leaves", ours: strings.Join(types, " "), theirs: strings.Join(theirs, " "), m: m})
	if len(ours) != len(python.Leaves) {
		compareContents(a, mail, ours, python)
		return
	}
	for n, i := range ours {
		p, leaf := &m.Parts[i], &python.Leaves[n]
		content := leafContent(p, leaf, mail.Raw)
		compare := func(field, ours, theirs string) {
			a.compare(difference{mail.Name, p.Section, field, ours, theirs, m, leaf, content})
		}
		if leaf.decodable() {
			compare(leaf.field(), sum(content), leaf.SHA256)
		}
		if leaf.Text != "" && leaf.SHA256 == sum(content) {
			text, _ := decodeText(p, content)
			compare("characters", sum([]byte(strings.TrimPrefix(text, "\ufeff"))), leaf.Text)
		}
		compare("type", p.Type, leaf.Type)
		compare("charset", p.Charset, pointed(leaf.Charset))
		compare("disposition", p.Disposition, pointed(leaf.Disposition))
		if leaf.Filename != nil {
			compare("filename", oneBlank(p.Filename), oneBlank(*leaf.Filename))
		}
	}
}

// compareContents looks for the content of each leaf among all of ours.
func compareContents(a *agreement, mail corpusMail, ours []int, python *pythonMail) {
	for n := range python.Leaves {
		leaf := &python.Leaves[n]
		if !leaf.decodable() {
			continue
		}
		found := slices.IndexFunc(ours, func(i int) bool {
			return sum(leafContent(&mail.m.Parts[i], leaf, mail.Raw)) == leaf.SHA256
		})
		sha256 := ""
		if found >= 0 {
			ours, sha256 = slices.Delete(ours, found, found+1), leaf.SHA256
		}
		a.compare(difference{mail.Name, "", leaf.field(), sha256, leaf.SHA256, mail.m, leaf, nil})
	}
}

// leaves gives the parts that Python has as leaves.
func leaves(m *Message) []int {
	inner := map[int]bool{}
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Content == nil && p.Parent >= 0 {
			inner[p.Parent] = true
		}
	}
	return slices.DeleteFunc(entities(m), func(i int) bool { return inner[i] && !strings.HasPrefix(m.Parts[i].Type, "message/") })
}

var blanks = regexp.MustCompile(`[ \t\r\n]+`)

// leafContent is the content; of a message without blanks, as Python gives it.
func leafContent(p *Part, leaf *pythonLeaf, raw []byte) []byte {
	content := p.Decode(raw)
	if leaf.Divided {
		content = blanks.ReplaceAll(content, nil)
	}
	return content
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
