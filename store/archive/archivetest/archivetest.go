// Package archivetest puts mail into the databases of tests, without mailrow-deliver.
package archivetest

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/message"
	"mailrow/store"
)

// Connect opens a connection that is closed with the test.
func Connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	return conn
}

// Deliver stores a mail for one recipient, as the delivery program would, and
// returns its id in view mail.
func Deliver(t testing.TB, dsn, recipient, raw string) int64 {
	t.Helper()
	id, err := Store(dsn, recipient, raw)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Store is Deliver where there is no testing.TB.
func Store(dsn, recipient, raw string) (int64, error) {
	ctx := context.Background()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return 0, err
	}
	conn, err := store.Connect(ctx, config)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	sender := "sender@example.net"
	results, err := conn.Deliver(ctx, &store.Delivery{
		Raw:     []byte(raw),
		Message: message.Parse([]byte(raw)),
		Envelope: &message.Envelope{
			Sender:         &sender,
			Recipients:     []message.Recipient{{Address: recipient}},
			ClientAddress:  netip.MustParseAddr("192.0.2.7"),
			ClientHelo:     "relay.example.net",
			ClientProtocol: "ESMTP",
			QueueID:        "4XyZ1",
			Source:         "pipe",
		},
		Lookups: []store.Lookup{{Address: strings.ToLower(recipient), Base: strings.ToLower(recipient)}},
	})
	if err != nil {
		return 0, err
	}
	return results[0].ID, nil
}
