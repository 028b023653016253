package load_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/store"
	"mailrow/store/load"
)

// Consumers are handed loaded mail as delivered mail, and who listens hears of
// it; who does not is not told.
func TestConsumersAndListeners(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	const n = 60
	list := archive(2 * n)
	if _, err := conn.Exec(ctx, "listen mailrow"); err != nil {
		t.Fatal(err)
	}
	claimed := func() (count int) {
		err := conn.QueryRow(ctx, "select count(distinct mail_id) from mailrow.claim('all', 1000)").Scan(&count)
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	claimed()
	first := loadAll(t, dsn, load.Options{}, list[:n])
	if got, want := claimed(), first[store.Stored]; got != want {
		t.Errorf("handed out %d mails of %d", got, want)
	}
	quiet, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if heard, err := conn.WaitForNotification(quiet); err == nil {
		t.Errorf("was told of %s without having asked", heard.Payload)
	}

	if err := conn.Close(ctx); err != nil { // a timeout may have broken it
		t.Fatal(err)
	}
	if conn, err = pgx.Connect(ctx, dsn); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "select mailrow.listen()"); err != nil {
		t.Fatal(err)
	}
	second := loadAll(t, dsn, load.Options{}, list[n:])
	heard := map[string]bool{}
	for len(heard) < second[store.Stored] {
		patient, cancel := context.WithTimeout(ctx, 10*time.Second)
		told, err := conn.WaitForNotification(patient)
		cancel()
		if err != nil {
			t.Fatalf("heard of %d mails of %d: %v", len(heard), second[store.Stored], err)
		}
		heard[told.Payload] = true
	}
	if got, want := claimed(), second[store.Stored]; got != want {
		t.Errorf("handed out %d mails of %d", got, want)
	}
}

// Who may deliver may not load.
func TestStrangersDoNotLoad(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	role := "stranger_of_" + strings.TrimPrefix(address.Path, "/")
	deliverytest.Rows(t, dsn, "create role "+role+" login")
	query := address.Query()
	query.Set("user", role)
	address.User, address.RawQuery = url.User(role), query.Encode()
	config, err := store.ParseConfig(address.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load.Open(ctx, config, load.Options{}); store.TroubleOf(err) != store.TroubleRights {
		t.Errorf("got %v, want a lack of rights", err)
	}
}

func TestLoadThatHasEnded(t *testing.T) {
	ctx := context.Background()
	config, _ := connect(t, deliverytest.Database(t))
	l, err := load.Open(ctx, config, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Add(ctx, archive(1)[0]); err == nil {
		t.Error("a load that has ended takes mail")
	}
}
