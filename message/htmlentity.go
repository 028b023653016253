package message

import (
	_ "embed"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// htmlEntities are the named character references of WHATWG HTML 13.5, one a line
// and sorted: the name, ";" or " " for those that browsers know without a
// semicolon too, and what it stands for. It is sought in as it is, because a map
// would have to be built by every program that starts.
//
//go:embed htmlentities.txt
var htmlEntities string

const (
	longestEntity = 31 // CounterClockwiseContourIntegral
	longestLegacy = 6  // without a semicolon
)

// characterReference decodes the reference that text begins with. Where there is
// none, it is the "&" alone. In an attribute, "&copy=" is no reference but part
// of a URL.
func characterReference(text string, inAttribute bool) (value string, size int) {
	if strings.HasPrefix(text, "&#") {
		return numericReference(text)
	}
	end := 1
	for end < len(text) && end <= longestEntity+1 && isAlphanumeric(text[end]) {
		end++
	}
	name := text[1:end]
	if end < len(text) && text[end] == ';' {
		if value, _ := entity(name); value != "" {
			return value, end + 1
		}
	}
	if inAttribute && end < len(text) && text[end] == '=' {
		return "&", 1
	}
	for n := min(len(name), longestLegacy); n >= 2; n-- {
		if inAttribute && n < len(name) {
			break
		}
		if value, legacy := entity(name[:n]); legacy {
			return value, 1 + n
		}
	}
	return "&", 1
}

// entity finds a name; legacy says that it needs no semicolon.
func entity(name string) (value string, legacy bool) {
	switch name {
	case "nbsp":
		return "\u00a0", true
	case "NewLine":
		return "\n", false
	case "Tab":
		return "\t", false
	}
	for rest := htmlEntities; rest != ""; {
		middle := len(rest) / 2
		start := strings.LastIndexByte(rest[:middle], '\n') + 1
		end := start + strings.IndexByte(rest[start:], '\n')
		line := rest[start:end]
		separator := strings.IndexAny(line, "; ")
		switch strings.Compare(name, line[:separator]) {
		case 0:
			return line[separator+1:], line[separator] == ' '
		case -1:
			rest = rest[:start]
		default:
			rest = rest[end+1:]
		}
	}
	return "", false
}

// numericReference decodes "&#8364;" and "&#x20ac;".
func numericReference(text string) (value string, size int) {
	end, base := len("&#"), uint32(10)
	if end < len(text) && text[end]|0x20 == 'x' {
		end, base = end+1, 16
	}
	digits := end
	number := uint32(0)
	for ; end < len(text); end++ {
		digit := digitOf(text[end])
		if digit >= base {
			break
		}
		number = min(number*base+digit, utf8.MaxRune+1)
	}
	if end == digits {
		return "&", 1
	}
	if end < len(text) && text[end] == ';' {
		end++
	}
	r := rune(number)
	switch {
	case 0x80 <= number && number < 0xa0: // meant as windows-1252
		r = charmap.Windows1252.DecodeByte(byte(number))
	case number == 0 || !utf8.ValidRune(r):
		r = utf8.RuneError
	}
	return string(r), end
}

func digitOf(c byte) uint32 {
	switch {
	case '0' <= c && c <= '9':
		return uint32(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return uint32(c|0x20-'a') + 10
	}
	return 255
}

func isAlphanumeric(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' }
