package message

import "strings"

// BaseSubject takes off a subject what replying, forwarding and mailing lists
// put before it ("Re: [list] AW: …", RFC 5256 2.1, and its translations), and
// tells whether one of them says that it is a reply. The base is in lower case
// with single blanks; subjects with the same base belong together.
func BaseSubject(subject string) (base string, reply bool) {
	rest := strings.Join(strings.Fields(subject), " ")
	for {
		if tagged, ok := strings.CutPrefix(rest, "["); ok {
			tag, after, found := strings.Cut(tagged, "]")
			after = strings.TrimLeft(after, " ")
			if !found || after == "" || strings.Contains(tag, "[") {
				break
			}
			rest = after
			continue
		}
		after, answers, ok := cutSubjectPrefix(rest)
		if !ok {
			break
		}
		reply = reply || answers
		rest = after
	}
	return strings.ToLower(rest), reply
}

// cutSubjectPrefix takes one "Re:" or "Fwd[2]:" off.
func cutSubjectPrefix(subject string) (rest string, reply, ok bool) {
	colon := strings.IndexAny(subject, ":：")
	if colon < 0 || colon > 24 {
		return "", false, false
	}
	word := strings.ToLower(subject[:colon])
	if i := strings.IndexAny(word, "[(^ "); i > 0 { // Re[2]:, Re^2:, Re :
		if !isCount(word[i:]) {
			return "", false, false
		}
		word = word[:i]
	}
	switch word {
	case "re", "aw", "antw", "antwort", "sv", "vs", "odp", "res", "ref", "r", "rif", "vá", "ynt", "回复", "答复", "回覆", "返信", "отв", "ответ", "απ", "σχετ", "blz", "atb":
		reply = true
	case "fwd", "fw", "wg", "tr", "rv", "vb", "vl", "pd", "enc", "doorst", "i", "ilt", "转发", "轉寄", "転送", "пересл", "fs", "továbbítás":
	default:
		return "", false, false
	}
	_, rest, _ = strings.Cut(strings.Replace(subject, "：", ":", 1), ":")
	return strings.TrimLeft(rest, " "), reply, true
}

// isCount says whether s counts replies: "[2]", "(3)", "^4" or only blanks.
func isCount(s string) bool {
	return strings.Trim(s, "[](^) 0123456789") == ""
}
