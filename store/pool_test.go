package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"syscall"
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

// underway stores mails in a transaction that is not committed: whoever stores one of
// them as well has to wait until it is rolled back.
func underway(t *testing.T, dsn string, deliveries ...*store.Delivery) (rollBack func()) {
	t.Helper()
	conn := connect(t, dsn)
	exec(t, conn, "begin")
	for _, d := range deliveries {
		if _, err := store.On(conn.PgConn()).Deliver(context.Background(), d); err != nil {
			t.Fatal(err)
		}
	}
	return func() { exec(t, conn, "rollback") }
}

// blocked waits until so many connections wait for a lock.
func blocked(t *testing.T, dsn string, n int) {
	t.Helper()
	const waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
	for deadline := time.Now().Add(20 * time.Second); deliverytest.Rows(t, dsn, waiting)[0] != fmt.Sprint(n); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %d connections wait for a lock", n)
		}
	}
}

func to(address string, d *store.Delivery) *store.Delivery {
	d.Lookups[0].Address, d.Lookups[0].Base, d.Envelope.Recipients[0].Address = address, address, address
	return d
}

func TestPoolHasConnectionsLeftWhenOneRecipientIsStuck(t *testing.T) {
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 4)
	ctx := context.Background()
	for _, d := range []*store.Delivery{delivery(-1), to("bob@example.com", delivery(-1))} {
		if _, err := p.Deliver(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	var list []*store.Delivery
	for i := range 5 {
		list = append(list, delivery(i))
	}
	rollBack := underway(t, dsn, list...)
	var all sync.WaitGroup
	for i, d := range list {
		all.Go(func() {
			if _, err := p.Deliver(ctx, d); err != nil {
				t.Errorf("mail %d: %v", i, err)
			}
		})
		blocked(t, dsn, min(i+1, 2)) // a third connection is not tried
		time.Sleep(100 * time.Millisecond)
	}
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := p.Deliver(limited, to("bob@example.com", delivery(1))); err != nil {
		t.Errorf("another recipient: %v", err)
	}
	rollBack()
	all.Wait()
	if got := deliverytest.Rows(t, dsn, "select count(*), count(distinct xact) < 8 from mailrow.deliveries"); got[0] != "8|t" {
		t.Errorf("got %s", got)
	}
}

func TestPoolRestsWhileAnotherConnectionHasTheMail(t *testing.T) {
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 2)
	ctx := context.Background()
	if _, err := p.Deliver(ctx, delivery(-1)); err != nil {
		t.Fatal(err)
	}
	freeFirst := underway(t, dsn, delivery(0), delivery(1))
	freeRest := underway(t, dsn, delivery(2))
	var all sync.WaitGroup
	deliver := func(from, until int) {
		for i := from; i < until; i++ {
			all.Go(func() {
				if _, err := p.Deliver(ctx, delivery(i)); err != nil {
					t.Errorf("mail %d: %v", i, err)
				}
			})
		}
	}
	deliver(0, 2)
	blocked(t, dsn, 2)
	deliver(2, 12)
	time.Sleep(100 * time.Millisecond) // for all to wait
	freeFirst()
	blocked(t, dsn, 1) // the rest, on one connection
	before := processorTime(t)
	const watched = 500 * time.Millisecond
	time.Sleep(watched)
	if used := processorTime(t) - before; used > watched/10 {
		t.Errorf("%v of the processor in %v", used, watched)
	}
	freeRest()
	all.Wait()
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
