package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Origin is where a polled mail is: which of its rows in table source_messages is
// written with it. It goes with a delivery to one recipient.
type Origin struct {
	Source, Folder int64  // source_id, folder_id
	ID             string // as the folder gives it, any bytes
	Content        []byte // 16 bytes by which the mail is known again, or nil
	Stamp          string // what else the folder says of it, or ""
}

func (o *Origin) id() string { return SourceID(o.ID) }

// SourceID is the id of a mail in its folder as table source_messages has it. File
// names are any bytes: what is not UTF-8 is written \xHH and a backslash twice, so
// that no two become one. What is too long for an index is cut and told apart by
// its hash.
func SourceID(id string) string {
	text := id
	if !utf8.ValidString(id) || strings.ContainsAny(id, "\\\x00") {
		var b strings.Builder
		for rest := id; rest != ""; {
			r, n := utf8.DecodeRuneInString(rest)
			switch {
			case r == '\\':
				b.WriteString(`\\`)
			case r == utf8.RuneError && n == 1, r == 0:
				fmt.Fprintf(&b, `\x%02x`, rest[0])
			default:
				b.WriteString(rest[:n])
			}
			rest = rest[n:]
		}
		text = b.String()
	}
	if len(text) <= maxIndexed {
		return text
	}
	sum := sha256.Sum256([]byte(id))
	return strings.ToValidUTF8(text[:maxIndexed-2*len(sum)-len("…")], "") + "…" + hex.EncodeToString(sum[:])
}
