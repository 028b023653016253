package message

import (
	"strings"
	"unicode/utf8"
)

// Clean makes any string storable in a PostgreSQL text column: each run of
// bytes that is not valid UTF-8, and each NUL, becomes U+FFFD. It reports
// whether it changed anything.
func Clean(s string) (clean string, changed bool) {
	nul := strings.IndexByte(s, 0) >= 0
	if !nul && utf8.ValidString(s) {
		return s, false
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if nul {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s, true
}
