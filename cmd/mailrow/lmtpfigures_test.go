package main

import (
	"fmt"
	"net"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/metrics/metricstest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
)

// speakLMTP says lines to an LMTP server and gives the first digits of each reply.
func speakLMTP(t *testing.T, socket string, lines ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	text := textproto.NewConn(conn)
	defer text.Close()
	var codes []string
	read := func() {
		code, _, err := text.ReadResponse(0)
		if err != nil {
			codes = append(codes, err.Error())
			return
		}
		codes = append(codes, fmt.Sprint(code))
	}
	read()
	for _, line := range lines {
		if err := text.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
		if line == "DATA" || strings.HasSuffix(line, "\r\n.") || !strings.Contains(line, "\r\n") {
			read()
		}
	}
	return strings.Join(codes, " ")
}

func TestFiguresOfLMTP(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	at := "unix:" + filepath.Join(scratch.ForTest(t), "metrics")
	daemon := deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn), `max_size = "1KiB"`), "--metrics", at, "--connections", "2", "--memory", "4MiB")
	eventually(t, "the socket is there", func() bool {
		status, _ := metricstest.Get(t, at, "/healthz")
		return status == 200
	})
	mail := func(size int) string { return "Subject: x\r\n\r\n" + strings.Repeat("x", size) + "\r\n." }
	if got, want := speakLMTP(t, daemon.Socket, "LHLO a", "MAIL FROM:<>", "RCPT TO:<ann@x.test>", "DATA", mail(100), "NONSENSE", "QUIT"),
		"220 250 250 250 354 250 500 221"; got != want {
		t.Errorf("said %s, want %s", got, want)
	}
	speakLMTP(t, daemon.Socket, "LHLO a", "MAIL FROM:<>", "RCPT TO:<ann@x.test>", "DATA", mail(2000), "QUIT")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			speakLMTP(t, daemon.Socket, "LHLO a", "MAIL FROM:<>", "RCPT TO:<ann@x.test>", "DATA", mail(i), "QUIT")
		})
	}
	all.Wait()
	got := metricstest.Read(t, at)
	for sample, want := range map[string]float64{
		`mailrow_lmtp_deliveries_total{code="250"}`: 21,
		`mailrow_lmtp_deliveries_total{code="552"}`: 1,
		`mailrow_lmtp_refusals_total{code="500"}`:   1,
		"mailrow_lmtp_batch_mails_sum":              21,
		"mailrow_lmtp_memory_bytes":                 0,
		"mailrow_lmtp_memory_limit_bytes":           4 << 20,
		"mailrow_lmtp_pool_connections_limit":       2,
		"mailrow_lmtp_pool_waiting":                 0,
		"mailrow_lmtp_connections_limit":            200,
	} {
		if got[sample] != want {
			t.Errorf("%s is %v, want %v", sample, got[sample], want)
		}
	}
	for sample, least := range map[string]float64{"mailrow_lmtp_connections_total": 22, "mailrow_lmtp_pool_connections": 1, "mailrow_lmtp_bytes_total": 21 * 14} {
		if got[sample] < least {
			t.Errorf("%s is %v, want %v at least", sample, got[sample], least)
		}
	}
	if commits := got["mailrow_lmtp_batch_mails_count"]; commits < 1 || commits > 21 || got[`mailrow_lmtp_batch_mails_bucket{le="+Inf"}`] != commits {
		t.Errorf("%v commits", commits)
	}
	cluster.Stop(t, "fast")
	eventually(t, "unwell", func() bool {
		status, text := metricstest.Get(t, at, "/healthz")
		return status == 503 && text == "the database does not answer\n"
	})
	if got := speakLMTP(t, daemon.Socket); got != "421" {
		t.Errorf("greeted with %s", got)
	}
	if n := metricstest.Read(t, at)[`mailrow_lmtp_refusals_total{code="421"}`]; n != 1 {
		t.Errorf("%v refusals", n)
	}
	cluster.Start(t)
	eventually(t, "well", func() bool {
		status, _ := metricstest.Get(t, at, "/healthz")
		return status == 200
	})
}
