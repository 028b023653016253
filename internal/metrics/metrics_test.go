package metrics_test

import (
	"context"
	"errors"
	"math"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/metrics"
	"mailrow/internal/metrics/metricstest"
)

// serve answers at a unix socket until the test ends.
func serve(t *testing.T, s metrics.Server) (at string) {
	t.Helper()
	at = "unix:" + filepath.Join(t.TempDir(), "s")
	l, err := metrics.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not end")
		}
	})
	return at
}

func TestPage(t *testing.T) {
	at := serve(t, metrics.Server{Write: func(p *metrics.Page) {
		odd := p.Gauge("mailrow_odd", "A back\\slash and\na line.")
		odd.Add(-1.5, metrics.Label{Name: "a", Value: "say \"x\\y\"\n\xff"}, metrics.Label{Name: "b", Value: ""})
		odd.Add(math.Inf(1), metrics.Label{Name: "a", Value: "ä"})
		p.Counter("mailrow_many_total", "Many.").Add(1e15)
		p.Histogram("mailrow_sizes", "Sizes.", metrics.Histogram{Bounds: []float64{1, 2.5}, Counts: []int64{3, 0, 4}, Sum: 50})
		p.Process("v1")
	}})
	got := metricstest.Read(t, at)
	for _, of := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds", "go_goroutines"} {
		if got[of] <= 0 {
			t.Errorf("%s is %v", of, got[of])
		}
		delete(got, of)
	}
	want := metricstest.Samples{
		`mailrow_odd{a="say \"x\\y\"\n` + "\uFFFD" + `",b=""}`: -1.5,
		`mailrow_odd{a="ä"}`:               math.Inf(1),
		`mailrow_many_total`:               1e15,
		`mailrow_sizes_bucket{le="1"}`:     3,
		`mailrow_sizes_bucket{le="2.5"}`:   3,
		`mailrow_sizes_bucket{le="+Inf"}`:  7,
		`mailrow_sizes_sum`:                50,
		`mailrow_sizes_count`:              7,
		`mailrow_build_info{version="v1"}`: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHealth(t *testing.T) {
	var ill error
	at := serve(t, metrics.Server{Healthy: func(context.Context) error { return ill }, Write: func(*metrics.Page) {}})
	if status, text := metricstest.Get(t, at, "/healthz"); status != 200 || text != "ok\n" {
		t.Errorf("%d %q", status, text)
	}
	ill = errors.New("the database has not answered for 31s")
	if status, text := metricstest.Get(t, at, "/healthz"); status != 503 || text != ill.Error()+"\n" {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := metricstest.Get(t, at, "/"); status != 404 {
		t.Errorf("another path: %d", status)
	}
}

// Every interface is listened on only by who says so.
func TestListen(t *testing.T) {
	if l, err := metrics.Listen("tcp::0"); err == nil || !strings.Contains(err.Error(), "write tcp:127.0.0.1:0, or tcp:0.0.0.0:0 if everybody is to read it") {
		t.Errorf("%v, %v", l, err)
	}
	for _, address := range []string{"tcp:127.0.0.1:0", "tcp:localhost:0", "tcp:0.0.0.0:0"} {
		l, err := metrics.Listen(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if ip := l.Addr().(*net.TCPAddr).IP; ip.IsLoopback() == strings.Contains(address, "0.0.0.0") {
			t.Errorf("%s: listens on %v", address, ip)
		}
		l.Close()
	}
}
