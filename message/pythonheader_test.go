package message

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What differs from Python on purpose.
var pythonHeaderRules = []otherwise{
	{most: 10, reason: "hours of 12 with AM and PM", fields: "date", is: dateIs(`\d [AP]M\b`)},
	{most: 6, reason: "a zone as hours from GMT", fields: "date", is: dateIs(`GMT[+-]\d`)},
	{most: 10, reason: "a zone with both signs", fields: "date", is: dateIs(`\+-\d{4}`)},
	{most: 3, reason: "a zone behind a comment", fields: "date", is: dateIs(`\) [+-]\d{4}$`)},
	{most: 2, reason: "a zone without a sign is none", fields: "date", is: dateIs(`:\d\d 0\d+$`)},
	{most: 14, reason: "a message id ends at its bracket, else at a blank", fields: "message-id",
		is: func(d difference) bool { return d.ours != "" && strings.HasPrefix(d.theirs, d.ours) }},
	{most: 1, reason: "a header goes on after a line that is no field, if fields follow", fields: "message-id from", is: with(DefectNoColon)},
	{most: 276, reason: "what is in brackets is one address, if it is none: <[removed]>", fields: "from sender reply-to to",
		is: func(d difference) bool { return strings.Contains(d.theirs, "<removed>") }},
	{most: 11, reason: "nobody, or a group of none, in brackets", fields: "to",
		is: func(d difference) bool {
			return d.ours == "" && strings.Contains(strings.ToLower(d.theirs), "undisclosed-recipient")
		}},
	{most: 4, reason: "what a name has behind it in parentheses is a comment (RFC 5322 3.2.2)", fields: "from to",
		is: func(d difference) bool {
			return comment.ReplaceAllString(d.ours, "") == comment.ReplaceAllString(d.theirs, "") && strings.Count(d.ours, "(") < strings.Count(d.theirs, "(")
		}},
	{most: 7, reason: "a path of a program in place of an address", fields: "to",
		is: func(d difference) bool { return strings.Contains(d.ours, "<C:`Bulk.Adz") }},
	{most: 3, reason: "a name and an address without brackets", fields: "from to",
		mails: "torture/mailcore2-input_2765-korean.eml torture/rubymail-plain_emails_mix_caps_content_type.eml"},
	{most: 7, reason: "a name in quotes and an address without brackets", fields: "reply-to",
		is: func(d difference) bool { return with(DefectAddress)(d) && strings.Contains(d.theirs, `<"`) }},
	{most: 1, reason: "a NUL cannot be stored", fields: "subject", mails: "torture/sisimai-err_make-test-31.eml"},
	{most: 1, reason: "ISO-8859-1 is read as windows-1252, as browsers do", fields: "subject", mails: "spamassassin/hard-ham-1/00149.f6fddcb1750a61e5e085e22a4fa08912"},
}

var comment = regexp.MustCompile(` ?\([^()]*\)`)

// dateIs says whether the Date field matches.
func dateIs(pattern string) func(difference) bool {
	re := regexp.MustCompile(pattern)
	return func(d difference) bool {
		i := slices.IndexFunc(d.m.Fields, func(f Field) bool { return knownField(f.Name) == fieldDate })
		return re.MatchString(d.m.Fields[i].Value)
	}
}

// What still differs are addresses that are not quite any, guessed otherwise.
var pythonHeaderFloors = map[string]float64{"from": 0.9985, "to": 0.9985, "cc": 1, "sender": 0.999, "reply-to": 0.999, "in-reply-to": 1, "references": 1, "date": 1, "subject": 0.9998, "message-id": 1}

// Python cannot read a field with 8-bit text that is not UTF-8, or with an
// encoded word in a charset that it does not know: that is not compared.
func TestCorpusPythonHeaders(t *testing.T) {
	a := compareWith(t, pythonHeaderRules)
	comparePython(t, func(mail corpusMail, python *pythonMail) {
		m := mail.m
		compare := func(field, ours, theirs string) {
			a.compare(difference{mail: mail.Name, field: field, ours: ours, theirs: theirs, m: m})
		}
		if python.Date != nil {
			theirs, err := time.Parse(time.RFC3339, *python.Date)
			if err != nil {
				t.Errorf("%s: %v", mail.Name, err)
			}
			ours := ""
			if m.Date != nil {
				ours = dateText(*m.Date)
			}
			compare("date", ours, dateText(theirs))
		}
		if python.Subject != nil {
			compare("subject", oneBlank(pointed(m.Subject)), oneBlank(*python.Subject))
		}
		if python.MessageID != nil {
			compare("message-id", m.MessageID, strings.TrimSuffix(strings.TrimPrefix(*python.MessageID, "<"), ">"))
		}
		if python.InReplyTo != nil {
			compare("in-reply-to", strings.Join(m.InReplyTo, " "), strings.Join(python.InReplyTo, " "))
		}
		if python.References != nil {
			compare("references", strings.Join(m.References, " "), strings.Join(python.References, " "))
		}
		for _, field := range []struct {
			name   string
			ours   []Address
			theirs [][2]*string
		}{
			{"from", m.From, python.From}, {"sender", m.Sender, python.Sender}, {"reply-to", m.ReplyTo, python.ReplyTo},
			{"to", m.To, python.To}, {"cc", m.Cc, python.Cc},
		} {
			comparePythonAddresses(compare, field.name, field.ours, field.theirs)
		}
	})
	a.check(pythonHeaderFloors)
}

func comparePythonAddresses(compare func(field, ours, theirs string), field string, ours []Address, theirs [][2]*string) {
	var list []Address
	for _, pair := range theirs {
		if pair[0] == nil {
			return
		}
		if pointed(pair[0]) != "" || pointed(pair[1]) != "" { // of an empty group
			list = append(list, Address{pointed(pair[0]), pointed(pair[1])})
		}
	}
	if theirs != nil {
		compare(field, addressText(ours), addressText(list))
	}
}
