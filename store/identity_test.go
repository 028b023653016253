package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/store"
)

// attempt is the n-th attempt at a mail: its bytes are others, its identity is not.
func attempt(mail, n int) *store.Delivery {
	d := delivery(1000*n + mail)
	d.Identity = bytes.Repeat([]byte{byte(mail)}, 32)
	return d
}

// An attempt is known by its identity however each of the two is stored: by a connection
// that goes on or one for one mail, by itself or in a batch.
func TestAttemptIsKnownByItsIdentity(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	over := connections(t, dsn, 2)
	inBatch := func(list ...*store.Delivery) ([]store.Result, error) {
		b := &store.Batch{}
		for _, d := range list {
			if !b.Add(d, store.ThreadsOf(d.Message)) {
				t.Fatal("a mail with an identity goes alone")
			}
		}
		return over[0].DeliverBatch(ctx, b)
	}
	ways := map[string]func(*store.Delivery) ([]store.Result, error){
		"goes on": func(d *store.Delivery) ([]store.Result, error) { return over[0].Deliver(ctx, d) },
		"once":    func(d *store.Delivery) ([]store.Result, error) { return over[1].Deliver(ctx, d) },
		"elsewhere": func(d *store.Delivery) ([]store.Result, error) {
			d.Mailbox = "Elsewhere"
			return over[1].Deliver(ctx, d)
		},
		"batch": func(d *store.Delivery) ([]store.Result, error) { return inBatch(d) },
	}
	mail := 0
	for first, store1 := range ways {
		for second, store2 := range ways {
			mail++
			one, err := store1(attempt(mail, 1))
			if err != nil {
				t.Fatalf("%s: %v", first, err)
			}
			two, err := store2(attempt(mail, 2))
			known := (first == "elsewhere") == (second == "elsewhere")
			switch {
			case second == "batch" && known:
				if err == nil {
					t.Errorf("%s, then %s: %v, then %v", first, second, one, two)
				}
			case err != nil:
				t.Errorf("%s, then %s: %v", first, second, err)
			case known && (two[0].ID != one[0].ID || two[0].Outcome != store.Redelivered), !known && two[0].Outcome != store.Stored:
				t.Errorf("%s, then %s: %v, then %v", first, second, one, two)
			}
		}
	}
	if results, err := inBatch(attempt(200, 1), delivery(7), attempt(200, 2)); err == nil {
		t.Errorf("two attempts in one batch: %v", results)
	}
}

// Attempts at once are one mail, and those that are stored with them are not kept.
func TestAttemptsAtOnceAreOneMail(t *testing.T) {
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 3)
	var clients sync.WaitGroup
	for n := range 40 {
		clients.Go(func() {
			d := attempt(1+n%4, n)
			if n%5 == 4 {
				d = delivery(n)
			}
			if _, err := p.Deliver(context.Background(), d); err != nil {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	clients.Wait()
	got := deliverytest.Rows(t, dsn, `select count(k), count(*) filter (where k is null), sum(redelivered)
		from mailrow.deliveries d left join mailrow.identities k on k.delivery = d.id`)
	if diff := cmp.Diff([]string{"4|8|28"}, got); diff != "" {
		t.Error(diff)
	}
}

// Only the function that has to look for attempts is slow, and it is not called where
// there was none.
func TestFirstAttemptGoesTheShortWay(t *testing.T) {
	dsn := deliverytest.Database(t)
	exec(t, connect(t, dsn), "revoke execute on function mailrow_delivery.deliver from mailrow_deliver")
	for i, conn := range connections(t, deliverytest.AsDeliverer(dsn), 2) {
		d := attempt(50+i, 1)
		d.Envelope.Recipients[0].DSN = "NOTIFY=NEVER"
		if _, err := conn.Deliver(context.Background(), d); err != nil {
			t.Error(err)
		}
	}
	got := deliverytest.Rows(t, dsn, "select d.dsn, k.recipient from mailrow.deliveries d join mailrow.identities k on k.delivery = d.id")
	if want := fmt.Sprint("NOTIFY=NEVER|", "ann@example.com"); !slices.Equal(got, []string{want, want}) {
		t.Error(got)
	}
}

// Bytes that are there without an identity, as an import leaves them, get it from whoever
// hands them over: the next attempt may have others.
func TestIdentityOfWhatIsThereWithoutOne(t *testing.T) {
	dsn := deliverytest.Database(t)
	for i, conn := range connections(t, dsn, 2) {
		imported := attempt(60+i, 1)
		imported.Identity = nil
		var results []store.Result
		for _, d := range []*store.Delivery{imported, attempt(60+i, 1), attempt(60+i, 2)} {
			r, err := conn.Deliver(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, r...)
		}
		if results[1].Outcome != store.Redelivered || results[2] != results[1] {
			t.Error(results)
		}
	}
}

// Whatever a mail has, and however it is stored, is recorded with it.
func TestNotesStayWithTheirMails(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	var want []string
	for i, conn := range append(connections(t, dsn, 2), connections(t, dsn, 2)...) {
		for has := range 4 {
			mail := 70 + 4*i + has
			d, dsnOf, identity := attempt(mail, 1), "NULL", fmt.Sprint(mail)
			if has&1 == 0 {
				d.Identity, identity = nil, "NULL"
			}
			if has&2 != 0 {
				dsnOf = fmt.Sprint("NOTIFY=", mail)
				d.Envelope.Recipients[0].DSN = dsnOf
			}
			b, other := &store.Batch{}, delivery(mail)
			var err error
			if b.Add(other, store.ThreadsOf(other.Message)) && b.Add(d, store.ThreadsOf(d.Message)) && i >= 2 {
				_, err = conn.DeliverBatch(ctx, b)
			} else if _, err = conn.Deliver(ctx, other); err == nil {
				_, err = conn.Deliver(ctx, d)
			}
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, "NULL|NULL", dsnOf+"|"+identity)
		}
	}
	got := deliverytest.Rows(t, dsn, `select d.dsn, get_byte(k.identity, 0) from mailrow.deliveries d
		left join mailrow.identities k on k.delivery = d.id order by d.id`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Who may deliver cannot give identities to what is there.
func TestIdentityIsOfWhatIsStored(t *testing.T) {
	dsn := deliverytest.Database(t)
	over := connections(t, dsn, 1)
	results, err := over[0].Deliver(context.Background(), delivery(1))
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, deliverytest.AsDeliverer(dsn))
	for _, id := range []int64{results[0].ID, results[0].ID + 1} { // one tells as little as the other
		_, err := conn.Exec(context.Background(), fmt.Sprintf("select mailrow_delivery.note_identities(array['x'::bytea], array[%d])", id))
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "MR002" {
			t.Error(err)
		}
	}
	if got := deliverytest.Rows(t, dsn, "select count(*) from mailrow.identities"); got[0] != "0" {
		t.Error(got)
	}
}
