package message

import "strings"

const (
	longestSignature = 30 // lines that are not blank
	longestDashes    = 20 // the same below "--" without its blank
)

// leaveEnd leaves out what ends a stretch of own and blank lines, from..to: the
// footer of a mailing list, the signature, what a telephone adds, and a rule above
// something that was left out.
func (r *replyText) leaveEnd(from, to int) {
	end := r.footer(from, to)
	end = r.signature(from, end)
	for range 3 {
		last := r.previous(end)
		if last < from || !isSentFrom(r.line(last)) && !(end < len(r.lines) && isRule(r.line(last))) {
			break
		}
		end = last
	}
	r.leave(end, to)
}

// footer finds what lists and virus scanners append: a rule, and what it is.
func (r *replyText) footer(from, to int) int {
	for i := from; i < to; i++ {
		line := r.line(i)
		if !isRule(line) || line[0] != '_' && line[0] != '-' {
			continue
		}
		for j := i + 1; j < min(i+3, to); j++ {
			if below := strings.ToLower(r.line(j)[:min(len(r.line(j)), 200)]); len(line) >= 20 && isListName(below) || isScanner(below) {
				return i
			}
		}
	}
	return to
}

func isListName(line string) bool {
	for _, words := range [...]string{
		"mailing list", "mailinglist", "mailing-list", "-mailingliste", "liste de diffusion", "lista de correo", "lista de discuss",
		"list info", "listinfo", "to unsubscribe", "unsubscribe:",
	} {
		if strings.Contains(line, words) {
			return true
		}
	}
	return false
}

// isScanner finds what virus scanners advertise below "---".
func isScanner(line string) bool {
	for _, words := range [...]string{"checked for viruses", "virus-free", "auf viren geprüft", "analyse contre les virus", "comprobado que no contiene virus"} {
		if strings.Contains(line, words) {
			return true
		}
	}
	return false
}

// signature finds the line that signatures begin with (RFC 3676 4.3). Many
// programs strip its blank, and then it may be a rule as well.
func (r *replyText) signature(from, to int) int {
	found, below := to, 0
	for i := to - 1; i >= from && below <= longestSignature; i-- {
		l := r.lines[i]
		switch r.text[l.start:l.end] {
		case "-- ":
			found = i
		case "--":
			if below <= longestDashes {
				found = i
			}
		}
		if l.kind == ownLine {
			below++
		}
	}
	return found
}
