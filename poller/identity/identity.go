// Package identity tells whether two texts are one mail, though programs have written
// notes into its header: Status, X-Keywords and their like.
package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"hash"
)

// Identity is of a mail's bytes: their SHA-256 without the notes of its header, so
// that it stays the same when the mail is marked as seen. The bytes are written to it.
type Identity struct {
	size   int64
	sum    hash.Hash
	header []byte // that was not hashed yet
	looked int    // bytes of it that have no end of a header
	body   bool   // the header was hashed
}

// New begins a mail.
func New() *Identity { return &Identity{sum: sha256.New()} }

// Of is the identity of a whole mail.
func Of(mail []byte) [sha256.Size]byte {
	i := New()
	_, _ = i.Write(mail)
	return i.Sum()
}

// TextOf is the identity of a whole mail as String gives it.
func TextOf(mail []byte) string {
	i := New()
	_, _ = i.Write(mail)
	return i.String()
}

// Reset begins another mail.
func (i *Identity) Reset() {
	i.sum.Reset()
	i.size, i.header, i.looked, i.body = 0, i.header[:0], 0, false
}

// Write takes bytes of the mail in. It never fails.
func (i *Identity) Write(p []byte) (int, error) {
	n := len(p)
	i.size += int64(n)
	if !i.body {
		taken := min(n, MaxHeader-len(i.header))
		i.header = append(i.header, p[:taken]...)
		p = p[taken:]
		end := HeaderEnd(i.header[i.looked:])
		if end < 0 && len(i.header) < MaxHeader {
			i.looked = startOfLine(i.header)
			return n, nil
		}
		i.endHeader(i.looked + end)
	}
	_, _ = i.sum.Write(p)
	return n, nil
}

// startOfLine is where the last line of b begins. A CR may be the begin of an
// empty one.
func startOfLine(b []byte) int {
	at := len(b)
	for at > 0 && b[at-1] != '\n' {
		at--
	}
	return at
}

// endHeader hashes the header, of which the fields end at end, if anywhere.
func (i *Identity) endHeader(end int) {
	i.body = true
	if end < i.looked {
		end = len(i.header)
	}
	from := 0 // of what was not hashed, and has no note
	for at := 0; at < end; {
		field, note := CutField(i.header[at:end])
		if note {
			_, _ = i.sum.Write(i.header[from:at])
			from = at + len(field)
		}
		at += len(field)
	}
	_, _ = i.sum.Write(i.header[from:])
}

// Size is how many bytes were written.
func (i *Identity) Size() int64 { return i.size }

// Sum ends the mail.
func (i *Identity) Sum() [sha256.Size]byte {
	if !i.body {
		i.endHeader(-1)
	}
	return [sha256.Size]byte(i.sum.Sum(nil))
}

// String ends the mail and gives its sum in base64, as URLs have it.
func (i *Identity) String() string {
	sum := i.Sum()
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
