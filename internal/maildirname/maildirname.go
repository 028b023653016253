// Package maildirname is what Maildir puts into names of files and folders:
// flags, and the names of mailboxes.
package maildirname

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mailrow/internal/imaputf7"
)

// flags of the letters after ":2,", in the order in which they are written
// (https://cr.yp.to/proto/maildir.html; P is there "passed on").
var flags = []struct {
	letter byte
	flag   string
}{
	{'D', `\Draft`}, {'F', `\Flagged`}, {'P', `$Forwarded`}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`},
}

// Letters gives the letters of those flags that have one, sorted. Keywords have
// none.
func Letters(names []string) string {
	var letters []byte
	for _, f := range flags {
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, f.flag) }) {
			letters = append(letters, f.letter)
		}
	}
	return string(letters)
}

// Flags gives the flags of letters, then the keywords that Dovecot writes as a
// to z. Letters without a name are left out.
func Flags(letters string, keywords *[26]string) []string {
	var names []string
	for _, f := range flags {
		if strings.IndexByte(letters, f.letter) >= 0 {
			names = append(names, f.flag)
		}
	}
	for i, keyword := range keywords {
		if keyword != "" && strings.IndexByte(letters, 'a'+byte(i)) >= 0 && !slices.Contains(names, keyword) {
			names = append(names, keyword)
		}
	}
	return names
}

// escape is as Dovecot's plugin listescape has it.
var (
	escape   = strings.NewReplacer(".", `\2e`, `\`, `\5c`)
	unescape = strings.NewReplacer(`\2e`, ".", `\2E`, ".", `\5c`, `\`, `\5C`, `\`)
)

// Folder gives the Maildir++ folder of a mailbox: its steps after dots, in
// modified UTF-7. A dot in a step, or nothing between two slashes, is written as
// a backslash and two digits.
func Folder(mailbox string) string {
	var b strings.Builder
	for step := range strings.SplitSeq(mailbox, "/") {
		b.WriteByte('.')
		if step == "" {
			b.WriteString(`\2f`)
		}
		b.WriteString(imaputf7.Encode(escape.Replace(step)))
	}
	return b.String()
}

// Mailbox gives the mailbox of a Maildir++ folder. A step that is not modified
// UTF-7 is what it is.
func Mailbox(folder string) string {
	var steps []string
	for step := range strings.SplitSeq(strings.TrimPrefix(folder, "."), ".") {
		if step == `\2f` {
			step = ""
		}
		steps = append(steps, unescape.Replace(Step(step)))
	}
	return strings.Join(steps, "/")
}

// Step gives the name of one folder of a file system, in modified UTF-7 or as
// text.
func Step(name string) string {
	if text, err := imaputf7.Decode(name); err == nil {
		return text
	}
	return Text(name)
}

// Text makes a name text: bytes that are not UTF-8 become a backslash and two
// digits.
func Text(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for name != "" {
		r, size := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\%02x`, name[0])
		} else {
			b.WriteString(name[:size])
		}
		name = name[size:]
	}
	return b.String()
}
