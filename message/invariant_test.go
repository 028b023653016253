package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// brokenBody returns which promises about the parts and the text do not hold.
func brokenBody(raw []byte, m *Message) []string {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if (len(m.Parts) == 0) != (len(raw) == 0) || len(m.Parts) > MaxParts {
		problem("%d parts of %d bytes", len(m.Parts), len(raw))
		return problems
	}
	sections := map[string]bool{}
	depth := make([]int, len(m.Parts))
	var unpacked int64
	for i := range m.Parts {
		p := &m.Parts[i]
		if sections[p.Section] || p.Section == "" {
			problem("part %d: section %q again", i, p.Section)
		}
		sections[p.Section] = true
		if p.HeaderStart < 0 || p.HeaderStart > p.BodyStart || p.BodyStart > p.BodyEnd || p.BodyEnd > len(raw) {
			problem("part %s is %d %d %d of %d", p.Section, p.HeaderStart, p.BodyStart, p.BodyEnd, len(raw))
			return problems
		}
		if i == 0 && (p.Parent != -1 || p.HeaderStart != 0 || p.BodyStart != m.HeaderSize || p.BodyEnd != len(raw) || p.Type != m.ContentType) {
			problem("root %+v", *p)
		}
		if i > 0 {
			if p.Parent < 0 || p.Parent >= i {
				problem("part %s: parent %d", p.Section, p.Parent)
				return problems
			}
			in := &m.Parts[p.Parent]
			depth[i] = depth[p.Parent] + 1
			if p.HeaderStart < in.BodyStart || p.BodyEnd > in.BodyEnd {
				problem("part %s %d..%d is not in %s %d..%d", p.Section, p.HeaderStart, p.BodyEnd, in.Section, in.BodyStart, in.BodyEnd)
			}
			// A child is in its parent and in no sibling that came before.
			if last := &m.Parts[i-1]; p.Content == nil && i-1 != p.Parent && p.HeaderStart < last.BodyEnd {
				problem("part %s begins before %s ends", p.Section, last.Section)
			}
		}
		if depth[i] > MaxDepth {
			problem("part %s is %d deep", p.Section, depth[i])
		}
		if !isType(p.Type) || p.Type != strings.ToLower(p.Type) || p.Encoding == "" {
			problem("part %s: type %q, encoding %q", p.Section, p.Type, p.Encoding)
		}
		content := p.Decode(raw)
		if int64(len(content)) != p.Size {
			problem("part %s has %d bytes, not %d", p.Section, len(content), p.Size)
		}
		if p.Content != nil {
			unpacked += p.Size
		} else if p.Wrapped != Odd {
			if want, err := unwrap(raw[p.BodyStart:p.BodyEnd], p.Wrapped); err != nil || !bytes.Equal(want, content) {
				problem("part %s is not derivable: %v, %q, %q", p.Section, err, want, content)
			}
		}
	}
	if unpacked > 4*int64(len(raw))+1<<20 {
		problem("%d bytes were unpacked out of %d", unpacked, len(raw))
	}
	for _, b := range []Body{m.Text, m.HTML} {
		problems = append(problems, brokenText(raw, m, b)...)
	}
	at := 0
	for _, c := range m.Cuts {
		problems = append(problems, brokenCut(raw, m, c)...)
		if c.Start < at {
			problem("cuts out of order at %d", c.Start)
		}
		at = c.End
	}
	return problems
}

// brokenText checks a text, and that SQL can derive it where Body says so.
func brokenText(raw []byte, m *Message, b Body) []string {
	var problems []string
	if len(b.Stored) > MaxText || b.Pieces != nil && b.Stored != "" || !b.Exists && (b.Pieces != nil || b.Stored != "") {
		problems = append(problems, fmt.Sprintf("%d pieces and %d bytes stored", len(b.Pieces), len(b.Stored)))
	}
	if strings.Contains(b.Stored, "\r\n") {
		problems = append(problems, "CRLF in a stored text")
	}
	text := b.String(raw)
	if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		problems = append(problems, fmt.Sprintf("not storable: %q", text))
	}
	if b.Pieces == nil {
		return problems
	}
	var derived []string
	for _, piece := range b.Pieces {
		content, err := unwrap(raw[piece.Start:piece.End], piece.Wrapped)
		if err != nil {
			problems = append(problems, fmt.Sprintf("piece %+v: %v", piece, err))
		}
		if piece.Windows1252 {
			if content, err = charmap.Windows1252.NewDecoder().Bytes(content); err != nil || strings.Contains(string(content), "\uFFFD") {
				problems = append(problems, fmt.Sprintf("piece %+v: %v, %q", piece, err, content))
			}
		}
		derived = append(derived, strings.ReplaceAll(string(content), "\r\n", "\n"))
	}
	if want := strings.Join(derived, "\n"); text != want {
		problems = append(problems, fmt.Sprintf("text is %q, derived %q", text, want))
	}
	if m.LineEnds == CR {
		problems = append(problems, "pieces of a mail with CR line ends")
	}
	return problems
}

