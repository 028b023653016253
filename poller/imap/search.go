package imap

import (
	"fmt"
	"strings"

	"mailrow/poller/imap/client"
)

// Criteria makes a command's arguments of a search as people write it, with a
// blank before. Text that is not ASCII goes as literals, for a quoted string cannot
// hold it.
func Criteria(search string) (*client.Command, error) {
	bad := func(what string) (*client.Command, error) {
		return nil, fmt.Errorf("read search %q: %s: write for example UNSEEN FROM \"ann\" SINCE 1-Jan-2026", search, what)
	}
	if strings.ContainsAny(search, "\r\n\x00") {
		return bad("there is a line end in it")
	}
	cmd := client.NewCommand("")
	if !ascii(search) {
		cmd.Add(" CHARSET UTF-8")
	}
	for rest := strings.TrimSpace(search); rest != ""; rest = strings.TrimLeft(rest, " ") {
		if rest[0] == '"' {
			text, after, ok := cutQuoted(rest)
			if !ok {
				return bad("a quotation mark has no partner")
			}
			cmd.Add(" ").AddString(text)
			rest = after
			continue
		}
		word, after, _ := strings.Cut(rest, " ")
		if ascii(word) && !strings.Contains(word, "{") { // it would begin a literal, which the server waits for
			cmd.Add(" " + word)
		} else {
			cmd.Add(" ").AddString(word)
		}
		rest = after
	}
	return cmd, nil
}

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }) < 0
}

// cutQuoted cuts the quoted string that a text begins with.
func cutQuoted(text string) (quoted, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}
