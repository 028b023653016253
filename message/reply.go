package message

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Range is a part of a text, in characters (code points): what substring() of SQL
// counts.
type Range struct{ Start, End int }

// maxReplyLines is how long a text may be to be taken apart: nobody writes more
// than this by hand.
const maxReplyLines = 100_000

// replyRanges finds the parts of a text that its author wrote anew: not the
// quoted lines and what introduces them, not what Outlook and forwarding
// append, no signature, no footer of a mailing list. Their strings joined by
// "\n" are the reply. It is nil if that is the whole text, or nothing of it: a
// forward without a word of its own says what it forwards.
//
// There is no standard for any of this but the "> " and "-- " of RFC 3676; the
// rest is what the programs of the last decades are seen to write.
func replyRanges(text string) []Range {
	r := replyText{text: text}
	if !r.split() {
		return nil
	}
	r.rareQuotes()
	r.cut()
	r.leaveAttributions()
	r.leaveWrapped()
	for from := 0; from < len(r.lines); {
		to := from
		for to < len(r.lines) && r.lines[to].kind <= blankLine {
			to++
		}
		r.leaveEnd(from, to)
		from = to + 1
	}
	return r.ranges()
}

type replyText struct {
	text  string
	lines []replyLine
}

type replyLine struct {
	start, end int // in bytes, without the line end
	kind       lineKind
}

type lineKind uint8

const (
	ownLine lineKind = iota
	blankLine
	quotedLine
	leftLine // left out for another reason
)

func (r *replyText) line(i int) string {
	l := r.lines[i]
	from, to := l.start, l.end
	for from < to && isLineBlank(r.text[from]) {
		from++
	}
	for from < to && isLineBlank(r.text[to-1]) {
		to--
	}
	return r.text[from:to]
}

func isLineBlank(c byte) bool { return isBlank(c) || c == '\r' }

func (r *replyText) split() bool {
	ends := strings.Count(r.text, "\n")
	if ends >= maxReplyLines {
		return false
	}
	r.lines = make([]replyLine, 0, ends+1)
	for start := 0; start <= len(r.text); {
		end := strings.IndexByte(r.text[start:], '\n')
		if end < 0 {
			end = len(r.text) - start
		}
		line := r.text[start : start+end]
		r.lines = append(r.lines, replyLine{start, start + len(strings.TrimSuffix(line, "\r")), kindOf(line)})
		start += end + 1
	}
	return true
}

func kindOf(line string) lineKind {
	trimmed := strings.TrimLeft(line, " ")
	switch {
	case strings.TrimSpace(trimmed) == "":
		return blankLine
	case len(line)-len(trimmed) > 2: // rather code than a quote
		return ownLine
	case trimmed[0] != '>':
		return ownLine
	case len(trimmed) > 1 && strings.IndexByte(",.;:)", trimmed[1]) >= 0: // the end of a folded "<https://…>,"
		return ownLine
	}
	return quotedLine
}

// rareQuotes finds quotes by "|", which are nearly always tables and drawings
// instead, below an attribution only; and the prompts of Python, which look
// like quotes of quotes, where nothing else is quoted.
func (r *replyText) rareQuotes() {
	quotes := false
	for i := range r.lines {
		line := r.line(i)
		switch {
		case strings.HasPrefix(line, "|"):
			above := r.previous(i)
			if r.isQuoted(i-1) || above >= 0 && r.lines[above].kind == ownLine && r.attribution(above, false) >= 0 {
				r.lines[i].kind = quotedLine
			}
		case r.lines[i].kind == quotedLine && !isPrompt(line):
			quotes = true
		}
	}
	for i := 0; i < len(r.lines) && !quotes; i++ {
		if r.lines[i].kind == quotedLine && isPrompt(r.line(i)) {
			r.lines[i].kind = ownLine
		}
	}
}

func isPrompt(line string) bool { return line == ">>>" || strings.HasPrefix(line, ">>> ") }

// leave leaves lines out.
func (r *replyText) leave(from, to int) {
	for i := from; i < to; i++ {
		r.lines[i].kind = leftLine
	}
}

