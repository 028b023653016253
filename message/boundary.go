package message

import (
	"bytes"
	"strings"
)

// boundary gives the boundary of the multipart that was just added: the one it
// declares. Where that is missing, or appears nowhere before the boundary of a
// multipart around this one, it is looked for. "" says that there is none.
func (t *tree) boundary(declared string) string {
	guess := t.guessBoundary(declared)
	switch {
	case declared == "":
		t.m.defect(DefectBoundaryMissing)
		return guess.boundary
	case guess.plain:
		t.m.defect(DefectBoundaryWrong)
		return guess.boundary
	}
	return declared
}

// guessBoundary goes through the lines that begin with "--". It guesses nothing
// when the declared boundary is among them.
func (t *tree) guessBoundary(declared string) (g boundaryGuess) {
	for pos := t.pos; pos < len(t.raw) && t.guessable > 0; {
		start := t.nextDashes(pos)
		if t.guessable -= start - pos; start == len(t.raw) {
			break
		}
		line, next := t.line(start)
		t.guessable -= next - start
		pos = next
		text := bytes.TrimRight(line[2:], " \t\r")
		if declared != "" && (string(text) == declared || string(bytes.TrimSuffix(text, dashes)) == declared) {
			return boundaryGuess{}
		}
		if t.isDelimiter(line) {
			return g
		}
		if g.take(string(text), t.isPartField(next)); g.boundary != "" && declared == "" {
			return g
		}
	}
	if t.guessable <= 0 && declared != "" { // it may come yet
		return boundaryGuess{}
	}
	return g
}

var dashes = []byte("--")

// nextDashes finds the line from the one at offset pos on that begins with "--".
func (t *tree) nextDashes(pos int) int {
	if isBoundary(t.raw[pos:]) {
		return pos
	}
	if i := bytes.Index(t.raw[pos:], []byte{t.eol, '-', '-'}); i >= 0 {
		return pos + i + 1
	}
	return len(t.raw)
}

// isPartField says whether the line at offset pos is a field that only a part
// of a multipart would begin with.
func (t *tree) isPartField(pos int) bool {
	line, _ := t.line(pos)
	return len(line) > 8 && strings.EqualFold(string(line[:8]), "Content-") && colonAfterName(line) > 0
}

// boundaryGuess finds the line that begins with "--" and comes again, or comes
// again with "--" behind it.
type boundaryGuess struct {
	boundary string
	plain    bool // fields of a part followed it: it is one even if another is declared

	seen []boundaryCandidate
}

type boundaryCandidate struct {
	text  string
	plain bool
}

func (g *boundaryGuess) take(text string, plain bool) {
	const most = 16 // candidates
	if g.plain {
		return
	}
	for _, c := range g.seen {
		if text != c.text && text != c.text+"--" {
			continue
		}
		if g.boundary == "" || c.plain {
			g.boundary, g.plain = c.text, c.plain
		}
		return
	}
	if len(g.seen) == most || strings.Trim(text, "-") == "" || len(text) > 200 || !plain && strings.ContainsAny(text, " \t") {
		return
	}
	g.seen = append(g.seen, boundaryCandidate{text, plain})
}
