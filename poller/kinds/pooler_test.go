package kinds_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/internal/pgbouncertest"
	"mailrow/internal/pgtest"
	"mailrow/poller"
	"mailrow/poller/kinds"
	"mailrow/poller/pollertest"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// A pooler in transaction mode gives any of its connections, with the statements
// that others have prepared there, and a dead poller's connection goes on living.
func TestPollThroughAPooler(t *testing.T) {
	ctx := context.Background()
	cluster := pgtest.Shared(t)
	dsn := deliverytest.Database(t)
	pooled := pgbouncertest.Start(t, cluster, map[string]string{"default_pool_size": "2"}).DSN(t, dsn)
	conn := archivetest.Connect(t, dsn)
	var failed sync.Map
	p := poller.Poller{
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			config, err := pgx.ParseConfig(pooled)
			if err != nil {
				return nil, err
			}
			config.DefaultQueryExecMode = pgx.QueryExecModeExec
			return pgx.ConnectConfig(ctx, config)
		},
		Open:   kinds.Opener{}.Open,
		Config: deliver.DefaultConfig(),
		Warn:   func(_ source.Source, err error) { failed.Store(err.Error(), true) },
	}
	var all sync.WaitGroup
	for n := range 4 {
		box := pollertest.Maildir(t)
		for i := range 50 {
			box.Add(t, fmt.Appendf(nil, "Subject: %d %d\n\nhello\n", n, i))
		}
		account := "ann"
		s := source.Source{URI: box.URI() + "?after=delete", Account: &account}
		id, err := source.Add(ctx, conn, s)
		if err != nil {
			t.Fatal(err)
		}
		s.ID = id
		all.Go(func() {
			count, err := p.Run(ctx, s)
			count.Bytes = 0
			if diff := cmp.Diff(source.Count{Seen: 50, Stored: 50, Done: 50}, count); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
	all.Wait()
	failed.Range(func(text, _ any) bool { t.Errorf("warned: %v", text); return true })
	if diff := cmp.Diff([]string{"200|200"}, deliverytest.Rows(t, dsn, `select count(*), count(distinct message) from mailrow.deliveries`)); diff != "" {
		t.Error(diff)
	}
}
