// Package screen makes text that strangers wrote fit for a terminal, which would
// obey what is in it.
package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Line replaces all that a terminal would obey rather than show: control characters,
// line ends too, and those that turn the direction of text around.
func Line(s string) string {
	return escape(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) string {
		switch {
		case r < 0x80:
			return fmt.Sprintf(`\x%02x`, r)
		case r <= 0xffff:
			return fmt.Sprintf(`\u%04x`, r)
		}
		return fmt.Sprintf(`\U%08x`, r)
	})
}

// unseen are characters of texts that nobody sees, and that newsletters have by
// the hundred: soft hyphens, blanks without a width, marks of direction.
var unseen = strings.NewReplacer("\u00ad", "", "\u200b", "", "\u200e", "", "\u200f", "", "\u2060", "", "\ufeff", "", "\u034f", "")

// Lines is Line for a text of several lines, with tabs.
func Lines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(unseen.Replace(s)) {
		rest, ended := strings.CutSuffix(line, "\n")
		for i, cell := range strings.Split(rest, "\t") {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(Line(cell))
		}
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func escape(s string, as func(rune) string) string {
	if strings.IndexFunc(s, Obeyed) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if Obeyed(r) {
			b.WriteString(as(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Joiners are in many names and emoji, and do nothing to a terminal.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// Obeyed says whether a terminal would obey a character, or may.
func Obeyed(r rune) bool {
	switch r {
	case zeroWidthNonJoiner, zeroWidthJoiner:
		return false
	}
	return !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029'
}

// JSON is a value in one line, with its end. Where encoding/json leaves a character
// that a terminal obeys, it can only be inside a string.
func JSON(v any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return escape(strings.TrimSuffix(b.String(), "\n"), func(r rune) string {
		if r > 0xffff {
			r -= 0x10000
			return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		return fmt.Sprintf(`\u%04x`, r)
	}) + "\n", nil
}

// IsTerminal tells whether a person looks at a stream, or types into it.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
