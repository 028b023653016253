package store_test

import (
	"context"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store"
)

// A commit that waits for a standby is not one yet. The server ends the wait when
// asked to cancel, and answers as if all were well.
func TestSynchronousStandbyIsAway(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	admin := connect(t, dsn)
	p := pool(t, dsn, 2)
	over := connections(t, dsn, 2)
	conn, batches := over[0], over[1]
	if err := batches.PrepareBatches(t.Context()); err != nil {
		t.Fatal(err)
	}
	deliver := map[string]func(context.Context) error{
		"pool":       func(ctx context.Context) error { _, err := p.Deliver(ctx, delivery(1)); return err },
		"connection": func(ctx context.Context) error { _, err := conn.Deliver(ctx, delivery(2)); return err },
		"batch": func(ctx context.Context) error {
			batch := new(store.Batch)
			batch.Add(delivery(3), store.Threads{})
			_, err := batches.DeliverBatch(ctx, batch)
			return err
		},
	}
	exec(t, admin, "set synchronous_commit = local")
	standbys := func(names string) {
		exec(t, admin, "alter system set synchronous_standby_names = '"+names+"'")
		exec(t, admin, "select pg_reload_conf()")
		for range 500 {
			if deliverytest.Rows(t, dsn, "show synchronous_standby_names")[0] == names {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("the setting is not taken")
	}
	standbys("nobody")
	time.Sleep(200 * time.Millisecond) // for the checkpointer, which tells the others
	for name, deliver := range deliver {
		// Twice: what is there already was not heard of by a standby either.
		for range 2 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := deliver(ctx); store.TroubleOf(err) != store.TroubleTimeout {
				t.Errorf("%s: got %v, want a timeout", name, err)
			}
			cancel()
		}
	}
	standbys("")
	for name, deliver := range deliver {
		if err := deliver(context.Background()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail"); got[0] != "3" {
		t.Errorf("%s mails", got[0])
	}
}
