package mbox_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/poller/mbox"
	"mailrow/store/archive"
	"mailrow/store/export"
)

// What store/export writes comes back byte for byte, with the senders it can write.
func TestExported(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"From ", ">", ">From ", "\n", "\r\n", "\n\n", "\r", "From a@b Tue Mar  3 10:00:00 2026\n", "A: b\n", "Content-Length: 7\n", "x", "\x00\xff", strings.Repeat("y", 300_000)}
	senders := []string{"", "a@b", `"a b"@c`, `"a@b`, `a\`, "mboxrd@z", "ü@ü", "-", "Tue", "a!b"}
	for range 300 {
		var file bytes.Buffer
		var want []string
		target := export.NewStream(&file)
		for range random.IntN(6) {
			var mail strings.Builder
			for range random.IntN(12) {
				if i := random.IntN(len(pieces)); i < len(pieces)-1 || random.IntN(20) == 0 {
					mail.WriteString(pieces[i])
				}
			}
			m := archive.Mail{Sender: &senders[random.IntN(len(senders))], ReceivedAt: time.Unix(random.Int64N(4e9), 0)}
			err := target.Add(m, func(w io.Writer) error {
				for rest := mail.String(); len(rest) > 0; {
					n := 1 + random.IntN(len(rest))
					if _, err := io.WriteString(w, rest[:n]); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, mail.String())
		}
		if err := target.Close(); err != nil {
			t.Fatal(err)
		}
		text := file.String()
		var got []string
		for r := mbox.NewReader(&file, mbox.Options{Dialect: mbox.RD}); ; {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v: %.500q", err, text)
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(raw))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%.500q: %.2000s", text, diff)
		}
	}
}
