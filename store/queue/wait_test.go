package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/store/archive/archivetest"
	"mailrow/store/queue"
)

const welcome = "From: shop@example.net\nTo: Bob <bob@example.org>\nSubject: Welcome aboard\n\nhttps://example.net/confirm?t=1\n"

func TestWait(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	conn := archivetest.Connect(t, d.dsn)
	wait := func(query string, timeout, since time.Duration) (int64, bool) {
		t.Helper()
		id, found, err := queue.Wait(ctx, conn, query, timeout, since)
		if err != nil {
			t.Fatal(err)
		}
		return id, found
	}

	start := time.Now()
	if id, found := wait("to:bob@example.org", 300*time.Millisecond, time.Minute); found {
		t.Errorf("found %d before there was any", id)
	}
	if took := time.Since(start); took < 300*time.Millisecond || took > 10*time.Second {
		t.Errorf("a timeout of 300ms took %v", took)
	}

	// Stored while it waits, by a transaction that began before.
	arrived := make(chan int64)
	go func() {
		time.Sleep(400 * time.Millisecond)
		id, err := archivetest.Store(d.dsn, "bob@example.org", welcome)
		if err != nil {
			t.Error(err)
		}
		arrived <- id
	}()
	id, found := wait("to:bob@example.org subject:welcome", 30*time.Second, time.Minute)
	if want := <-arrived; !found || id != want {
		t.Errorf("got %d, %v; want %d", id, found, want)
	}

	// There already: no waiting.
	if again, found := wait("subject:welcome", time.Millisecond, time.Minute); !found || again != id {
		t.Errorf("got %d, %v; want %d", again, found, id)
	}
	newer := archivetest.Deliver(t, d.dsn, "bob@example.org", welcome+"again\n")
	if got, _ := wait("subject:welcome", time.Millisecond, time.Minute); got != newer {
		t.Errorf("got %d, want the newest, %d", got, newer)
	}
	exec(t, d.admin, `update mailrow.deliveries set received_at = received_at - interval '1 hour'`)
	if got, found := wait("subject:welcome", time.Millisecond, time.Minute); found {
		t.Errorf("got %d, which came an hour ago", got)
	}
	if _, found := wait("subject:welcome", time.Millisecond, 2*time.Hour); !found {
		t.Error("did not find what came an hour ago")
	}

	tx, err := d.admin.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	_, _, err = queue.Wait(ctx, d.admin, "subject:welcome", time.Second, time.Minute)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "25000" {
		t.Errorf("in a snapshot that stays: got %v", err)
	}
}

func TestWaitFindsOnlyWhatTheReaderMayRead(t *testing.T) {
	d := setUp(t)
	archivetest.Deliver(t, d.dsn, "a@example.org", welcome)
	archivetest.Deliver(t, d.dsn, "b@example.org", welcome)
	alice, bob := d.reader(t, "alice", "a@example.org"), d.reader(t, "bob")
	const sql = `select coalesce(mailrow.wait_for('subject:welcome', '1 ms'), 0)`
	if got := value[int64](t, alice, sql); got == 0 || value[string](t, alice, `select account from mailrow.mail where id = $1`, got) != "a@example.org" {
		t.Errorf("alice got %d", got)
	}
	want(t, "bob", value[int64](t, bob, sql), 0)
}
