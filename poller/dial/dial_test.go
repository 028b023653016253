package dial_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/scripttest"
	"mailrow/internal/tlstest"
	"mailrow/poller/dial"
)

// at is the server at an address.
func at(t testing.TB, addr string, security dial.Security) *dial.Server {
	t.Helper()
	l, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return &dial.Server{Host: l.IP.String(), Port: l.Port, Security: security}
}

// greeting dials and reads a line.
func greeting(ctx context.Context, s *dial.Server) (string, error) {
	c, err := s.Dial(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.ReadString('\n')
}

func TestCertificates(t *testing.T) {
	ours, theirs := tlstest.New(t), tlstest.New(t)
	dir := t.TempDir()
	ca := ours.WriteCA(t, dir)
	right := ours.Issue(t, "127.0.0.1", "localhost")
	sum := sha256.Sum256(right.Certificate[0])
	key := sha256.Sum256(right.Leaf.RawSubjectPublicKeyInfo)
	colons := strings.ToUpper(hex.EncodeToString(sum[:1]))
	for _, b := range sum[1:] {
		colons += fmt.Sprintf(":%02X", b)
	}
	other := "sha256:" + strings.Repeat("00", 32)
	notPEM := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(notPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		cert   tls.Certificate
		verify dial.Verify
		want   string // of the error; "" is none
	}{
		{"right", right, dial.Verify{CA: ca}, ""},
		{"system's authorities", right, dial.Verify{}, "name the authority's file with ca=FILE, or, if this is the right server, pin=sha256:" + hex.EncodeToString(key[:])},
		{"other authority", theirs.Issue(t, "127.0.0.1"), dial.Verify{CA: ca}, "none of the authorities in " + ca + " has signed it, or"},
		{"other host", ours.Issue(t, "mail.example.com"), dial.Verify{CA: ca}, "write the server by a name that its certificate is for"},
		{"expired", ours.IssueExpired(t, "127.0.0.1"), dial.Verify{CA: ca}, "the server needs a new certificate, or the clock of this machine is wrong"},
		{"pinned key", right, dial.Verify{Pins: []string{dial.Pin(right.Leaf)}}, ""},
		{"pinned certificate", right, dial.Verify{Pins: []string{other, "sha256:" + hex.EncodeToString(sum[:])}}, ""},
		{"pinned as openssl writes it", right, dial.Verify{Pins: []string{"sha256:" + colons}}, ""},
		{"pinned in base64", right, dial.Verify{Pins: []string{"sha256:" + base64.StdEncoding.EncodeToString(key[:])}}, ""},
		{"pinned, other host", ours.Issue(t, "mail.example.com"), dial.Verify{Pins: []string{dial.Pin(right.Leaf)}}, "change pin="},
		{"pinned is not trusted", right, dial.Verify{CA: ca, Pins: []string{other}}, "it has sha256:" + hex.EncodeToString(key[:])},
		{"pin that is none", right, dial.Verify{Pins: []string{"sha256:12"}}, `read pin "sha256:12": write sha256: and the 64`},
		{"pin of another kind", right, dial.Verify{Pins: []string{"md5:" + strings.Repeat("00", 32)}}, "read pin"},
		{"insecure", theirs.Issue(t, "elsewhere"), dial.Verify{Insecure: true}, ""},
		{"insecure and pinned", right, dial.Verify{Insecure: true, Pins: []string{other}}, "change pin="},
		{"authorities missing", right, dial.Verify{CA: filepath.Join(dir, "nothing")}, "no such file"},
		{"authorities that are none", right, dial.Verify{CA: notPEM}, "has no certificate in PEM form"},
		{"client certificate missing", right, dial.Verify{CA: ca, Certificate: filepath.Join(dir, "nothing")}, "read our certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := &tls.Config{Certificates: []tls.Certificate{test.cert}}
			s := at(t, scripttest.Start(t, conf, "tls\nS: hello\n").Addr(), dial.TLS)
			s.Verify = test.verify
			warned := ""
			s.Warn = func(text string) { warned += text }
			got, err := greeting(t.Context(), s)
			if test.want == "" && (err != nil || got != "hello\r\n") {
				t.Errorf("%q, %v", got, err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), s.String())) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if (warned != "") != (test.name == "insecure") {
				t.Errorf("warned %q", warned)
			}
		})
	}
}

func TestWrongPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut := l.Addr().String()
	l.Close()
	nowhere := &dial.Server{Host: "nothing.invalid", Port: 993}
	for _, test := range []struct {
		name string
		s    *dial.Server
		want string
	}{
		{"shut", at(t, shut, dial.Clear), "check the port"},
		{"not TLS", at(t, scripttest.Start(t, nil, "S: * OK hello\nsilence\n").Addr(), dial.TLS), "does not speak TLS on this port"},
		{"closed at once", at(t, scripttest.Start(t, nil, "close\n").Addr(), dial.TLS), "127.0.0.1"},
		{"no such name", nowhere, "nothing.invalid"},
	} {
		if _, err := greeting(t.Context(), test.s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestSilenceEnds(t *testing.T) {
	const short = 50 * time.Millisecond
	hang := scripttest.Start(t, nil, "silence\n")
	for _, test := range []struct {
		name string
		s    *dial.Server
		set  dial.Timeouts
		want string
	}{
		{"no greeting", at(t, hang.Addr(), dial.Clear), dial.Timeouts{Greeting: short}, "no greeting for 50ms"},
		{"no TLS", at(t, hang.Addr(), dial.TLS), dial.Timeouts{Connect: short}, "start TLS with"},
		{"no end of line", at(t, scripttest.Start(t, nil, "S> hello\nsilence\n").Addr(), dial.Clear), dial.Timeouts{Read: short}, "no answer for 50ms"},
		{"program", &dial.Server{Command: []string{"sleep", "60"}}, dial.Timeouts{Greeting: short}, "no greeting for 50ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.s.Timeouts = test.set
			start := time.Now()
			_, err := greeting(t.Context(), test.s)
			var timeout interface{ Timeout() bool }
			if err == nil || !strings.Contains(err.Error(), test.want) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%v", err)
			}
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// Every byte begins the time anew.
func TestSlowLineIsNotDead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for _, b := range []byte("slowly\r\n") {
			time.Sleep(60 * time.Millisecond)
			_, _ = conn.Write([]byte{b})
		}
	}()
	s := at(t, l.Addr().String(), dial.Clear)
	s.Timeouts = dial.Timeouts{Greeting: 300 * time.Millisecond, Read: 300 * time.Millisecond}
	if got, err := greeting(t.Context(), s); got != "slowly\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWriterThatIsNotReadEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts, but the kernel
	s := at(t, l.Addr().String(), dial.Clear)
	s.Timeouts.Write = 100 * time.Millisecond
	c, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Write(make([]byte, 64<<20))
	if err == nil || !strings.Contains(err.Error(), "no reading for 100ms") {
		t.Errorf("%v", err)
	}
}

func TestAwait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := at(t, l.Addr().String(), dial.Clear).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if some, err := c.Await(ctx, 20*time.Millisecond); some || err != nil {
		t.Errorf("nothing: %v, %v", some, err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if some, err := c.Await(ctx, time.Minute); some || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v, %v", some, err)
	}
	if _, err := io.WriteString(server, "line\r\nmore"); err != nil {
		t.Fatal(err)
	}
	if some, err := c.Await(t.Context(), time.Minute); !some || err != nil {
		t.Errorf("a line: %v, %v", some, err)
	}
	if line, err := c.ReadString('\n'); line != "line\r\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if some, err := c.Await(t.Context(), 0); !some || err != nil {
		t.Errorf("what was read already: %v, %v", some, err)
	}
	if _, err := c.Discard(4); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if some, err := c.Await(t.Context(), time.Minute); some || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end: %v, %v", some, err)
	}
}

func TestProgram(t *testing.T) {
	s := &dial.Server{Command: []string{"/bin/sh", "-c", "read a; echo got $a; echo oops >&2; exit 3"}}
	c, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.Private() || c.Encrypted() {
		t.Error("a pipe is private, and not encrypted")
	}
	if _, err := io.WriteString(c, "this\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := c.ReadString('\n'); line != "got this\n" {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := c.ReadString('\n'); err == nil || !strings.Contains(err.Error(), "it has ended with exit status 3 (oops)") {
		t.Errorf("%v", err)
	}
	if err := c.StartTLS(t.Context()); err == nil {
		t.Error("TLS on a pipe")
	}
	// One that does not want to end is ended.
	s.Command = []string{"/bin/sh", "-c", "trap '' TERM HUP; echo hello; while :; do sleep 1; done"}
	if c, err = s.Dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line, err := c.ReadString('\n'); line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
	start := time.Now()
	if err := c.Close(); err != nil || time.Since(start) > 15*time.Second {
		t.Errorf("close: %v after %v", err, time.Since(start))
	}
}

func TestClean(t *testing.T) {
	if got := dial.Clean(" a\r\nb\x00\xff\x1b[31m "); got != "a  b \uFFFD [31m" {
		t.Errorf("%q", got)
	}
	if got := dial.Clean(strings.Repeat("ü", 1000)); len(got) > 310 || !strings.HasSuffix(got, "ü…") {
		t.Errorf("%q", got)
	}
}
