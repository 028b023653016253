package store_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/message"
	"mailrow/store"
)

// What a sender asks of notifications is said for each recipient, and again only
// with the delivery that stores.
func TestDSNIsRecorded(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	p := pool(t, dsn, 1)
	d := delivery(1)
	d.Envelope.Recipients = []message.Recipient{
		{Address: "ann@example.com", DSN: "RET=HDRS NOTIFY=SUCCESS"}, {Address: "bob@example.com"},
	}
	d.Lookups = append(d.Lookups, store.Lookup{Address: "bob@example.com", Base: "bob@example.com"})
	for range 2 {
		if _, err := p.Deliver(ctx, d); err != nil {
			t.Fatal(err)
		}
		d.Envelope.Recipients[0].DSN = "RET=FULL"
	}
	got := deliverytest.Rows(t, dsn, "select recipient, dsn, redelivered from mailrow.deliveries order by 1")
	if diff := cmp.Diff([]string{"ann@example.com|RET=HDRS NOTIFY=SUCCESS|1", "bob@example.com|NULL|1"}, got); diff != "" {
		t.Error(diff)
	}
	// Who may deliver changes nothing that is there.
	conn := connect(t, deliverytest.AsDeliverer(dsn))
	exec(t, conn, "select mailrow_delivery.note_dsn(array['x', 'x'], array[1, 2])")
	if diff := cmp.Diff(got, deliverytest.Rows(t, dsn, "select recipient, dsn, redelivered from mailrow.deliveries order by 1")); diff != "" {
		t.Error(diff)
	}
}
