package lmtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/budget"
)

// box keeps what was delivered, and replies by the local part of each recipient.
type box struct{ mails []Mail }

func (b *box) deliver(_ context.Context, m *Mail) []Reply {
	kept := *m
	kept.Raw = bytes.Clone(m.Raw)
	b.mails = append(b.mails, kept)
	replies := make([]Reply, len(m.Recipients))
	for i, to := range m.Recipients {
		switch {
		case strings.HasPrefix(to.Address, "nobody"):
			replies[i] = Reply{550, "5.1.1", "unknown recipient"}
		case strings.HasPrefix(to.Address, "panic"):
			panic("test")
		default:
			replies[i] = Reply{250, "2.0.0", "stored"}
		}
	}
	return replies
}

func newServer(b *box) *Server {
	return &Server{
		Deliver: b.deliver, Hostname: "mx.row.test", MaxSize: 1 << 20, MaxRecipients: 3, MaxClients: 10,
		Memory: budget.New(4 << 20), CommandTimeout: 5 * time.Second, DataTimeout: 5 * time.Second, DeliverTimeout: 5 * time.Second,
	}
}

// dial starts a session; what it returns is closed by the test's end.
func dial(t *testing.T, s *Server) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if left := s.Memory.Left(); left != 4<<20 {
			t.Errorf("%d bytes of memory were not given back", 4<<20-left)
		}
	})
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn.(*net.TCPConn)
}

// talk sends all at once, as a client that pipelines, and gives the replies.
func talk(t *testing.T, s *Server, send string) string {
	t.Helper()
	conn := dial(t, s)
	go func() {
		io.WriteString(conn, send) // what the server does not read it refuses in its replies
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %q: %v", got, err)
	}
	return string(got)
}

const hello = "LHLO mta.test\r\nMAIL FROM:<ann@row.test>\r\nRCPT TO:<bob@row.test>\r\n"

// codes gives the code of each reply, for lines that end one.
func codes(replies string) string {
	var list []string
	for line := range strings.SplitSeq(strings.TrimSuffix(replies, "\r\n"), "\r\n") {
		if len(line) < 4 || line[3] == '-' {
			continue
		}
		code, rest, _ := strings.Cut(line, " ")
		if enhanced, _, _ := strings.Cut(rest, " "); strings.Count(enhanced, ".") == 2 && enhanced[0] == code[0] {
			code += " " + enhanced
		}
		list = append(list, code)
	}
	return strings.Join(list, ", ")
}

