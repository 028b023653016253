package mbox

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// Whatever the bytes: the pieces cover the file, each mail is a part of its piece,
// and the piece alone is that mail.
func FuzzReader(f *testing.F) {
	f.Add([]byte(ann+"A: 1\n\n>From x\n\n"+bob+"Content-Length: 4\n\nx\n\n"+ann), false)
	f.Add([]byte("From -\r\nA: 1\r\n\r\nFrom -\r\nStatus: RO\r\n\r\n\r\n"), true)
	f.Add([]byte("\n\xef\xbb\xbf"+patchLine+"A: 1\n\n"+patchLine+"A: 1\n"), false)
	f.Add([]byte("From mboxrd@z Thu Jan  1 00:00:00 1970\n>>From \n>\n\n"), false)
	f.Fuzz(func(t *testing.T, file []byte, rd bool) {
		o := Options{}
		if rd {
			o.Dialect = RD
		}
		r := NewReader(bytes.NewReader(file), o)
		slow, err := readAll(NewReader(iotest.HalfReader(bytes.NewReader(file)), o))
		if err != nil && len(slow) > 0 {
			t.Fatal(err)
		}
		end := int64(-1)
		for i := 0; ; i++ {
			m, err := r.Next()
			if err != nil {
				if err == io.EOF && (i != len(slow) || i > 0 && end != int64(len(file))) {
					t.Fatalf("%d mails end at %d of %d, and %d read slowly", i, end, len(file), len(slow))
				}
				return
			}
			if i > 0 && m.Start != end {
				t.Fatalf("mail %d begins at %d, the one before ends at %d", i, m.Start, end)
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			end = r.End()
			piece := file[m.Start:end]
			if !r.rd && !bytes.Contains(piece, raw) {
				t.Fatalf("mail %q is not in its piece %q", raw, piece)
			}
			if lost := len(piece) - len(firstLine(piece)) - len(raw); lost < 0 || !r.rd && lost > 2 {
				t.Fatalf("%d bytes of %q are not in %q", lost, piece, raw)
			}
			if string(raw) != slow[i] {
				t.Fatalf("mail %d is %q, and read slowly %q", i, raw, slow[i])
			}
			alone, err := readAll(form{o}.NewPiece(io.NewSectionReader(bytes.NewReader(file), m.Start, end-m.Start), nil))
			if err != nil || len(alone) != 1 || alone[0] != string(raw) {
				t.Fatalf("mail %d is %q, and alone %q: %v", i, raw, alone, err)
			}
		}
	})
}