// cut leaves out everything from where the mail answered to, or the one that is
// forwarded, begins without being quoted.
func (r *replyText) cut() {
	for i := range r.lines {
		if r.lines[i].kind != ownLine {
			continue
		}
		line := r.line(i)
		if isOriginalMarker(line) || r.isHeaderBlock(i) {
			r.leave(r.separatorAbove(i), len(r.lines))
			return
		}
		if !endsInColon(line) || r.isQuoted(r.next(i)) {
			continue
		}
		start := r.attribution(i, true)
		switch {
		case start < 0:
		case r.previous(start) < 0 && r.quotesBelow(i): // and the answer above them
			r.leave(start, i+1)
		default:
			r.leave(r.separatorAbove(start), len(r.lines))
			return
		}
	}
}

// next is the next line that is not blank, or the end.
func (r *replyText) next(i int) int {
	for i++; i < len(r.lines) && r.lines[i].kind == blankLine; {
		i++
	}
	return i
}

// previous is the last line before i that is not blank, or -1.
func (r *replyText) previous(i int) int {
	for i--; i >= 0 && r.lines[i].kind == blankLine; {
		i--
	}
	return i
}

func (r *replyText) isQuoted(i int) bool {
	return i >= 0 && i < len(r.lines) && r.lines[i].kind == quotedLine
}

func (r *replyText) quotesBelow(i int) bool {
	return slices.ContainsFunc(r.lines[i:], func(l replyLine) bool { return l.kind == quotedLine })
}

// separatorAbove includes a rule such as Outlook's "________________________________".
func (r *replyText) separatorAbove(i int) int {
	if above := r.previous(i); above >= 0 && isRule(r.line(above)) {
		return above
	}
	return i
}

// isRule says that a line only separates.
func isRule(line string) bool {
	return len(line) >= 3 && strings.Trim(line, line[:1]) == "" && strings.IndexByte("_-=*~#", line[0]) >= 0
}

// headerLines is how many lines the header of an appended mail may take: with
// long lists of recipients folded.
const headerLines = 12

// isHeaderBlock finds the "From: … Sent: … To: … Subject: …" that Outlook and
// others put above the mail answered to. Three different fields, among them who
// wrote it, make one.
func (r *replyText) isHeaderBlock(i int) bool {
	if headerWord(r.line(i)) == 0 {
		return false
	}
	seen := headerWords(0)
	for j, others := i, 0; j < min(i+headerLines, len(r.lines)) && others < 3; j++ {
		if r.lines[j].kind == quotedLine {
			break
		}
		word := headerWord(r.line(j))
		if word == 0 {
			others++
			continue
		}
		others = 0
		seen |= word
	}
	return seen.count() >= 3 && seen&fromWord != 0
}

// leaveAttributions leaves out the "On …, … wrote:" above each quote.
func (r *replyText) leaveAttributions() {
	for i := 1; i < len(r.lines); i++ {
		if r.lines[i].kind != quotedLine || r.lines[i-1].kind >= quotedLine {
			continue
		}
		above := r.previous(i)
		if above < 0 || i-above > 3 || r.lines[above].kind != ownLine {
			continue
		}
		if start := r.attribution(above, false); start >= 0 {
			r.leave(start, i)
		}
	}
}

// leaveWrapped leaves out what a program wrapped of a long quoted line without
// quoting it again.
func (r *replyText) leaveWrapped() {
	const wrapped = 66 // the least that is wrapped
	for i := 1; i+1 < len(r.lines); i++ {
		if r.lines[i].kind != ownLine || r.lines[i-1].kind != quotedLine || r.lines[i+1].kind != quotedLine {
			continue
		}
		word, _, _ := strings.Cut(r.line(i), " ")
		long := utf8.RuneCountInString(r.line(i-1)) + 1 + utf8.RuneCountInString(word)
		if long >= wrapped && len(r.line(i)) < r.lines[i-1].end-r.lines[i-1].start {
			r.lines[i].kind = quotedLine
		}
	}
}

// ranges are the lines that are left, without the blank ones around them.
func (r *replyText) ranges() []Range {
	var out []Range
	left := false
	at, runes := 0, 0
	runesTo := func(offset int) int {
		runes += utf8.RuneCountInString(r.text[at:offset])
		at = offset
		return runes
	}
	for i := 0; i < len(r.lines); i++ {
		if r.lines[i].kind != ownLine {
			left = left || r.lines[i].kind != blankLine
			continue
		}
		last := i
		for j := i; j < len(r.lines) && r.lines[j].kind <= blankLine; j++ {
			if r.lines[j].kind == ownLine {
				last = j
			}
		}
		out = append(out, Range{runesTo(r.lines[i].start), runesTo(r.lines[last].end)})
		i = last
	}
	if !left {
		return nil
	}
	return out
}
