// Package imaputf7 is the modified UTF-7 of mailbox names (RFC 3501 5.1.3).
package imaputf7

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
)

var base64comma = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

func plain(r rune) bool { return r >= ' ' && r < 0x7f }

// Encode gives s in modified UTF-7. What is not UTF-8 in s becomes U+FFFD.
func Encode(s string) string {
	var b strings.Builder
	var other []rune
	flush := func() {
		if len(other) == 0 {
			return
		}
		var units []byte
		for _, unit := range utf16.Encode(other) {
			units = append(units, byte(unit>>8), byte(unit))
		}
		b.WriteString("&" + base64comma.EncodeToString(units) + "-")
		other = other[:0]
	}
	for _, r := range s {
		if !plain(r) {
			other = append(other, r)
			continue
		}
		flush()
		b.WriteByte(byte(r))
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

// Decode gives what Encode made s of. Any other s is an error: a name that does
// not come back the same would name another mailbox.
func Decode(s string) (string, error) {
	var b strings.Builder
	for rest := s; rest != ""; {
		text, shifted, found := strings.Cut(rest, "&")
		b.WriteString(text)
		if !found {
			break
		}
		code, after, _ := strings.Cut(shifted, "-")
		rest = after
		if code == "" {
			b.WriteByte('&')
			continue
		}
		units, err := base64comma.DecodeString(code)
		if err != nil {
			return "", fmt.Errorf("decode modified UTF-7 of %q: %w", s, err)
		}
		var codes []uint16
		for i := 0; i+1 < len(units); i += 2 {
			codes = append(codes, uint16(units[i])<<8|uint16(units[i+1]))
		}
		b.WriteString(string(utf16.Decode(codes)))
	}
	if Encode(b.String()) != s {
		return "", fmt.Errorf("decode modified UTF-7 of %q: nothing is written so", s)
	}
	return b.String(), nil
}
