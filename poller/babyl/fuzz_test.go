package babyl

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// Whatever the bytes: the pieces follow each other, and each piece alone is its
// mail.
func FuzzReader(f *testing.F) {
	f.Add([]byte("BABYL OPTIONS:\n\x1f\f\n1, unseen,,\nA: 1\n\n*** EOOH ***\nA: 1\n\nx\n\x1f\f\n0,,\n*** EOOH ***\nA: 2\n\x1f\n"))
	f.Add([]byte("BABYL OPTIONS: -*- rmail -*-\r\n\x1f\f\r\n1,,\r\nA: 1\r\n\r\n*** EOOH ***\r\n\r\n\x1f"))
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
