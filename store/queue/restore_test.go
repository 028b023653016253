package queue_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

// spend uses up transaction ids.
func spend(t testing.TB, conn *pgx.Conn, n int) {
	t.Helper()
	exec(t, conn, `set synchronous_commit = off`)
	exec(t, conn, fmt.Sprintf(`do $$ begin for i in 1..%d loop perform pg_current_xact_id(); commit; end loop; end $$`, n))
}

// drain claims and acknowledges all that there is.
func drain(t testing.TB, conn *pgx.Conn, consumer string) []int64 {
	t.Helper()
	all := []int64{}
	for {
		ids := claim(t, conn, consumer, 7, long)
		if len(ids) == 0 {
			slices.Sort(all)
			return all
		}
		ack(t, conn, consumer, ids...)
		all = append(all, ids...)
	}
}

// Restored in another cluster, whose transaction ids are ahead or behind, no
// mail is skipped and none comes again.
func TestRestoreInAnotherCluster(t *testing.T) {
	const many = 5000 // transactions, more than the rest of the test makes
	for _, test := range []struct {
		name       string
		here, away int // transaction ids spent
	}{
		{"ids ahead", 0, many},
		{"ids behind", many, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			here, away := pgtest.New(t, map[string]string{"fsync": "off"}), pgtest.New(t, map[string]string{"fsync": "off"})
			d := &database{dsn: deliverytest.DatabaseOn(t, here)}
			d.admin = archivetest.Connect(t, d.dsn)
			exec(t, d.admin, `insert into mailrow.accounts (account_id, name) values (1001, 'a@example.org')`)
			exec(t, d.admin, `insert into mailrow.mailboxes (account_id, mailbox_id, name) values (1001, 0, 'INBOX')`)
			spend(t, d.admin, test.here)
			spend(t, archivetest.Connect(t, away.DSN("postgres", "postgres")), test.away)

			// One consumer has everything, one is amid a round, one has missed the
			// last mail, which a transaction older than its snapshot brought.
			old := store(t, d.admin, 250)
			writer := archivetest.Connect(t, d.dsn)
			tx := begin(t, writer)
			late := store(t, writer, 2)
			store250 := store(t, d.admin, 1)
			wantIDs(t, "all but the late", drain(t, d.admin, "missed"), append(slices.Clone(old), store250...))
			commit(t, tx)
			recent := store(t, d.admin, 3)
			all := slices.Concat(old, store250, late, recent)
			slices.Sort(all)
			wantIDs(t, "all", drain(t, d.admin, "all"), all)
			amid := claim(t, d.admin, "amid", 5, long)
			ack(t, d.admin, "amid", amid...)
			unacked := claim(t, d.admin, "amid", 3, long)

			restored := here.Restore(t, d.dsn, away)
			conn := archivetest.Connect(t, restored)
			// Mail that comes before the first claim, some of it from a transaction
			// that goes on for longer.
			writer = archivetest.Connect(t, restored)
			tx = begin(t, writer)
			open := store(t, writer, 2)
			fresh := store(t, conn, 4)
			wantIDs(t, "while a writer from before the first claim goes on", claim(t, conn, "all", 9, long), []int64{})
			commit(t, tx)
			fresh = append(fresh, open...)
			slices.Sort(fresh)

			wantIDs(t, "all, restored", drain(t, conn, "all"), fresh)
			missed := slices.Concat(late, recent, fresh)
			slices.Sort(missed)
			wantIDs(t, "missed, restored", drain(t, conn, "missed"), missed)
			rest := slices.DeleteFunc(slices.Concat(all, fresh), func(id int64) bool {
				return slices.Contains(amid, id) || slices.Contains(unacked, id)
			})
			slices.Sort(rest)
			some := claim(t, conn, "amid", 90, long)
			ack(t, conn, "amid", some...)

			// Once more, amid the walk through what was restored.
			third := pgtest.New(t, map[string]string{"fsync": "off"})
			again := archivetest.Connect(t, away.Restore(t, restored, third))
			got := append(some, drain(t, again, "amid")...)
			slices.Sort(got)
			wantIDs(t, "amid, restored twice", got, rest)
			wantIDs(t, "in hand when it was restored", expire(t, again, "amid"), unacked)
			wantIDs(t, "new consumer, restored twice", drain(t, again, "new"), slices.Concat(all, fresh))

			// Nothing comes back when transaction ids reach those of the old rows.
			spend(t, again, 2*many)
			more := store(t, again, 2)
			for _, consumer := range []string{"all", "missed", "amid", "new"} {
				wantIDs(t, consumer+", after many transactions", drain(t, again, consumer), more)
			}
			want(t, "lives", value[int](t, again, `select life from mailrow.lineage`), 3)
			if log := away.Log(); !strings.Contains(log, "waits for transactions") {
				t.Error("no warning while a writer was awaited")
			}
		})
	}
}

// expire lets leases run out and gives what comes then.
func expire(t testing.TB, conn *pgx.Conn, consumer string) []int64 {
	t.Helper()
	exec(t, conn, `update mailrow.claims set due_at = now() where state = 'leased'`)
	return drain(t, conn, consumer)
}

// A promoted standby is the same database: nothing is walked again.
func TestPhysicalCopyGoesOn(t *testing.T) {
	primary := pgtest.New(t, nil)
	d := &database{dsn: deliverytest.DatabaseOn(t, primary)}
	d.admin = archivetest.Connect(t, d.dsn)
	exec(t, d.admin, `insert into mailrow.accounts (account_id, name) values (1001, 'a@example.org')`)
	store(t, d.admin, 10)
	drain(t, d.admin, "x")
	writer := archivetest.Connect(t, d.dsn)
	begin(t, writer)
	store(t, writer, 1)
	waiting := store(t, d.admin, 1)
	standby := primary.Standby(t)
	standby.CatchUp(t, primary)
	standby.Promote(t)
	conn := archivetest.Connect(t, standby.DSN("postgres", d.admin.Config().Database))
	exec(t, conn, `vacuum (freeze, full) mailrow.origin`)
	wantIDs(t, "on the copy", drain(t, conn, "x"), waiting)
	more := store(t, conn, 1)
	wantIDs(t, "new mail", drain(t, conn, "x"), more)
	want(t, "life", value[int](t, conn, `select life from mailrow.lineage`), 1)
}

func TestListen(t *testing.T) {
	d := setUp(t)
	listener := archivetest.Connect(t, d.dsn)
	quiet := archivetest.Deliver(t, d.dsn, "a@example.org", "Subject: before\n\nx\n")
	exec(t, listener, `select mailrow.listen()`)
	id := archivetest.Deliver(t, d.dsn, "a@example.org", "Subject: after\n\nx\n")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n, err := listener.WaitForNotification(ctx)
	if err != nil {
		t.Fatalf("%v (mail %d, %d)", err, quiet, id)
	}
	want(t, "notification", words(n.Channel, n.Payload), words("mailrow", id))
	until := value[time.Time](t, d.admin, `select notify_until from mailrow.accounts where name = 'a@example.org'`)
	exec(t, listener, `select mailrow.listen('1 second', 'b@example.org')`)
	if got := value[time.Time](t, d.admin, `select notify_until from mailrow.accounts where name = 'a@example.org'`); !got.Equal(until) {
		t.Errorf("a shorter wish made %v of %v", got, until)
	}
	if _, err := listener.Exec(ctx, `select mailrow.listen('2 days')`); err == nil {
		t.Error("listens for two days")
	}
}
