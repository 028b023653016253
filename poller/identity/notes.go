package identity

import (
	"bytes"
	"strings"
)

// MaxHeader is how much of a header is looked at for notes. What stands beyond
// is a mail's own.
const MaxHeader = 256 << 10

// isNote knows the names of the fields that are notes, in lower case.
func isNote(name string) bool {
	switch name {
	case "status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", // UW, Pine, Dovecot, mutt
		"content-length", "lines", // System V, mutt
		"x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys":
		return true
	}
	return false
}

// CutField gives the first field of a header, with the lines that continue it,
// and whether it is a note.
func CutField(header []byte) (field []byte, note bool) {
	end := 0
	for {
		line := bytes.IndexByte(header[end:], '\n') + 1
		if line == 0 {
			end = len(header)
			break
		}
		end += line
		if end == len(header) || header[end] != ' ' && header[end] != '\t' {
			break
		}
	}
	switch field = header[:end]; field[0] | 0x20 {
	case 's', 'x', 'c', 'l': // only these can be, and most are not
		colon := bytes.IndexByte(field[:min(len(field), 32)], ':')
		note = colon > 0 && isNote(strings.ToLower(strings.TrimRight(string(field[:colon]), " \t")))
	}
	return field, note
}

// HeaderEnd is where the header that b begins with ends: behind its last field.
// It is -1 where that is further on.
func HeaderEnd(b []byte) int {
	for at := 0; ; {
		rest := b[at:]
		if len(rest) > 0 && rest[0] == '\n' || len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' {
			return at
		}
		line := bytes.IndexByte(rest, '\n') + 1
		if line == 0 {
			return -1
		}
		at += line
	}
}
