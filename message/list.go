package message

import "strings"

// flags takes what the header tells about who or what sent the mail. Programs
// that answer mail must not answer such (RFC 3834 2).
func (r *reader) flags() {
	m := r.m
	person, sign := false, ""
	for i := range m.Fields {
		f := &m.Fields[i]
		switch flagField(f.Name) {
		case flagAutoSubmitted:
			keyword := firstWord(f.Value)
			if m.AutoSubmitted == "" {
				m.AutoSubmitted, person = keyword, keyword == "no"
			}
		case flagAutoReply:
			if firstWord(f.Value) != "no" {
				sign = autoReplied
			}
		case flagPrecedence:
			switch firstWord(f.Value) {
			case "bulk", "list", "junk":
				m.Bulk = true
			case "auto_reply":
				sign = autoReplied
			}
		case flagListID:
			m.Bulk = true
			if m.ListID == "" {
				m.ListID = listID(f.Value)
			}
		case flagList:
			m.Bulk = true
		}
	}
	switch {
	case person:
		m.AutoSubmitted = ""
	case m.AutoSubmitted != "":
	case sign != "":
		m.AutoSubmitted = sign
	case m.ContentType != "multipart/report": // RFC 6522
	case r.report == "" || r.report == "delivery-status" || r.report == "disposition-notification":
		m.AutoSubmitted = autoReplied // a bounce or receipt (RFC 3834 2)
	default:
		m.AutoSubmitted = "auto-generated"
	}
}

const autoReplied = "auto-replied"

const (
	flagNone = iota
	flagAutoSubmitted
	flagAutoReply
	flagPrecedence
	flagListID
	flagList
)

// flagField finds the fields that tell. That mail went to many is said only by
// those that nothing but programs for lists and newsletters write: retention
// may delete such mail early. X-Loop and Errors-To are not among them, which
// filters and forwarders of one person write as well, nor Feedback-ID, which
// services like Amazon SES put into each bill and receipt.
func flagField(name string) int {
	const longest = len("list-unsubscribe-post")
	if len(name) < 7 || len(name) > longest || strings.IndexByte("aApPxXlLmM", name[0]) < 0 {
		return flagNone
	}
	switch string(appendLower(make([]byte, 0, longest), name)) {
	case "auto-submitted":
		return flagAutoSubmitted
	case "x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-autoreply-from":
		return flagAutoReply
	case "precedence", "x-precedence":
		return flagPrecedence
	case "list-id":
		return flagListID
	case "list-unsubscribe", "list-post", "list-help", "list-subscribe", "list-owner", "list-archive", // RFC 2369 3
		"list-unsubscribe-post",                                          // RFC 8058
		"mailing-list", "x-mailing-list", "x-mailinglist", "x-beenthere": // ezmlm, Majordomo, Mailman
		return flagList
	}
	return flagNone
}

// firstWord is the keyword a value begins with, in lower case, without comments
// and parameters.
func firstWord(value string) string {
	value = strings.TrimLeft(withoutComments(value), " \t")
	if end := strings.IndexAny(value, "; \t,"); end >= 0 {
		value = value[:end]
	}
	return strings.ToLower(value)
}

// listID reads a List-Id (RFC 2919 3): what is in the last angle brackets, else
// the text.
func listID(value string) string {
	if open := strings.LastIndexByte(value, '<'); open >= 0 {
		value = value[open+1:]
		if end := strings.IndexByte(value, '>'); end >= 0 {
			value = value[:end]
		}
	}
	return strings.ToLower(strings.TrimSpace(value))
}