func TestReplies(t *testing.T) {
	many := strings.Repeat("RCPT TO:<a@row.test>\r\n", 4)
	tests := []struct{ name, send, want string }{
		{"whole", hello + "DATA\r\nSubject: x\r\n\r\ny\r\n.\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 221 2.0.0"},
		{"a reply for each recipient, twice the same too",
			"LHLO m\r\nMAIL FROM:<>\r\nRCPT TO:<a@row.test>\r\nRCPT TO:<nobody@row.test>\r\nRCPT TO:<a@row.test>\r\nDATA\r\n\r\n.\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0, 550 5.1.1, 250 2.0.0, 221 2.0.0"},
		{"panic", "LHLO m\r\nMAIL FROM:<>\r\nRCPT TO:<panic@row.test>\r\nDATA\r\n\r\n.\r\nNOOP\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 354, 451 4.3.0, 250 2.0.0, 221 2.0.0"},
		{"panic is for all", "LHLO m\r\nMAIL FROM:<>\r\nRCPT TO:<a@row.test>\r\nRCPT TO:<panic@row.test>\r\nDATA\r\n\r\n.\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 354, 451 4.3.0, 451 4.3.0, 221 2.0.0"},
		{"HELO and EHLO", "HELO m\r\nEHLO m\r\nQUIT\r\n", "220, 500 5.5.1, 500 5.5.1, 221 2.0.0"},
		{"LHLO without a name", "LHLO\r\nQUIT\r\n", "220, 501 5.5.4, 221 2.0.0"},
		{"MAIL before LHLO", "MAIL FROM:<a@row.test>\r\nQUIT\r\n", "220, 503 5.5.1, 221 2.0.0"},
		{"RCPT before MAIL", "LHLO m\r\nRCPT TO:<a@row.test>\r\nQUIT\r\n", "220, 250, 503 5.5.1, 221 2.0.0"},
		{"DATA before RCPT", "LHLO m\r\nMAIL FROM:<>\r\nDATA\r\nQUIT\r\n", "220, 250, 250 2.1.0, 503 5.5.1, 221 2.0.0"},
		{"DATA with an argument", hello + "DATA x\r\nQUIT\r\n", "220, 250, 250 2.1.0, 250 2.1.5, 501 5.5.4, 221 2.0.0"},
		{"MAIL twice", "LHLO m\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nQUIT\r\n", "220, 250, 250 2.1.0, 503 5.5.1, 221 2.0.0"},
		{"RSET", hello + "RSET\r\nDATA\r\nQUIT\r\n", "220, 250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 503 5.5.1, 221 2.0.0"},
		{"bad path", "LHLO m\r\nMAIL FROM\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<a\r\nQUIT\r\n",
			"220, 250, 501 5.5.4, 250 2.1.0, 501 5.5.4, 501 5.5.4, 221 2.0.0"},
		{"too many recipients", "LHLO m\r\nMAIL FROM:<>\r\n" + many + "QUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 250 2.1.5, 452 4.5.3, 221 2.0.0"},
		{"size announced", "LHLO m\r\nMAIL FROM:<> SIZE=1048577\r\nMAIL FROM:<> SIZE=x\r\nQUIT\r\n",
			"220, 250, 552 5.3.4, 501 5.5.4, 221 2.0.0"},
		{"size met on the way", hello + "DATA\r\n" + strings.Repeat("0123456789abcdef\r\n", 60000) + ".\r\nNOOP\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 354, 552 5.3.4, 250 2.0.0, 221 2.0.0"},
		{"parameters", "LHLO m\r\nMAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>\r\n" +
			"RCPT TO:<a@row.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@row.test\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 221 2.0.0"},
		{"unknown parameters", "LHLO m\r\nMAIL FROM:<> X=1\r\nMAIL FROM:<>\r\nRCPT TO:<a@row.test> Y\r\nQUIT\r\n",
			"220, 250, 555 5.5.4, 250 2.1.0, 555 5.5.4, 221 2.0.0"},
		{"BDAT", hello + "BDAT 3\r\nabcBDAT 2 LAST\r\ndeQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0, 221 2.0.0"},
		{"BDAT without a mail eats its bytes", "LHLO m\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\nQUIT\r\n", "220, 250, 503 5.5.1, 250 2.0.0, 221 2.0.0"},
		{"BDAT without a size", hello + "BDAT x\r\n", "220, 250, 250 2.1.0, 250 2.1.5, 421 4.5.4"},
		{"BDAT too large", hello + "BDAT 1048577\r\n" + strings.Repeat("x", 1048577) + "BDAT 1 LAST\r\nxNOOP\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 552 5.3.4, 552 5.3.4, 250 2.0.0, 221 2.0.0"},
		{"DATA after BDAT", hello + "BDAT 1\r\nxDATA\r\nQUIT\r\n", "220, 250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 503 5.5.1, 221 2.0.0"},
		{"DATA of a binary mail", "LHLO m\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<a@row.test>\r\nDATA\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 503 5.5.1, 221 2.0.0"},
		{"unknown command", "FOO\r\n\r\nQUIT\r\n", "220, 500 5.5.2, 500 5.5.2, 221 2.0.0"},
		{"long command", "NOOP " + strings.Repeat("x", 200000) + "\r\nNOOP\r\nQUIT\r\n", "220, 500 5.5.2, 250 2.0.0, 221 2.0.0"},
		{"too many errors", strings.Repeat("FOO\r\n", 60), "220" + strings.Repeat(", 500 5.5.2", 51) + ", 421 4.7.0"},
		{"VRFY and NOOP", "VRFY bob\r\nnoop\r\nquit\r\n", "220, 252 2.5.0, 250 2.0.0, 221 2.0.0"},
		{"two mails", hello + "DATA\r\nx\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@row.test>\r\nDATA\r\ny\r\n.\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 221 2.0.0"},
		{"end amid the mail", hello + "DATA\r\nx\r\n", "220, 250, 250 2.1.0, 250 2.1.5, 354, 421 4.4.2"},
		{"end after a dot without its line end", hello + "DATA\r\nx\r\n.", "220, 250, 250 2.1.0, 250 2.1.5, 354, 421 4.4.2"},
		{"end amid BDAT", hello + "BDAT 9 LAST\r\nabc", "220, 250, 250 2.1.0, 250 2.1.5"},
		{"bad XFORWARD", "XFORWARD NAME\r\nXFORWARD FOO=1\r\nQUIT\r\n", "220, 501 5.5.4, 501 5.5.4, 221 2.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := codes(talk(t, newServer(&box{}), tt.send)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestBytesAreExact(t *testing.T) {
	long := strings.Repeat("0123456789", 100000)
	tests := []struct{ name, data, want string }{
		{"plain", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"empty", "", ""},
		{"stuffed dots", "..\r\n...x\r\na.\r\n", ".\r\n..x\r\na.\r\n"},
		{"dot without stuffing", ".x\r\n", "x\r\n"},
		{"lone LF is no line end", "a\n.\nb\n..\r\n", "a\n.\nb\n..\r\n"},
		{"lone CR is no line end", "a\r.\rb\r\n", "a\r.\rb\r\n"},
		{"LF and dot at the start", ".\n.\r\r\n", "\n.\r\r\n"},
		{"two CR before LF", "a\r\r\n", "a\r\r\n"},
		{"CR LF LF", "a\r\n\n.\n\r\n", "a\r\n\n.\n\r\n"},
		{"NUL and all bytes over 127", "a\x00b\x80\xff\r\n", "a\x00b\x80\xff\r\n"},
		{"a line of a million bytes", long + "\r\n", long + "\r\n"},
		{"a long line whose CR ends a buffer", strings.Repeat("x", 64<<10-1) + "\r\n..\r\n", strings.Repeat("x", 64<<10-1) + "\r\n.\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b box
			got := codes(talk(t, newServer(&b), hello+"DATA\r\n"+tt.data+".\r\nQUIT\r\n"))
			if want := "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 221 2.0.0"; got != want {
				t.Fatalf("got %s", got)
			}
			if string(b.mails[0].Raw) != tt.want {
				t.Errorf("got %.80q, want %.80q", b.mails[0].Raw, tt.want)
			}
		})
	}
}

// A line end may fall on any edge of a buffer or packet.
func TestBytesInEveryPiece(t *testing.T) {
	const data = "a\r\n..b\r\n\r\n..\nc\r\r\n..\r\n"
	for size := 1; size < 8; size++ {
		var b box
		server := newServer(&b)
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.ServeConn(theirs)
		}()
		go io.Copy(io.Discard, ours)
		send := hello + "DATA\r\n" + data + ".\r\n" + "MAIL FROM:<>\r\nRCPT TO:<b@row.test>\r\nBDAT 5\r\n.\r\n.\rBDAT 1 LAST\r\n\nQUIT\r\n"
		for i := 0; i < len(send); i += size {
			if _, err := io.WriteString(ours, send[i:min(i+size, len(send))]); err != nil {
				t.Fatal(err)
			}
		}
		<-done
		if len(b.mails) != 2 {
			t.Fatalf("pieces of %d: %d mails", size, len(b.mails))
		}
		if got, want := string(b.mails[0].Raw), "a\r\n.b\r\n\r\n.\nc\r\r\n.\r\n"; got != want {
			t.Errorf("pieces of %d: got %q, want %q", size, got, want)
		}
		if got, want := string(b.mails[1].Raw), ".\r\n.\r\n"; got != want {
			t.Errorf("pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

func TestEnvelope(t *testing.T) {
	var b box
	talk(t, newServer(&b), "LHLO m\r\nXFORWARD NAME=client.test ADDR=IPv6:2001:db8::1 PORT=25\r\n"+
		"XFORWARD PROTO=ESMTP HELO=he+20lo IDENT=4ABC SOURCE=REMOTE\r\n"+
		"MAIL FROM:<\"a b\"@row.test> RET=full ENVID=id+2B1\r\n"+
		"RCPT TO:<@relay.test:bob@row.test> NOTIFY=never ORCPT=rfc822;robert+40x@row.test\r\n"+
		"RCPT TO:<\"x>y\"@row.test>\r\nDATA\r\n\r\n.\r\n"+
		"XFORWARD NAME=[UNAVAILABLE]\r\nMAIL FROM:<>\r\nRCPT TO: postmaster\r\nDATA\r\n.\r\nQUIT\r\n")
	client := Client{Name: "client.test", Address: "2001:db8::1", Protocol: "ESMTP", Helo: "he lo", QueueID: "4ABC"}
	nameless := client
	nameless.Name = ""
	want := []Mail{{
		Sender: `"a b"@row.test`, Client: client, EnvelopeID: "id+1", Return: "FULL", Raw: []byte("\r\n"),
		Recipients: []Recipient{{Address: "bob@row.test", Original: "robert@x@row.test", Notify: "NEVER"}, {Address: `"x>y"@row.test`}},
	}, {
		Client: nameless, Raw: []byte{}, Recipients: []Recipient{{Address: "postmaster"}},
	}}
	if diff := cmp.Diff(want, b.mails); diff != "" {
		t.Error(diff)
	}
	if got := want[0].DSN(want[0].Recipients[0]); got != "RET=FULL ENVID=id+1 NOTIFY=NEVER" {
		t.Errorf("got %q", got)
	}
	if got := want[1].DSN(want[1].Recipients[0]); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestNotReadyIs421(t *testing.T) {
	server := newServer(&box{})
	server.Ready = func(context.Context) error { return errors.New("cannot reach the database") }
	if got := talk(t, server, ""); got != "421 4.3.0 cannot reach the database\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestTooManyClientsIs421(t *testing.T) {
	server := newServer(&box{})
	server.MaxClients = 1
	first := dial(t, server)
	if _, err := first.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if got := codes(talk(t, server, "")); got != "421 4.3.2" {
		t.Errorf("got %q", got)
	}
	first.Close()
}

// Beyond the memory for mails in hand, a mail waits at the MTA.
func TestMemoryIsBounded(t *testing.T) {
	tests := []struct{ name, send, want string }{
		{"announced", "LHLO m\r\nMAIL FROM:<> SIZE=900000\r\nRCPT TO:<a@row.test>\r\nDATA\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 452 4.3.1, 221 2.0.0"},
		{"met on the way", hello + "DATA\r\n" + strings.Repeat("0123456789abcdef\r\n", 50000) + ".\r\nNOOP\r\nQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 354, 452 4.3.1, 250 2.0.0, 221 2.0.0"},
		{"BDAT", "LHLO m\r\nMAIL FROM:<> SIZE=900000\r\nRCPT TO:<a@row.test>\r\nBDAT 5\r\nQUIT\nBDAT 1 LAST\r\nxQUIT\r\n",
			"220, 250, 250 2.1.0, 250 2.1.5, 452 4.3.1, 503 5.5.1, 221 2.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := newServer(&box{})
			server.Memory.Take(4<<20 - 500000)
			defer server.Memory.Give(4<<20 - 500000)
			if got := codes(talkUnchecked(t, server, tt.send)); got != tt.want {
				t.Errorf("got %s", got)
			}
			if left := server.Memory.Left(); left != 500000 {
				t.Errorf("%d bytes left, want 500000", left)
			}
		})
	}
}

// talkUnchecked is talk over a pipe, for servers whose memory others use, too.
func talkUnchecked(t *testing.T, s *Server, send string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(theirs)
	}()
	go io.WriteString(ours, send)
	got, err := io.ReadAll(ours)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	return string(got)
}

func TestShutdownLetsAMailFinish(t *testing.T) {
	var b box
	server := newServer(&b)
	idle, busy := dial(t, server), dial(t, server)
	if _, err := io.WriteString(busy, hello+"DATA\r\nfirst\r\n"); err != nil {
		t.Fatal(err)
	}
	answers := readUntil(t, busy, "354")
	readUntil(t, idle, "220")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		done <- server.Shutdown(ctx)
	}()
	readUntil(t, idle, "421 4.3.2")
	if _, err := io.WriteString(busy, "second\r\n.\r\nMAIL FROM:<>\r\n"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(busy)
	if err != nil {
		t.Fatalf("after %q: %v", answers, err)
	}
	if got := codes(string(rest)); got != "250 2.0.0, 421 4.3.2" {
		t.Errorf("got %s", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(b.mails) != 1 || string(b.mails[0].Raw) != "first\r\nsecond\r\n" {
		t.Errorf("got %q", b.mails)
	}
}

// readUntil reads replies up to one that begins so.
func readUntil(t *testing.T, conn net.Conn, start string) string {
	t.Helper()
	var got strings.Builder
	buffer := make([]byte, 1)
	for {
		if _, err := conn.Read(buffer); err != nil {
			t.Fatalf("after %q: %v", got.String(), err)
		}
		got.Write(buffer)
		lines := strings.Split(got.String(), "\r\n")
		if len(lines) > 1 && strings.HasPrefix(lines[len(lines)-2], start) && lines[len(lines)-1] == "" {
			return got.String()
		}
	}
}

func TestSilentClientIsSentAway(t *testing.T) {
	server := newServer(&box{})
	server.CommandTimeout = 50 * time.Millisecond
	conn := dial(t, server)
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if got := codes(string(got)); got != "220, 421 4.4.2" {
		t.Errorf("got %s", got)
	}
}

func ExampleServer() {
	server := &Server{
		Deliver:  func(_ context.Context, m *Mail) []Reply { return []Reply{{250, "2.0.0", "stored"}} },
		Hostname: "mx.row.test", MaxSize: 1000, MaxRecipients: 10, Memory: budget.New(1 << 20),
	}
	client, conn := net.Pipe()
	go server.ServeConn(conn)
	go fmt.Fprint(client, "LHLO mta\r\nMAIL FROM:<>\r\nRCPT TO:<bob@row.test>\r\nBDAT 2 LAST\r\nhiQUIT\r\n")
	replies, _ := io.ReadAll(client)
	fmt.Print(strings.ReplaceAll(codes(string(replies)), ", ", "\n"))
	// Output:
	// 220
	// 250
	// 250 2.1.0
	// 250 2.1.5
	// 250 2.0.0
	// 221 2.0.0
}
