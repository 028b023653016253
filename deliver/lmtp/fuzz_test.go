package lmtp

import (
	"context"
	"strings"
	"testing"
)

// FuzzSession sends anything. Whatever it is, the session ends with its client, no
// memory is lost, and no reply is 5xx to a mail that was not asked to be refused.
func FuzzSession(f *testing.F) {
	f.Add(hello + "DATA\r\nx\r\n.\r\nQUIT\r\n")
	f.Add(hello + "BDAT 3\r\nabcBDAT 1 LAST\r\nxRSET\r\n")
	f.Add("LHLO m\r\nXFORWARD NAME=a ADDR=b\r\nMAIL FROM:<\"a\\\">\"@b> SIZE=10 RET=FULL\r\nRCPT TO:<@a:b@c> ORCPT=rfc822;+4\r\n")
	f.Fuzz(func(t *testing.T, send string) {
		server := newServer(&box{})
		server.Deliver = func(_ context.Context, m *Mail) []Reply { return forAll(m, Reply{250, "2.0.0", "stored"}) }
		conn := &spoken{Reader: strings.NewReader(send)}
		server.ServeConn(conn)
		if left := server.Memory.Left(); left != 4<<20 {
			t.Errorf("%d bytes of memory were not given back", 4<<20-left)
		}
		if strings.Contains(conn.replies.String(), "internal error") {
			t.Errorf("%q", conn.replies.String())
		}
	})
}

// spoken is a client that has said all that it has to say.
type spoken struct {
	*strings.Reader
	replies strings.Builder
}

func (s *spoken) Write(p []byte) (int, error) { return s.replies.Write(p) }
func (s *spoken) Close() error                { return nil }
