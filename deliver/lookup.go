package deliver

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"mailrow/message"
	"mailrow/store"
)

// maxName is the longest recipient, account or mailbox name in bytes: a row of
// a PostgreSQL index must stay under 2.7 kB. RFC 5321 4.5.3.1 ends at 256.
const maxName = 1000

// bounded cuts a longer name, and keeps it distinct by a hash of the whole.
func bounded(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	head := strings.ToValidUTF8(name[:maxName-70], "")
	return head + "…" + hex.EncodeToString(sum[:])
}

// Lookup says which routes and which account a recipient has; its address is as
// message.ForwardPath gives it. Accounts and routes are in lower case: nobody
// gives one person two accounts for the two ways to write an address.
func Lookup(to message.Recipient, delimiters string) store.Lookup {
	address, _ := message.Clean(to.Address)
	local, domain := message.SplitPath(address)
	extension, _ := message.Clean(to.Extension)
	base, delimiter := local, ""
	switch {
	case extension != "":
		base, delimiter = withoutExtension(local, extension)
		if delimiter == "" && delimiters != "" {
			// The MTA took the extension off already.
			delimiter = delimiters[:1]
		}
	case delimiters != "":
		if at := strings.IndexAny(local, delimiters); at > 0 {
			base, delimiter, extension = local[:at], local[at:at+1], local[at+1:]
		}
	}
	l := store.Lookup{
		Address:   bounded(strings.ToLower(message.JoinPath(local, domain))),
		Base:      bounded(strings.ToLower(message.JoinPath(base, domain))),
		Extension: bounded(extension),
	}
	if delimiter != "" {
		l.Wildcard = bounded(strings.ToLower(message.JoinPath(base+delimiter+"*", domain)))
	}
	return l
}

// withoutExtension takes a known extension and the delimiter before it off a
// local part; MTAs may change its case.
func withoutExtension(local, extension string) (base, delimiter string) {
	cut := len(local) - len(extension) - 1
	if cut <= 0 || !strings.EqualFold(local[cut+1:], extension) {
		return local, ""
	}
	return local[:cut], local[cut : cut+1]
}
