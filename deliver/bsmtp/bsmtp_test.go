package bsmtp

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNext(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, test := range []struct {
		name, batch string
		want        []Mail
		err         error
	}{
		{"empty", "", nil, io.EOF},
		{"one", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\nRCPT TO:<\"b > c\"@d>\nDATA\nA: b\n\n..dot\n.\n",
			[]Mail{{Sender: "s@x", Recipients: []string{"a@d", `"b > c"@d`}, Raw: []byte("A: b\n\n.dot\n")}}, io.EOF},
		{"crlf", "HELO h\r\nMAIL FROM:<>\r\nRCPT TO:<a@d> NOTIFY=NEVER\r\nDATA\r\nA: b\r\n\r\nx\ry\r\n.\r\n",
			[]Mail{{Helo: "h", Recipients: []string{"a@d"}, Raw: []byte("A: b\r\n\r\nx\ry\r\n")}}, io.EOF},
		{"two", "mail from:<s@x>\nrcpt to:<a@d>\ndata\n1\n.\nMAIL FROM:<s@x> SIZE=1\nRCPT TO:<@r:b@d>\nDATA\n2\n.\nQUIT\n",
			[]Mail{{Sender: "s@x", Recipients: []string{"a@d"}, Raw: []byte("1\n")},
				{Sender: "s@x", Recipients: []string{"b@d"}, Raw: []byte("2\n")}}, io.EOF},
		{"too large", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\nDATA\n" + long + long + "\n.\n",
			[]Mail{{Sender: "s@x", Recipients: []string{"a@d"}, TooLarge: true}}, io.EOF},
		{"long line", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\nDATA\n." + long + "\n.\n",
			[]Mail{{Sender: "s@x", Recipients: []string{"a@d"}, Raw: []byte(long + "\n")}}, io.EOF},
		{"line of dots", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\nDATA\n...\n.\r\r\n.x\n.\n",
			[]Mail{{Sender: "s@x", Recipients: []string{"a@d"}, Raw: []byte("..\n\r\r\nx\n")}}, io.EOF},
		{"no final dot", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\nDATA\nbody\n", nil, io.ErrUnexpectedEOF},
		{"ends in envelope", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\n", nil, io.ErrUnexpectedEOF},
		{"final dot without line end", "MAIL FROM:<s@x>\nRCPT TO:<a@d>\nDATA\nx\n.", nil, io.ErrUnexpectedEOF},
	} {
		r := NewReader(strings.NewReader(test.batch), make([]byte, 300_000))
		var got []Mail
		var err error
		for {
			var m *Mail
			if m, err = r.Next(); err != nil {
				break
			}
			copied := *m
			copied.Raw = []byte(string(m.Raw))
			if m.TooLarge {
				copied.Raw = nil
			}
			got = append(got, copied)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != test.err {
			t.Errorf("%s: error %v, want %v; %s", test.name, err, test.err, diff)
		}
	}
}

func TestNextRefusesWhatIsNoBatch(t *testing.T) {
	for _, batch := range []string{
		"Subject: a mail, not a batch\n\n", "RCPT TO:<a@d>\n", "DATA\n", "MAIL FROM:<s@x>\nDATA\n",
		"MAIL FROM:s@x\n", "MAIL FROM:<s@x\n", "MAIL FROM:<s@x>\nRCPT TO:<>\n", strings.Repeat("x", 100_000),
		"MAIL FROM:<a@x>\nMAIL FROM:<b@x>\n",
	} {
		_, err := NewReader(strings.NewReader(batch), make([]byte, 1000)).Next()
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.40q: got %v, want a SyntaxError", batch, err)
		}
	}
}
