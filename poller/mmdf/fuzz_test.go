package mmdf

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// Whatever the bytes: the pieces follow each other, and each piece alone is its
// mail.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x01\x01\x01\x01\nFrom a@b Tue Mar  3 10:00:00 2026\nA: 1\n\nx\n\x01\x01\x01\x01\n\x01\x01\x01\x01\nA: 2\n\x01\x01\x01\x01\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		slow, err := readAll(NewReader(iotest.HalfReader(bytes.NewReader(file)), Options{}))
		if err != nil {
			return
		}
		r := NewReader(bytes.NewReader(file), Options{})
		end := int64(-1)
		for i := 0; ; i++ {
			m, err := r.Next()
			if err == io.EOF {
				if rest := bytes.Trim(file[max(end, 0):], "\r\n"); i != len(slow) || i > 0 && len(rest) > 0 {
					t.Fatalf("%d mails, and %d read slowly; %q is left", i, len(slow), rest)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && m.Start != end {
				t.Fatalf("mail %d begins at %d, the one before ends at %d", i, m.Start, end)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatal(err)
			}
			end = r.End()
			piece := form{}.NewPiece(io.NewSectionReader(bytes.NewReader(file), m.Start, end-m.Start), file)
			alone, err := readAll(piece.(*Reader))
			if err != nil || len(alone) != 1 || alone[0] != slow[i] {
				t.Fatalf("mail %d is %q, and alone %q: %v", i, slow[i], alone, err)
			}
		}
	})
}
