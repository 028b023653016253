// Package scripttest plays servers that do what no real one does on request. A
// script is lines:
//
//	S: text     is sent, with a line end
//	S> text     is sent without one; \r, \n and \xXX mean what they do in Go
//	C: text     the client has to send a line that begins so
//	tls         TLS begins
//	close       the connection ends
//	silence     nothing is said until the client gives up
//
// The first word of "C:" lines is a label for the tag that the client uses there,
// unless it is "=": then the line has no tag. A label that begins an "S:" line
// stands for that tag.
package scripttest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a client may take for its next line.
const patience = 20 * time.Second

// Server plays one script for each connection, the last one for all others.
type Server struct {
	t       testing.TB
	l       net.Listener
	tls     *tls.Config
	scripts []string

	mu    sync.Mutex
	conns []net.Conn
	count int
	ended bool
	wg    sync.WaitGroup
}

// Start plays scripts until the test ends. conf is for scripts with TLS.
func Start(t testing.TB, conf *tls.Config, scripts ...string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, l: l, tls: conf, scripts: scripts}
	s.wg.Go(s.serve)
	t.Cleanup(s.stop)
	return s
}

// Addr is host:port.
func (s *Server) Addr() string { return s.l.Addr().String() }

// Connections is how many there were.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *Server) stop() {
	s.l.Close()
	s.mu.Lock()
	s.ended = true
	for _, conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) serve() {
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		script := s.scripts[min(s.count, len(s.scripts)-1)]
		s.count++
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		s.wg.Go(func() {
			defer conn.Close()
			s.play(conn, script)
		})
	}
}

func (s *Server) play(conn net.Conn, script string) {
	r := bufio.NewReader(conn)
	tags := map[string]string{}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(strings.TrimLeft(line, "\t"), "\n")
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return
		}
		verb, text, _ := strings.Cut(line, " ")
		switch verb {
		case "":
		case "S:":
			if label, rest, ok := strings.Cut(text, " "); ok && tags[label] != "" {
				text = tags[label] + " " + rest
			}
			if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
				return
			}
		case "S>":
			raw, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
			if err != nil {
				s.t.Errorf("script: %s: %v", line, err)
				return
			}
			if _, err := io.WriteString(conn, raw); err != nil {
				return
			}
		case "C:":
			if !s.expect(r, text, tags) {
				return
			}
		case "tls":
			secure := tls.Server(conn, s.tls)
			if secure.Handshake() != nil {
				return // the client says why
			}
			conn, r = secure, bufio.NewReader(secure)
		case "close":
			return
		case "silence":
			_, _ = io.Copy(io.Discard, r) // until the client closes
			return
		default:
			s.t.Errorf("script: %q", line)
			return
		}
	}
}

// expect reads the client's next line.
func (s *Server) expect(r *bufio.Reader, want string, tags map[string]string) bool {
	got, err := r.ReadString('\n')
	label, text, _ := strings.Cut(want, " ")
	tag, sent, _ := strings.Cut(strings.TrimRight(got, "\r\n"), " ")
	if label == "=" {
		sent = strings.TrimRight(got, "\r\n")
	}
	if err != nil || !strings.HasPrefix(sent, text) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.ended {
			s.t.Errorf("the client sent %q, %v; the script wants %q", got, err, text)
		}
		return false
	}
	tags[label] = tag
	return true
}
