package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"mailrow/internal/socket"
)

// Server answers GET /metrics and GET /healthz.
type Server struct {
	// Write adds what is to be shown.
	Write func(*Page)
	// Healthy gives what is wrong in one sentence without secrets, and nil while all
	// is well.
	Healthy func(context.Context) error
}

// Whoever asks has little to say.
const (
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeader      = 8 << 10
)

// Listen opens the socket that an address names, as socket.Listen does. All
// interfaces are listened on only where somebody wrote that, not where an address was
// left out.
func Listen(address string) (net.Listener, error) {
	if rest, ok := strings.CutPrefix(address, "tcp:"); ok {
		host, port, err := net.SplitHostPort(rest)
		if err == nil && host == "" {
			return nil, fmt.Errorf("listen on %s: that is every interface: write tcp:127.0.0.1:%s, or tcp:0.0.0.0:%s if everybody is to read it", address, port, port)
		}
	}
	return socket.Listen(address)
}

// Serve answers until ctx ends; then it closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var p Page
		s.Write(&p)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(p.text.Bytes()) // who has gone does not want it
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := s.Healthy(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{
		Handler: mux, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for an answer that matters
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve figures: %w", err)
	}
	return nil
}
