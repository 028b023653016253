package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/store"
)

// A defect of ours costs one mail its try, and the pool nothing.
func TestPoolOutlivesAPanic(t *testing.T) {
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i := range 3 {
		broken := delivery(i)
		broken.Envelope = nil
		func() {
			defer func() {
				if fault := recover(); fault != nil {
					t.Errorf("a panic came out: %v", fault)
				}
			}()
			if _, err := p.Deliver(ctx, broken); store.TroubleOf(err) != store.TroubleUnknown || err == nil {
				t.Errorf("got %v", err)
			}
		}()
		if _, err := p.Deliver(ctx, delivery(i)); err != nil {
			t.Fatalf("after a panic: %v", err)
		}
	}
}

// Those that wait with it have their results.
func TestPoolPanicsForOneOnly(t *testing.T) {
	dsn := deliverytest.Database(t)
	list := []*store.Delivery{delivery(1), delivery(2), delivery(3), delivery(4)}
	list[2].Message = nil
	for i, err := range together(t, dsn, list...) {
		if (err != nil) != (i == 2) {
			t.Errorf("mail %d: %v", i, err)
		}
	}
}

// Connections that were opened while the database was read-only stay so.
func TestPoolLeavesReadOnlySessions(t *testing.T) {
	dsn := deliverytest.Database(t)
	admin := connect(t, dsn)
	name := admin.Config().Database
	exec(t, admin, "alter database "+name+" set default_transaction_read_only = on")
	p := pool(t, dsn, 1)
	ctx := context.Background()
	for i := range 2 {
		if _, err := p.Deliver(ctx, delivery(i)); store.TroubleOf(err) != store.TroubleReadOnly {
			t.Errorf("read-only: %v", err)
		}
	}
	exec(t, admin, "set default_transaction_read_only = off; alter database "+name+" reset default_transaction_read_only")
	if _, err := p.Deliver(ctx, delivery(3)); err != nil {
		t.Errorf("after it was made writable: %v", err)
	}
}

// Where the server gives fewer connections than the pool may have, those do.
func TestPoolMakesDoWithFewerConnections(t *testing.T) {
	dsn := deliverytest.Database(t)
	admin := connect(t, dsn)
	role := "few_" + admin.Config().Database
	exec(t, admin, "create role "+role+" login in role mailrow_deliver connection limit 2")
	t.Cleanup(func() {
		exec(t, admin, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = '"+role+"'")
		exec(t, admin, "drop role "+role)
	})
	p := pool(t, strings.Replace(dsn, "postgres@", role+"@", 1), 8)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	exec(t, admin, "begin; lock table mailrow.messages")
	for i := range 10 {
		all.Go(func() {
			d := delivery(i)
			d.Lookups[0].Base = fmt.Sprintf("m%d@example.com", i) // each by itself
			if _, err := p.Deliver(ctx, d); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(4 * time.Second) // longer than Connect tries to find a free place
	exec(t, admin, "rollback")
	all.Wait()
	if got := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail"); got[0] != "10" {
		t.Errorf("%s mails", got[0])
	}
	exec(t, admin, "alter role "+role+" connection limit 0")
	p.Close()
	if _, err := p.Deliver(ctx, delivery(10)); store.TroubleOf(err) != store.TroubleNoSlot {
		t.Errorf("without any: %v", err)
	}
}
