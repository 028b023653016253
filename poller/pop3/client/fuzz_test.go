package client_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mailrow/poller/dial"
	"mailrow/poller/pop3/client"
)

// stuffed is a mail as RFC 1939 3 wants it sent. One that does not end with CRLF
// gets one.
func stuffed(mail []byte) []byte {
	if len(mail) > 0 && !bytes.HasSuffix(mail, []byte("\r\n")) {
		mail = append(bytes.Clone(mail), "\r\n"...)
	}
	text := bytes.ReplaceAll(mail, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(text, []byte(".")) {
		text = append([]byte("."), text...)
	}
	return append(text, ".\r\n"...)
}

// What is sent as the RFC says comes out as it was, in whatever pieces it comes and
// is read.
func FuzzMail(f *testing.F) {
	for _, mail := range []string{
		"", ".", "..", ".\r\n", "\r\n", "a\r\n.\r\nb", "a\r\n..\r\n", "\r\r\n.", "\n.\r\n", "\r\n.\n", "a\r\n.\rb", "x\r\n" + strings.Repeat(".\r\n", 50),
		strings.Repeat("x", 70_000) + "\r\n.", "\x00\xff\r",
	} {
		for _, piece := range []uint16{1, 2, 3, 64, 4096} {
			f.Add([]byte(mail), piece)
		}
	}
	f.Fuzz(func(t *testing.T, mail []byte, piece uint16) {
		if len(mail) > 1<<17 {
			t.Skip("large mails are like others")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		sent := stuffed(mail)
		go serve(l, sent, max(1, int(piece)))
		addr := l.Addr().(*net.TCPAddr)
		c, err := client.Dial(t.Context(), &dial.Server{Host: "127.0.0.1", Port: addr.Port, Security: dial.Clear, Timeouts: dial.Timeouts{Read: 5 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := mail
		if len(mail) > 0 && !bytes.HasSuffix(mail, []byte("\r\n")) {
			want = append(bytes.Clone(mail), "\r\n"...)
		}
		for range 2 {
			m, err := c.Retrieve(t.Context(), 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			var r io.Reader = m
			if piece%2 == 1 {
				r = iotest.OneByteReader(m)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%.100q, %v, want %.100q", got, err, want)
			}
		}
	})
}

// serve answers RETR with a text, in pieces.
func serve(l net.Listener, text []byte, piece int) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	answer := []byte("+OK ready\r\n")
	for {
		for len(answer) > 0 {
			n := min(len(answer), piece)
			if _, err := conn.Write(answer[:n]); err != nil {
				return
			}
			answer = answer[n:]
			if piece < 64 {
				piece *= 2 // many small writes take their time
			}
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		answer = []byte("-ERR\r\n")
		if strings.HasPrefix(line, "RETR") {
			answer = append([]byte("+OK\r\n"), text...)
		}
	}
}
