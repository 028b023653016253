package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/message"
	"mailrow/store"
)

func pool(t *testing.T, dsn string, size int) *store.Pool {
	t.Helper()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := store.NewPool(config, size, true)
	t.Cleanup(p.Close)
	return p
}

func delivery(n int) *store.Delivery {
	raw := fmt.Appendf(nil, "Subject: %d\n\nbody\n", n)
	return &store.Delivery{
		Raw: raw, Message: message.Parse(raw),
		Envelope: &message.Envelope{Source: "test", Recipients: []message.Recipient{{Address: "ann@example.com"}}},
		Lookups:  []store.Lookup{{Address: "ann@example.com", Base: "ann@example.com"}},
	}
}

func TestPoolUsesNoMoreThanItsSize(t *testing.T) {
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 3)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			if _, err := p.Deliver(context.Background(), delivery(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := deliverytest.Rows(t, dsn, "select count(*) <= 3, (select count(*) from mailrow.mail) from pg_stat_activity "+
		"where datname = current_database() and pid <> pg_backend_pid()")
	if got[0] != "t|30" {
		t.Errorf("got %s", got[0])
	}
	p.Close()
	if _, err := p.Deliver(context.Background(), delivery(30)); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestPoolOutlivesARestart(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	p := pool(t, dsn, 2)
	ctx := context.Background()
	if err := p.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Deliver(ctx, delivery(1)); err != nil {
		t.Fatal(err)
	}
	cluster.Restart(t)
	if _, err := p.Deliver(ctx, delivery(2)); err != nil {
		t.Errorf("the first delivery after a restart: %v", err)
	}
	cluster.Stop(t, "fast")
	if err := p.Ping(ctx); store.TroubleOf(err) != store.TroubleAway {
		t.Errorf("without a server: %v", err)
	}
	if _, err := p.Deliver(ctx, delivery(3)); store.TroubleOf(err) != store.TroubleAway {
		t.Errorf("without a server: %v", err)
	}
	cluster.Start(t)
	// Failures have left no slot taken.
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := p.Deliver(ctx, delivery(3+i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail"); got[0] != "10" {
		t.Errorf("%s mails", got[0])
	}
}

func TestPoolGivesUpWithItsContext(t *testing.T) {
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 1)
	conn := connect(t, dsn)
	if _, err := p.Deliver(context.Background(), delivery(1)); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "begin; lock table mailrow.messages")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for i := range 2 { // one waits for the lock, one for the connection
		all.Go(func() {
			if _, err := p.Deliver(ctx, delivery(2+i)); store.TroubleOf(err) != store.TroubleTimeout {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	exec(t, conn, "rollback")
	if _, err := p.Deliver(context.Background(), delivery(4)); err != nil {
		t.Error(err)
	}
}
