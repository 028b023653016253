package client

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Modified base64 of RFC 3501 5.1.3: "," in place of "/", no padding.
var modified = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// EncodeName spells the name of a mailbox as this server does: in modified UTF-7,
// unless names are UTF-8.
func (c *Conn) EncodeName(name string) string {
	if c.utf8() {
		return name
	}
	return EncodeUTF7(name)
}

// DecodeName reads the name of a mailbox as the server spells it.
func (c *Conn) DecodeName(name string) string {
	if c.utf8() {
		return strings.ToValidUTF8(name, "\uFFFD")
	}
	return DecodeUTF7(name)
}

const inbox = "INBOX"

// Display is the name of a mailbox as people know it: without the prefix that all
// of ours have on some servers, its levels divided by "/".
func (ns *Namespace) Display(c *Conn, l Listed) string {
	if strings.EqualFold(l.Name, inbox) {
		return inbox
	}
	wire := strings.TrimPrefix(l.Name, ns.Prefix)
	name := c.DecodeName(wire)
	if l.Delimiter != "" && l.Delimiter != "/" {
		name = strings.ReplaceAll(name, l.Delimiter, "/")
	}
	return name
}

// Spell makes a name, or a pattern, what the server would call it.
func (ns *Namespace) Spell(c *Conn, name string) string {
	if d := ns.Delimiter; d != "" && d != "/" {
		name = strings.ReplaceAll(name, "/", d)
	}
	return c.EncodeName(name)
}

// Own puts a name, as the server spells it, among our own mailboxes.
func (ns *Namespace) Own(wire string) string {
	if strings.HasPrefix(wire, ns.Prefix) || strings.EqualFold(wire, inbox) {
		return wire
	}
	return ns.Prefix + wire
}

// EncodeUTF7 writes modified UTF-7.
func EncodeUTF7(name string) string {
	var b strings.Builder
	for name != "" {
		n := strings.IndexFunc(name, func(r rune) bool { return r == '&' || !printable(r) })
		if n < 0 {
			n = len(name)
		}
		b.WriteString(name[:n])
		if name = name[n:]; name == "" {
			break
		}
		if name[0] == '&' {
			b.WriteString("&-")
			name = name[1:]
			continue
		}
		end := strings.IndexFunc(name, func(r rune) bool { return r == '&' || printable(r) })
		if end < 0 {
			end = len(name)
		}
		var units []byte
		for _, unit := range utf16.Encode([]rune(name[:end])) {
			units = append(units, byte(unit>>8), byte(unit))
		}
		b.WriteString("&" + modified.EncodeToString(units) + "-")
		name = name[end:]
	}
	return b.String()
}

func printable(r rune) bool { return r >= ' ' && r < 0x7f }

// DecodeUTF7 reads modified UTF-7. What is none, such as UTF-8 from a server that
// knows no better, stays as it is.
func DecodeUTF7(name string) string {
	var b strings.Builder
	rest := strings.ToValidUTF8(name, "\uFFFD")
	for {
		before, after, found := strings.Cut(rest, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		shifted, tail, ended := strings.Cut(after, "-")
		text, ok := decodeShifted(shifted)
		if !ended || !ok {
			return name
		}
		b.WriteString(text)
		rest = tail
	}
}

func decodeShifted(shifted string) (string, bool) {
	if shifted == "" {
		return "&", true
	}
	units, err := modified.DecodeString(shifted)
	if err != nil || len(units)%2 != 0 {
		return "", false
	}
	var all []uint16
	for i := 0; i < len(units); i += 2 {
		all = append(all, uint16(units[i])<<8|uint16(units[i+1]))
	}
	text := string(utf16.Decode(all))
	return text, !strings.ContainsRune(text, utf8.RuneError)
}
