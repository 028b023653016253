package collection

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

func maildirFlags(name string) (flags []string) {
	_, info, found := strings.Cut(name, ":2,")
	if !found {
		return nil
	}
	for _, letter := range info {
		switch letter {
		case 'D':
			flags = append(flags, `\Draft`)
		case 'F':
			flags = append(flags, `\Flagged`)
		case 'P':
			flags = append(flags, `$Forwarded`)
		case 'R':
			flags = append(flags, `\Answered`)
		case 'S':
			flags = append(flags, `\Seen`)
		case 'T':
			flags = append(flags, `\Deleted`)
		}
	}
	return flags
}

func maildirLevels(step string) (levels []string) {
	for level := range strings.SplitSeq(step[1:], ".") {
		levels = append(levels, decodeName(level))
	}
	return levels
}

func decodeName(name string) string {
	var b strings.Builder
	for name != "" {
		before, rest, found := strings.Cut(name, "&")
		b.WriteString(before)
		if !found {
			break
		}
		code, after, found := strings.Cut(rest, "-")
		if !found {
			return name
		}
		if code == "" {
			b.WriteByte('&')
		}
		raw, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(code, ",", "/"))
		if err != nil || len(raw)%2 != 0 {
			return name
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		b.WriteString(string(utf16.Decode(units)))
		name = after
	}
	return b.String()
}
