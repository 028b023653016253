package mailfile

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"mailrow/poller/identity"
)

// Notes are what programs that keep mail in one file write into the header of a
// mail, and change as time goes by.
type Notes struct {
	Flags    []string
	Length   int64 // Content-Length; -1 without
	Internal bool  // it is no mail: UW, Pine and Dovecot keep their own numbers there
}

// ReadNotes reads the notes of a header.
func ReadNotes(header []byte) Notes {
	n := Notes{Length: -1}
	imap, internal := false, false
	for len(header) > 0 {
		field, note := identity.CutField(header)
		header = header[len(field):]
		if !note && !internal && field[0]|0x20 == 's' {
			internal = bytes.HasPrefix(field, []byte("Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"))
		}
		if !note {
			continue
		}
		name, value, _ := strings.Cut(string(field), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimRight(name, " \t")) {
		case "x-imap":
			imap = true
		case "status":
			n.letters(value, 'R', `\Seen`)
		case "x-status":
			n.letters(value, 'A', `\Answered`, 'F', `\Flagged`, 'D', `\Deleted`, 'T', `\Draft`)
		case "x-keywords", "x-mozilla-keys":
			for _, word := range strings.Fields(value) {
				n.add(word)
			}
		case "x-mozilla-status":
			n.mozilla(value)
		case "content-length":
			if length, err := strconv.ParseInt(value, 10, 64); err == nil && length >= 0 && length < 1<<50 {
				n.Length = length
			}
		}
	}
	n.Internal = imap && internal
	return n
}

func (n *Notes) add(flag string) {
	if !slices.Contains(n.Flags, flag) {
		n.Flags = append(n.Flags, flag)
	}
}

// letters adds the flag that follows each letter of the value.
func (n *Notes) letters(value string, pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		if strings.ContainsRune(value, pairs[i].(rune)) {
			n.add(pairs[i+1].(string))
		}
	}
}

// mozilla reads the bits of X-Mozilla-Status, four hexadecimal digits
// (nsMsgMessageFlags.idl).
func (n *Notes) mozilla(value string) {
	bits, err := strconv.ParseUint(value, 16, 16)
	if err != nil {
		return
	}
	for _, flag := range []struct {
		bit  uint64
		name string
	}{{1, `\Seen`}, {2, `\Answered`}, {4, `\Flagged`}, {8, `\Deleted`}, {0x1000, "$Forwarded"}} {
		if bits&flag.bit != 0 {
			n.add(flag.name)
		}
	}
}

// Header looks at the header that is ahead, at most limit bytes of it.
func (w *Window) Header() []byte {
	for n := 4 << 10; ; n *= 4 {
		ahead := w.Ahead(n)
		if end := identity.HeaderEnd(ahead[:min(len(ahead), identity.MaxHeader)]); end >= 0 {
			return ahead[:end]
		}
		if len(ahead) >= identity.MaxHeader || w.Ended() {
			return ahead[:min(len(ahead), identity.MaxHeader)]
		}
	}
}
