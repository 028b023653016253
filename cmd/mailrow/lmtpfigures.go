package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"mailrow/deliver/lmtp"
	"mailrow/internal/metrics"
	"mailrow/store"
)

const (
	// pingTimeout is how long the database may take to answer one who asks for health.
	pingTimeout = 5 * time.Second
	// lately is how long ago a commit says that it answers.
	lately = 15 * time.Second
)

// lmtpFigures shows what docs/lmtp.md lists.
func lmtpFigures(server *lmtp.Server, pool *store.Pool) metrics.Server {
	return metrics.Server{
		Write: func(page *metrics.Page) { writeLMTPFigures(page, server, pool.Figures()) },
		Healthy: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, pingTimeout)
			defer cancel()
			if time.Since(pool.Figures().Committed) > lately && pool.Ping(ctx) != nil {
				return errors.New("the database does not answer")
			}
			return nil
		},
	}
}

func writeLMTPFigures(page *metrics.Page, server *lmtp.Server, pool store.PoolFigures) {
	done := server.Figures()
	byCode := func(name, help string, codes map[int]int64) {
		family := page.Counter(name, help)
		for _, code := range slices.Sorted(maps.Keys(codes)) {
			family.Add(float64(codes[code]), metrics.Label{Name: "code", Value: strconv.Itoa(code)})
		}
	}
	byCode("mailrow_lmtp_deliveries_total", "Replies that recipients of a mail got, by their code.", done.Deliveries)
	byCode("mailrow_lmtp_refusals_total", "Other replies from 400 on, by their code.", done.Refusals)
	page.Counter("mailrow_lmtp_bytes_total", "Bytes of the mails that got a reply.").Add(float64(done.Bytes))
	page.Counter("mailrow_lmtp_connections_total", "Clients that have come.").Add(float64(done.Sessions))
	page.Gauge("mailrow_lmtp_connections", "Clients that are there.").Add(float64(server.Clients()))
	page.Gauge("mailrow_lmtp_connections_limit", "Clients that there may be.").Add(float64(server.MaxClients))
	writeMemory(page, "mailrow_lmtp_", server.Memory)
	page.Gauge("mailrow_lmtp_pool_connections", "Connections to the database.").Add(float64(pool.Open))
	page.Gauge("mailrow_lmtp_pool_connections_idle", "Connections to the database that nobody uses.").Add(float64(pool.Idle))
	page.Gauge("mailrow_lmtp_pool_connections_limit", "Connections to the database that there may be.").Add(float64(pool.Size))
	page.Gauge("mailrow_lmtp_pool_waiting", "Mails that wait for a connection to the database.").Add(float64(pool.Waiting))
	sizes := metrics.Histogram{Counts: append(pool.Batches.Commits[:], 0), Sum: float64(pool.Batches.Mails)}
	for i := range pool.Batches.Commits {
		sizes.Bounds = append(sizes.Bounds, float64(int(1)<<i))
	}
	page.Histogram("mailrow_lmtp_batch_mails", "Mails that one commit held.", sizes)
	page.Process(thisBuild().Version)
}
