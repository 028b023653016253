package pop3_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/chaostest"
	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/pop3"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// The poller goes on over connections that break until the server is empty: each
// mail is a row then, once, byte for byte.
func TestPollingOverConnectionsThatBreak(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	s := dovecottest.Start(t, dovecottest.Config{})
	proxy := chaostest.Start(t, s.POP3, 30_000)
	p := &poller.Poller{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
		Open: func(ctx context.Context, _ source.Source, _ poller.URI) (poller.Source, error) {
			return pop3.Open(ctx, at(t, proxy.Addr()))
		},
		Config: deliver.DefaultConfig(),
		Warn: func(_ source.Source, err error) {
			var broken *poller.BrokenError
			if !errors.As(err, &broken) {
				t.Error(err)
			}
		},
	}
	account := "ann"
	of := source.Source{URI: "pop3://u1%40test.local@127.0.0.1?after=delete", Account: &account}
	var err error
	if of.ID, err = source.Add(t.Context(), conn, of); err != nil {
		t.Fatal(err)
	}
	n, runs := 0, 0
	var duplicates int64
	for proxy.Cuts() < cuts {
		if runs%4 == 0 {
			s.Append(t, dovecottest.User, "INBOX", mails(n + 20)[n:]...)
			n += 20
		}
		runs++
		count, _ := p.Run(t.Context(), of) // if not now, then next time
		duplicates += count.Duplicate
	}
	proxy.Calm()
	// A mail that was cut off twice in a row waits a minute.
	if _, err := conn.Exec(t.Context(), `update mailrow.source_messages set retry_at = null`); err != nil {
		t.Fatal(err)
	}
	if count, err := p.Run(t.Context(), of); err != nil || count.Failed > 0 {
		t.Errorf("%+v, %v", count, err)
	}
	t.Logf("%d mails, %d runs, %d cuts, %d fetched twice", n, runs, proxy.Cuts(), duplicates)
	if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) > 0 {
		t.Errorf("%d mails are left", len(left))
	}
	if duplicates > 0 {
		t.Errorf("%d mails were fetched again", duplicates)
	}
	rows, err := conn.Query(t.Context(), `select mailrow.raw(id) from mailrow.mail`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for _, raw := range got {
		stored[string(raw)]++
	}
	want := map[string]int{}
	for _, m := range mails(n) {
		want[string(m)] = 1
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("stored: %.2000s", diff)
	}
}
