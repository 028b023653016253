package store_test

import (
	"context"
	"crypto/sha256"
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

// together has deliveries wait for the one connection of a pool, and lets them go.
func together(t *testing.T, dsn string, deliveries ...*store.Delivery) (errs []error) {
	t.Helper()
	p := pool(t, dsn, 1)
	ctx := context.Background()
	first := delivery(-1)
	if _, err := p.Deliver(ctx, first); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	exec(t, conn, "begin; lock table mailrow.messages")
	errs = make([]error, len(deliveries))
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := p.Deliver(ctx, delivery(-2)); err != nil {
			t.Error(err)
		}
	})
	for waiting := 0; waiting == 0; time.Sleep(10 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "select count(*) from pg_locks where not granted").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range deliveries {
		all.Go(func() { _, errs[i] = p.Deliver(ctx, d) })
	}
	time.Sleep(200 * time.Millisecond) // for all to wait
	exec(t, conn, "rollback")
	all.Wait()
	return errs
}

func TestPoolStoresTogetherWhatWaits(t *testing.T) {
	dsn := deliverytest.Database(t)
	var list []*store.Delivery
	for i := range 20 {
		list = append(list, delivery(i))
	}
	list = append(list, delivery(3)) // the same once more
	other := delivery(50)
	other.Lookups[0].Base, other.Envelope.Recipients[0].Address = "bob@example.com", "bob@example.com"
	for i, err := range together(t, dsn, append(list, other)...) {
		if err != nil {
			t.Errorf("mail %d: %v", i, err)
		}
	}
	got := deliverytest.Rows(t, dsn, "select a.name, count(*), sum(redelivered), count(distinct xact) from mailrow.deliveries d "+
		"join mailrow.accounts a on a.account_id = d.account_id group by 1 order by 1")
	// Two before them, one by itself each, and all others with one commit.
	if len(got) != 2 || got[0] != "ann@example.com|22|1|3" || got[1] != "bob@example.com|1|0|1" {
		t.Errorf("got %q", got)
	}
}

func TestPoolDoesNotFailTheNeighbours(t *testing.T) {
	dsn := deliverytest.Database(t)
	var list []*store.Delivery
	for i := range 9 {
		list = append(list, delivery(i))
	}
	long := make([]byte, 6000) // no index takes it, and it does not compress
	var sum [sha256.Size]byte
	for i := range long {
		if i%len(sum) == 0 {
			sum = sha256.Sum256(sum[:])
		}
		long[i] = "abcdefghijklmnop"[sum[i%len(sum)]%16]
	}
	list[4].Envelope.Recipients[0].Address = string(long)
	for i, err := range together(t, dsn, list...) {
		if (err != nil) != (i == 4) {
			t.Errorf("mail %d: %v", i, err)
		}
	}
	if got := deliverytest.Rows(t, dsn, "select count(*) from mailrow.deliveries"); got[0] != "10" {
		t.Errorf("%s mails", got[0])
	}
}
