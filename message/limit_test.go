package message

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestBodyLimits(t *testing.T) {
	part := "--x\n\na\n"
	deep := "Content-Type: multipart/mixed; boundary=b0\n\n"
	for i := range 150 {
		deep += fmt.Sprintf("--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	files := strings.Repeat("begin 644 a\n#86)C\nend\n", MaxParts+5)
	for _, test := range []struct {
		name, raw string
		defect    Defect
		parts     int
		check     func(m *Message) bool
	}{
		{"parts", "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat(part, MaxParts+5) + "--x--\n", DefectTooManyParts, MaxParts,
			func(m *Message) bool { p := m.Parts[MaxParts-1]; return p.Type == typeOpaque && p.Size > 6*5 }},
		{"messages", "Content-Type: message/rfc822\n\n" + strings.Repeat("Content-Type: message/rfc822\n\n", 150), DefectTooDeep, MaxDepth, func(m *Message) bool {
			return m.Parts[maxNestedFiles-1].Attachment && !m.Parts[maxNestedFiles].Attachment
		}},
		{"encoded messages", strings.Repeat("Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n", 150), DefectTooDeep, 1 + maxUnpackedDepth, nil},
		{"multiparts", deep, DefectTooDeep, MaxDepth, func(m *Message) bool { return m.Parts[MaxDepth-1].Type == "multipart/mixed" }},
		{"files", "\n" + files, DefectTooManyParts, MaxParts - 1, nil},
		{"files before parts", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + files + part + part, DefectTooManyParts, MaxParts, nil},
		{"part header", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-ID: <a>\nX: " + strings.Repeat("y", MaxPartHeader) + "\nContent-Type: text/html\n\na\n--x--\n", DefectPartHeaderTooLarge, 2,
			func(m *Message) bool { return m.Parts[1].Type == typePlain && m.Parts[1].ContentID == "a" }},
		{"text", "Content-Type: text/plain; charset=koi8-r\n\n" + strings.Repeat("\xc1", MaxText), DefectTextTruncated, 1,
			func(m *Message) bool {
				return len(m.Text.Stored) == MaxText && !strings.Contains(m.Text.Stored, "\uFFFD")
			}},
		{"texts", "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\n"+strings.Repeat("\x81", MaxText/8)+"\n", 10), DefectTextTruncated, 11,
			func(m *Message) bool { return len(m.Text.Stored) > MaxText-4 }},
		{"text in utf-8", "\n" + strings.Repeat("\x81", MaxText), DefectTextTruncated, 1, nil},
		{"parameters", "Content-Type: text/plain" + strings.Repeat("; a=b", maxParameters) + "; charset=utf-8\n\n", DefectParameter, 1, nil},
	} {
		raw := []byte(test.raw)
		m := Parse(raw)
		if !slices.Contains(m.Defects, test.defect) || len(m.Parts) != test.parts || test.check != nil && !test.check(m) {
			t.Errorf("%s: %d parts, %d bytes of text, %v", test.name, len(m.Parts), len(m.Text.Stored), m.Defects)
		}
		for _, problem := range broken(raw, m) {
			t.Errorf("%s: %.500s", test.name, problem)
		}
	}
}

// Pieces have no limit: nothing of them is copied.
func TestLargeTextIsDerived(t *testing.T) {
	for _, encoding := range []string{"7bit", "quoted-printable"} {
		raw := []byte("Content-Transfer-Encoding: " + encoding + "\n\n" + strings.Repeat("a line of text, ä\n", MaxText/8))
		if m := Parse(raw); m.Text.Pieces == nil || m.Defects != nil {
			t.Errorf("%s: %+v, %v", encoding, m.Text, m.Defects)
		}
	}
}

// A mail is in memory once already. Parse must not copy it again.
func TestParseAllocatesLittle(t *testing.T) {
	content := bytes.Repeat([]byte("an attachment or a text; "), 400_000)
	for _, head := range []string{
		"Content-Type: image/png\nContent-Transfer-Encoding: base64",
		"Content-Type: text/plain\nContent-Transfer-Encoding: base64",
		"Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64",
		"Content-Type: image/png\nContent-Transfer-Encoding: quoted-printable",
		"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable",
		"Content-Type: text/plain; charset=utf-7",
		"Content-Type: application/pdf",
		"Content-Type: multipart/mixed; boundary=x",
		"Content-Type: multipart/mixed",
		"Content-Type: text/html",
	} {
		body := content
		if strings.HasSuffix(head, "base64") {
			body = wrap(content, 76, true)
		}
		raw := append([]byte(head+"\n\n"), body...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Parse(raw)
		runtime.ReadMemStats(&after)
		most := uint64(len(raw))*4/10 + 5<<20
		if strings.HasSuffix(head, "html") {
			most += 8 * MaxText // HTML is made plain text in memory
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%q: %d KiB for %d KiB", head, got>>10, len(raw)>>10)
		}
	}
}
