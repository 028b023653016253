package mailfile

import (
	"crypto/sha256"
	"encoding/base64"
	"hash"
)

// identity makes the id of a mail from its bytes: their SHA-256 without the notes
// of its header, so that it stays the same when the mail is marked as seen.
type identity struct {
	size   int64
	sum    hash.Hash
	header []byte // that was not hashed yet
	looked int    // bytes of it that have no end of a header
	body   bool   // the header was hashed
}

// Identity gives the id that a mail has in a file of many mails. Two of one id
// differ in nothing but notes.
func Identity(mail []byte) string {
	i := newIdentity()
	_, _ = i.Write(mail)
	return i.id()
}

func newIdentity() *identity { return &identity{sum: sha256.New()} }

func (i *identity) reset() {
	i.sum.Reset()
	i.size, i.header, i.looked, i.body = 0, i.header[:0], 0, false
}

// Write takes bytes of the mail in. It never fails.
func (i *identity) Write(p []byte) (int, error) {
	n := len(p)
	i.size += int64(n)
	if !i.body {
		taken := min(n, maxHeader-len(i.header))
		i.header = append(i.header, p[:taken]...)
		p = p[taken:]
		end := headerEnd(i.header[i.looked:])
		if end < 0 && len(i.header) < maxHeader {
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
func (i *identity) endHeader(end int) {
	i.body = true
	if end < i.looked {
		end = len(i.header)
	}
	for fields := i.header[:end]; len(fields) > 0; {
		field, note := cutField(fields)
		if !note {
			_, _ = i.sum.Write(field)
		}
		fields = fields[len(field):]
	}
	_, _ = i.sum.Write(i.header[end:])
}

// id ends the mail and gives its id.
func (i *identity) id() string {
	if !i.body {
		i.endHeader(-1)
	}
	return base64.RawURLEncoding.EncodeToString(i.sum.Sum(nil))
}
