package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Text of a mail is written by strangers, and a terminal obeys what is in it:
// it never gets there but through printable or writeJSON.

// printable replaces all that a terminal would obey rather than show: control
// characters and those that turn the direction of text around.
func printable(s string) string {
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

func escape(s string, as func(rune) string) string {
	if strings.IndexFunc(s, isObeyed) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isObeyed(r) {
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

func isObeyed(r rune) bool {
	switch r {
	case zeroWidthNonJoiner, zeroWidthJoiner:
		return false
	}
	return !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029'
}

// writeJSON writes a value in one line. Where encoding/json leaves a character
// that a terminal obeys, it can only be inside a string.
func (p *program) writeJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	text := escape(strings.TrimSuffix(b.String(), "\n"), func(r rune) string {
		if r > 0xffff {
			r -= 0x10000
			return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		return fmt.Sprintf(`\u%04x`, r)
	})
	return p.write(text + "\n")
}

// isTerminal tells whether a person looks at the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