// unwrap undoes a strict wrapping with other people's decoders.
func unwrap(body []byte, w Wrapping) ([]byte, error) {
	switch w {
	case Identity:
		return body, nil
	case QuotedPrintable:
		if bytes.HasSuffix(body, []byte("=")) || bytes.IndexByte(body, 0) >= 0 {
			return nil, fmt.Errorf("ends in = or has a NUL")
		}
		return unwrapQuotedPrintable(body)
	case Base64:
		clean := bytes.Map(func(r rune) rune {
			if strings.ContainsRune(" \t\r\n", r) {
				return -1
			}
			return r
		}, body)
		return base64.StdEncoding.DecodeString(string(clean))
	}
	return nil, fmt.Errorf("is odd")
}

// unwrapQuotedPrintable is the rule that is done in SQL: soft line breaks are
// removed, then each "=" takes two digits. The library agrees, where it lets
// the bytes pass.
func unwrapQuotedPrintable(body []byte) ([]byte, error) {
	text := strings.ReplaceAll(strings.ReplaceAll(string(body), "=\r\n", ""), "=\n", "")
	parts := strings.Split(text, "=")
	out := []byte(parts[0])
	for _, part := range parts[1:] {
		var c byte
		if len(part) < 2 {
			return nil, fmt.Errorf("escape %q", part)
		}
		if _, err := fmt.Sscanf(part[:2], "%02x", &c); err != nil {
			return nil, err
		}
		out = append(append(out, c), part[2:]...)
	}
	if lib, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body))); err == nil && !bytes.Contains(body, []byte("\r")) && !bytes.Equal(lib, out) {
		return nil, fmt.Errorf("the library reads %q", lib)
	}
	return out, nil
}

// brokenCut checks that a cut can be put back.
func brokenCut(raw []byte, m *Message, c Cut) []string {
	p := &m.Parts[c.Part]
	content := p.Decode(raw)
	got := wrap(content, c.LineLength, c.CRLF)
	if !bytes.Equal(got, raw[c.Start:c.End]) || c.Start < p.BodyStart || c.End > p.BodyEnd || len(content) < MinCut || p.Wrapped != Base64 {
		return []string{fmt.Sprintf("cut %+v does not give %q", c, raw[c.Start:c.End])}
	}
	return nil
}

func wrap(content []byte, length int, crlf bool) []byte {
	text := base64.StdEncoding.EncodeToString(content)
	if length == 0 {
		return []byte(text)
	}
	end := "\n"
	if crlf {
		end = "\r\n"
	}
	var lines []string
	for line := range slices.Chunk([]byte(text), length) {
		lines = append(lines, string(line))
	}
	return []byte(strings.Join(lines, end))
}

func TestCutsAreFound(t *testing.T) {
	content := bytes.Repeat([]byte("\x00\xff attachment"), 400)
	for _, length := range []int{0, 4, 60, 64, 72, 76, 7000, 1 << 20} {
		for _, crlf := range []bool{false, true} {
			for tail := range 6 {
				text := string(wrap(content[:len(content)-tail], length, crlf))
				for _, around := range []string{"", "\n", "\r\n\r\n", "\n \n"} {
					raw := []byte("Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n" + around + text + around)
					m := Parse(raw)
					for _, problem := range broken(raw, m) {
						t.Error(problem)
					}
					if len(m.Cuts) != 1 || string(raw[m.Cuts[0].Start:m.Cuts[0].End]) != text {
						t.Errorf("length %d, crlf %v, tail %d, around %q: %+v", length, crlf, tail, around, m.Cuts)
					}
				}
			}
		}
	}
}
