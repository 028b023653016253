package message

import (
	"bytes"
	"testing"

	collected "mailrow/internal/corpus"
)

// The real mail of the corpus, and what a single mail with an attachment costs.
func BenchmarkParseBody(b *testing.B) {
	line := []byte("VGhpcyBpcyBhIGxpbmUgb2YgYmFzZTY0IHRleHQgaW4gdGhlIGJvZHkgb2YgYSBtYWlsLCA3NiBi\r\n")
	attachment := []byte("Subject: x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n--x\r\n" +
		"Content-Type: image/png; name=x.png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		string(bytes.Repeat(line, 16<<20/len(line))) + "--x--\r\n")
	b.Run("base64", func(b *testing.B) {
		b.SetBytes(int64(len(attachment)))
		b.ReportAllocs()
		for b.Loop() {
			Parse(attachment)
		}
	})
	b.Run("real", func(b *testing.B) {
		dir, err := collected.Find()
		if err != nil {
			b.Skip(err)
		}
		mails, err := collected.Real(dir)
		if err != nil {
			b.Fatal(err)
		}
		size := 0
		for _, mail := range mails {
			size += len(mail.Raw)
		}
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			for _, mail := range mails {
				Parse(mail.Raw)
			}
		}
	})
}
