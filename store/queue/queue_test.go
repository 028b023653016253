package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/queue"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const long = time.Hour

// database is one with accounts a@example.org (1) and b@example.org (2).
type database struct {
	dsn   string
	admin *pgx.Conn
}

func setUp(t *testing.T) *database {
	t.Helper()
	d := &database{dsn: deliverytest.Database(t)}
	d.admin = archivetest.Connect(t, d.dsn)
	exec(t, d.admin, `insert into mailrow.accounts (account_id, name)
		overriding system value values (1001, 'a@example.org'), (1002, 'b@example.org')`)
	exec(t, d.admin, `insert into mailrow.mailboxes (account_id, mailbox_id, name)
		overriding system value values (1001, 0, 'INBOX'), (1002, 0, 'INBOX'), (1001, 1, 'Lists')`)
	return d
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func exec(t testing.TB, conn querier, sql string, args ...any) {
	t.Helper()
	rows, err := conn.Query(context.Background(), sql, args...)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value[T any](t testing.TB, conn querier, sql string, args ...any) T {
	t.Helper()
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// store puts n mails into account a, as a delivery that is not over yet would.
func store(t testing.TB, conn querier, n int) []int64 {
	t.Helper()
	return storeIn(t, conn, 1001, 0, n)
}

func storeIn(t testing.TB, conn querier, account, mailbox, n int) []int64 {
	t.Helper()
	ids, err := insert(conn, account, mailbox, n)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func insert(conn querier, account, mailbox, n int) ([]int64, error) {
	rows, err := conn.Query(context.Background(), `
		insert into mailrow.deliveries (account_id, message, mailbox, source, recipient)
		select $1, nextval('mailrow.messages_id_seq'), $2, 'test', 'a@example.org' from generate_series(1, $3)
		returning id`, account, mailbox, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func claim(t testing.TB, conn *pgx.Conn, consumer string, n int, lease time.Duration) []int64 {
	t.Helper()
	mails, err := queue.Claim(context.Background(), conn, consumer, n, lease)
	if err != nil {
		t.Fatal(err)
	}
	ids := []int64{}
	for _, m := range mails {
		ids = append(ids, m.ID)
	}
	return ids
}

func ack(t testing.TB, conn *pgx.Conn, consumer string, ids ...int64) int {
	t.Helper()
	done, err := queue.Ack(context.Background(), conn, consumer, ids...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func nack(t testing.TB, conn *pgx.Conn, consumer string, id int64, delay time.Duration, reason string) bool {
	t.Helper()
	found, err := queue.Nack(context.Background(), conn, consumer, id, delay, reason)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// words are values with a space in between.
func words(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }

func wantIDs(t testing.TB, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func begin(t testing.TB, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func commit(t testing.TB, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestClaimAndAck(t *testing.T) {
	d := setUp(t)
	id := archivetest.Deliver(t, d.dsn, "carol@example.org", "From: ann@example.net\nSubject: hello\n\nhello\n")
	mails, err := queue.Claim(context.Background(), d.admin, "x", 10, long)
	if err != nil || len(mails) != 1 {
		t.Fatalf("%v, %v", mails, err)
	}
	m := mails[0]
	got := words(m.ID == id, m.Attempt, m.Account, m.Mailbox, *m.Sender, m.Recipient, *m.FromAddress, *m.Subject,
		time.Until(m.LeasedUntil).Round(time.Minute), time.Since(m.ReceivedAt) < time.Minute)
	want(t, "mail", got, "true 1 carol@example.org INBOX sender@example.net carol@example.org ann@example.net hello 1h0m0s true")
	wantIDs(t, "again", claim(t, d.admin, "x", 10, long), []int64{})
	want(t, "ack", ack(t, d.admin, "x", id, id, id+1), 1)
	want(t, "second ack", ack(t, d.admin, "x", id), 0)
	want(t, "rows left", value[int](t, d.admin, `select count(*) from mailrow.claims`), 0)
	wantIDs(t, "after the ack", claim(t, d.admin, "x", 10, long), []int64{})
}

func TestConsumersAreIndependent(t *testing.T) {
	d := setUp(t)
	ids := store(t, d.admin, 3)
	wantIDs(t, "x", claim(t, d.admin, "x", 2, long), ids[:2])
	want(t, "ack of another consumer's mail", ack(t, d.admin, "y", ids[0]), 0)
	wantIDs(t, "y", claim(t, d.admin, "y", 9, long), ids)
	ack(t, d.admin, "x", ids...)
	want(t, "y's, after x's ack", ack(t, d.admin, "y", ids...), 3)
	wantIDs(t, "rest of x", claim(t, d.admin, "x", 9, long), ids[2:])
}

func TestLeaseRunsOut(t *testing.T) {
	d := setUp(t)
	other := archivetest.Connect(t, d.dsn)
	id := store(t, d.admin, 1)[0]
	claim(t, d.admin, "x", 1, time.Millisecond)
	time.Sleep(5 * time.Millisecond)
	wantIDs(t, "after the lease", claim(t, other, "x", 1, long), []int64{id})
	// The first worker is late, and done: that counts.
	want(t, "late ack", ack(t, d.admin, "x", id), 1)
	want(t, "ack of who has it", ack(t, other, "x", id), 0)
	want(t, "nack of who has it", nack(t, other, "x", id, 0, "no"), false)
	extended, err := queue.Extend(context.Background(), other, "x", id, long)
	want(t, "extend of who has it", words(extended, err), "false <nil>")
	wantIDs(t, "done", claim(t, other, "x", 1, long), []int64{})
}

func TestExtend(t *testing.T) {
	d := setUp(t)
	id := store(t, d.admin, 1)[0]
	claim(t, d.admin, "x", 1, 20*time.Millisecond)
	extended, err := queue.Extend(context.Background(), d.admin, "x", id, long)
	want(t, "extend", words(extended, err), "true <nil>")
	time.Sleep(30 * time.Millisecond)
	wantIDs(t, "after the first lease", claim(t, d.admin, "x", 1, long), []int64{})
}

func TestNackPutsOff(t *testing.T) {
	d := setUp(t)
	ids := store(t, d.admin, 2)
	claim(t, d.admin, "x", 1, long)
	want(t, "nack", nack(t, d.admin, "x", ids[0], 50*time.Millisecond, "busy"), true)
	want(t, "second nack", nack(t, d.admin, "x", ids[0], 0, "busy"), false)
	want(t, "nack of what was never handed out", nack(t, d.admin, "x", ids[1], 0, "no"), false)
	want(t, "ack of what was never handed out", ack(t, d.admin, "x", ids[1]), 0)
	wantIDs(t, "before the delay is over", claim(t, d.admin, "x", 9, long), ids[1:])
	time.Sleep(60 * time.Millisecond)
	wantIDs(t, "after the delay", claim(t, d.admin, "x", 9, long), ids[:1])
}

func TestDeadLetters(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	exec(t, d.admin, `select mailrow.consumer('x', max_attempts => 2)`)
	ids := store(t, d.admin, 2)
	for range 2 {
		wantIDs(t, "attempt", claim(t, d.admin, "x", 9, 5*time.Millisecond), ids)
		nack(t, d.admin, "x", ids[0], 0, "does not parse")
		time.Sleep(10 * time.Millisecond)
	}
	wantIDs(t, "given up", claim(t, d.admin, "x", 9, long), []int64{})
	letters, err := queue.DeadLetters(ctx, d.admin, "x")
	if err != nil || len(letters) != 2 {
		t.Fatalf("%+v, %v", letters, err)
	}
	for _, l := range letters {
		reason := map[int64]string{ids[0]: "does not parse", ids[1]: "lease ran out"}[l.ID]
		want(t, "dead letter", words(*l.Reason, l.Attempts, l.Account), reason+" 2 a@example.org")
	}
	status, err := queue.Consumers(ctx, d.admin)
	if err != nil || len(status) != 1 || status[0].Dead != 2 || status[0].Waiting != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	revived, err := queue.Revive(ctx, d.admin, "x", ids[0])
	want(t, "revive", words(revived, err), "1 <nil>")
	wantIDs(t, "revived", claim(t, d.admin, "x", 9, long), ids[:1])
	want(t, "ack of a dead letter", ack(t, d.admin, "x", ids[1]), 1)
	revived, err = queue.Revive(ctx, d.admin, "x", 0)
	want(t, "revive of none", words(revived, err), "0 <nil>")
}

func TestReleaseDoesNotCount(t *testing.T) {
	d := setUp(t)
	id := store(t, d.admin, 1)[0]
	for range 2 {
		mails, err := queue.Claim(context.Background(), d.admin, "x", 1, long)
		if err != nil || len(mails) != 1 || mails[0].Attempt != 1 {
			t.Fatalf("%+v, %v", mails, err)
		}
		found, err := queue.Release(context.Background(), d.admin, "x", id)
		want(t, "release", words(found, err), "true <nil>")
	}
	found, err := queue.Release(context.Background(), d.admin, "x", id)
	want(t, "release of what is not in hand", words(found, err), "false <nil>")
}

func TestDeletedMailIsDropped(t *testing.T) {
	d := setUp(t)
	gone := archivetest.Deliver(t, d.dsn, "carol@example.org", "Subject: one\n\none\n")
	claim(t, d.admin, "x", 1, time.Millisecond)
	second := archivetest.Deliver(t, d.dsn, "carol@example.org", "Subject: two\n\ntwo\n")
	stays := archivetest.Deliver(t, d.dsn, "carol@example.org", "Subject: three\n\nthree\n")
	for _, id := range []int64{gone, second} {
		if err := archive.Delete(context.Background(), d.admin, id); err != nil {
			t.Fatal(err)
		}
	}
	wantIDs(t, "left", claim(t, d.admin, "x", 1, long), []int64{stays})
	want(t, "ack of what was deleted", ack(t, d.admin, "x", gone), 0)
}

func TestRollbackGivesBack(t *testing.T) {
	d := setUp(t)
	ids := store(t, d.admin, 3)
	other := archivetest.Connect(t, d.dsn)
	tx := begin(t, other)
	wantIDs(t, "in a transaction", claim(t, other, "x", 2, long), ids[:2])
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "after its rollback", claim(t, d.admin, "x", 9, long), ids)
}

// Another worker waits for new mail, but not for ever.
func TestOpenClaimDoesNotBlockOthers(t *testing.T) {
	d := setUp(t)
	ids := store(t, d.admin, 2)
	exec(t, d.admin, `select mailrow.consumer('x')`)
	other := archivetest.Connect(t, d.dsn)
	tx := begin(t, other)
	wantIDs(t, "in a transaction", claim(t, other, "x", 1, long), ids[:1])
	start := time.Now()
	wantIDs(t, "meanwhile", claim(t, d.admin, "x", 9, long), []int64{})
	if waited := time.Since(start); waited > 10*time.Second {
		t.Errorf("waited %v", waited)
	}
	commit(t, tx)
	wantIDs(t, "after its commit", claim(t, d.admin, "x", 9, long), ids[1:])
}

func TestIdleTransactionHoldsNothingUp(t *testing.T) {
	d := setUp(t)
	idle := archivetest.Connect(t, d.dsn)
	tx := begin(t, idle)
	late := store(t, idle, 1)
	for range 3 {
		ids := store(t, d.admin, 2)
		wantIDs(t, "while it is idle", claim(t, d.admin, "x", 9, long), ids)
	}
	commit(t, tx)
	wantIDs(t, "once it is committed", claim(t, d.admin, "x", 9, long), late)
	wantIDs(t, "and no more", claim(t, d.admin, "x", 9, long), []int64{})
}

func TestMailOfTheTransactionThatClaims(t *testing.T) {
	d := setUp(t)
	other := archivetest.Connect(t, d.dsn)
	exec(t, d.admin, `select mailrow.consumer('x')`)
	tx := begin(t, d.admin)
	ids := store(t, d.admin, 1)
	claim(t, d.admin, "x", 9, time.Millisecond)
	store(t, other, 1)
	claim(t, d.admin, "x", 9, time.Millisecond)
	ids = append(ids, store(t, d.admin, 1)...)
	commit(t, tx)
	time.Sleep(5 * time.Millisecond)
	got := claim(t, d.admin, "x", 9, long)
	for _, id := range ids {
		if !slices.Contains(got, id) {
			t.Errorf("got %v, without %d", got, id)
		}
	}
}

func TestRepeatableReadSkipsNothing(t *testing.T) {
	d := setUp(t)
	exec(t, d.admin, `select mailrow.consumer('x')`)
	other := archivetest.Connect(t, d.dsn)
	first := store(t, d.admin, 1)
	tx, err := other.BeginTx(context.Background(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	value[int](t, other, `select count(*) from mailrow.deliveries`)
	later := store(t, d.admin, 1)
	wantIDs(t, "in its snapshot", claim(t, other, "x", 9, long), first)
	commit(t, tx)
	wantIDs(t, "after it", claim(t, d.admin, "x", 9, long), later)
}

func TestHistoryInBatches(t *testing.T) {
	const mails, batch = 10_000, 100
	d := setUp(t)
	store(t, d.admin, mails/2)
	for range 5 {
		store(t, d.admin, mails/10)
	}
	start := time.Now()
	seen := map[int64]bool{}
	for {
		ids := claim(t, d.admin, "x", batch, long)
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			if seen[id] {
				t.Fatalf("%d again", id)
			}
			seen[id] = true
		}
		ack(t, d.admin, "x", ids...)
	}
	want(t, "mails", len(seen), mails)
	t.Logf("%d mails in batches of %d: %v", mails, batch, time.Since(start))
}

func TestFilterAndFromNow(t *testing.T) {
	d := setUp(t)
	inbox, lists := store(t, d.admin, 2), storeIn(t, d.admin, 1001, 1, 2)
	storeIn(t, d.admin, 1002, 0, 1500)
	exec(t, d.admin, `select mailrow.consumer('account', account => 'a@example.org')`)
	exec(t, d.admin, `select mailrow.consumer('mailbox', mailbox => 'Lists')`)
	exec(t, d.admin, `select mailrow.consumer('later', account => 'carol@example.org')`)
	exec(t, d.admin, `select mailrow.consumer('now', from_now => true)`)
	wantIDs(t, "account", claim(t, d.admin, "account", 9999, long), append(inbox, lists...))
	wantIDs(t, "mailbox", claim(t, d.admin, "mailbox", 9999, long), lists)
	wantIDs(t, "account to come", claim(t, d.admin, "later", 9999, long), []int64{})
	wantIDs(t, "from now", claim(t, d.admin, "now", 9999, long), []int64{})
	wantIDs(t, "all, some", claim(t, d.admin, "all", 4, long), append(inbox, lists...))
	carol := archivetest.Deliver(t, d.dsn, "carol@example.org", "Subject: x\n\nx\n")
	wantIDs(t, "account that has come", claim(t, d.admin, "later", 9999, long), []int64{carol})
	wantIDs(t, "from now, later", claim(t, d.admin, "now", 9999, long), []int64{carol})

	// A change holds for what was about to be handed out.
	exec(t, d.admin, `select mailrow.consumer('all', account => 'carol@example.org')`)
	wantIDs(t, "narrowed", claim(t, d.admin, "all", 9999, long), []int64{carol})
	exec(t, d.admin, `select mailrow.consumer('all')`)
	wantIDs(t, "widened: from now on", claim(t, d.admin, "all", 9999, long), []int64{})
	more := storeIn(t, d.admin, 1002, 0, 1)
	wantIDs(t, "widened", claim(t, d.admin, "all", 9999, long), more)
}

func TestDropForgets(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	ids := store(t, d.admin, 2)
	claim(t, d.admin, "x", 1, long)
	if err := queue.Drop(ctx, d.admin, "x"); err != nil {
		t.Fatal(err)
	}
	want(t, "rows left", value[int](t, d.admin, `select count(*) from mailrow.claims`), 0)
	if err := queue.Drop(ctx, d.admin, "x"); !errors.Is(err, queue.ErrNoConsumer) {
		t.Errorf("got %v, want ErrNoConsumer", err)
	}
	wantIDs(t, "a new one of that name", claim(t, d.admin, "x", 9, long), ids)
}

func TestClaimRefusesNonsense(t *testing.T) {
	d := setUp(t)
	for _, args := range []string{"'x', 0", "'x', 10001", "'x', null", "'x', 1, '0'", "'x', 1, '-1 minute'", "'x', 1, null", "''", "null"} {
		_, err := d.admin.Exec(context.Background(), `select mailrow.claim(`+args+`)`)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			t.Errorf("claim(%s): got %v", args, err)
		}
	}
	want(t, "consumers", value[int](t, d.admin, `select count(*) from mailrow.consumers`), 0)
}
