package load_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// waiting waits until a backend waits for the transaction of another.
func waiting(t *testing.T, dsn string, other *pgx.Conn) {
	t.Helper()
	for range 1000 {
		if rows := deliverytest.Rows(t, dsn, fmt.Sprintf("select pid from pg_stat_activity where %d = any (pg_blocking_pids(pid))", other.PgConn().PID())); rows != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("nobody waits for the transaction")
}

// Mail for a thread that another transaction is about to join to an older one is
// in the joined thread, with all ids that it brings: even when it brings but a
// subject, its own id having been named before.
func TestThreadIsJoinedMeanwhile(t *testing.T) {
	for name, bring := range map[string]func(*testing.T, string, *store.Delivery){
		"by a delivery": func(t *testing.T, dsn string, d *store.Delivery) {
			_, conn := connect(t, dsn)
			if _, err := conn.Deliver(context.Background(), d); err != nil {
				t.Error(err)
			}
		},
		"by a load": func(t *testing.T, dsn string, d *store.Delivery) {
			loadAll(t, dsn, load.Options{}, []*store.Delivery{d})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			dsn := deliverytest.Database(t)
			_, conn := connect(t, dsn)
			for _, raw := range []string{
				"Message-ID: <older@example.org>\n\nolder\n",
				"Message-ID: <younger@example.org>\n\nyounger\n",
				"Message-ID: <names@example.org>\nReferences: <younger@example.org> <meanwhile@example.org>\n\nnames\n",
			} {
				if _, err := conn.Deliver(ctx, mail(raw)); err != nil {
					t.Fatal(err)
				}
			}
			joiner, err := pgx.Connect(ctx, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer joiner.Close(ctx)
			tx, err := joiner.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, `
				select mailrow.join_threads(account_id, array_agg(id)) from mailrow.thread_ids group by account_id`); err != nil {
				t.Fatal(err)
			}
			brought := make(chan struct{})
			go func() {
				defer close(brought)
				// The attachment makes it one for find_thread().
				bring(t, dsn, mail("Message-ID: <meanwhile@example.org>\nReferences: <younger@example.org>\nSubject: lunch\n"+
					"From: a@example.org\nTo: b@example.org\nContent-Disposition: attachment\n\nmeanwhile\n"))
			}()
			waiting(t, dsn, joiner)
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			<-brought
			got := deliverytest.Rows(t, dsn, `
				select (select count(distinct thread) from mailrow.messages), count(*), count(distinct thread) from mailrow.thread_ids`)
			if got[0] != "1|5|1" {
				t.Errorf("threads of messages, ids, their threads: %s, want 1|5|1", got[0])
			}
		})
	}
}

// A batch that answers several threads, and finds that one of them is just being
// joined, does not keep the other from being joined, too.
func TestThreadsAreJoinedMeanwhile(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	_, conn := connect(t, dsn)
	for _, name := range []string{"older", "one", "other"} {
		if _, err := conn.Deliver(ctx, mail("Message-ID: <"+name+"@example.org>\n\n"+name+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	list := []*store.Delivery{
		mail("Message-ID: <to-one@example.org>\nReferences: <one@example.org>\n\nto one\n"),
		mail("Message-ID: <to-other@example.org>\nReferences: <other@example.org>\n\nto other\n"),
	}
	last := lastID(list)
	list = append(list, last)

	// The batch waits at its last id, until the other thread is being joined.
	begin := func() pgx.Tx {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(ctx) })
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	barrier, joiner := begin(), begin()
	if _, err := barrier.Exec(ctx, "insert into mailrow.thread_ids (account_id, id, thread) select account_id, $1, 1 from mailrow.accounts",
		store.ThreadsOf(last.Message).Named[0]); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		loadAll(t, dsn, load.Options{Connections: 1}, list)
	}()
	waiting(t, dsn, barrier.Conn())
	join := func(name string) {
		t.Helper()
		if _, err := joiner.Exec(ctx, `
			select mailrow.join_threads(m.account_id, array_agg(t.id)) from mailrow.messages m
			join mailrow.thread_ids t on t.thread = m.thread
			where m.message_id in ('older@example.org', $1) group by m.account_id`, name+"@example.org"); err != nil {
			t.Error(err)
		}
	}
	join("other")
	if err := barrier.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	waiting(t, dsn, joiner.Conn())
	join("one")
	if err := joiner.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	<-loaded
	got := deliverytest.Rows(t, dsn, `
		select thread, count(*) from mailrow.messages group by thread
		union all select thread, count(*) from mailrow.thread_ids group by thread order by 1, 2`)
	if want := []string{"1|5", "1|5", "6|1", "6|1"}; !slices.Equal(got, want) {
		t.Errorf("messages and ids of the threads: %q, want %q", got, want)
	}
	noDeadlocks(t, dsn)
}

// The ids by which a mail has found its thread stay while it is being stored, also when
// threads were joined for it: who deletes the last mail of the thread leaves them.
func TestIDsOfAThreadStayForWhoAdoptsIt(t *testing.T) {
	for name, c := range map[string]struct {
		find string
		gone string // threads without a message
		want []string
	}{
		"one mail": {"select mailrow.find_thread(1, '{1,2,11}', null, 100)", "{10,20}", []string{"1|10", "2|10", "3|30", "11|10"}},
		"a batch": {"select mailrow.find_threads(1, '{1,2,3,11,12}', '{1,1,2,1,2}', '{t,t,t,t,t}', '{100,101}')", "{10,20,30}",
			[]string{"1|10", "2|10", "3|30", "11|10", "12|30"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			dsn := deliverytest.Database(t)
			deliverytest.Rows(t, dsn, "insert into mailrow.accounts (account_id, name) overriding system value values (1, 'ann@example.com')")
			deliverytest.Rows(t, dsn, "insert into mailrow.thread_ids (account_id, id, thread) values (1, 1, 10), (1, 2, 20), (1, 3, 30)")
			conn, err := pgx.Connect(ctx, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(ctx)
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, c.find); err != nil {
				t.Fatal(err)
			}
			deliverytest.Rows(t, dsn, "select mailrow.remove_threads(1, $1)", c.gone)
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			got := deliverytest.Rows(t, dsn, "select id, thread from mailrow.thread_ids order by id")
			if !slices.Equal(got, c.want) {
				t.Errorf("ids and their threads: %q, want %q", got, c.want)
			}
		})
	}
}

// lastID is a mail of an id that comes after all others.
func lastID(others []*store.Delivery) *store.Delivery {
	var greatest int64
	for _, d := range others {
		greatest = max(greatest, slices.Max(store.ThreadsOf(d.Message).Named))
	}
	for n := 0; ; n++ {
		d := mail(fmt.Sprintf("Message-ID: <%d@example.org>\n\nlast\n", n))
		if store.ThreadsOf(d.Message).Named[0] > greatest {
			return d
		}
	}
}

// noDeadlocks is for when the loads have ended: a backend tells what it has met at its end.
func noDeadlocks(t *testing.T, dsn string) {
	t.Helper()
	for range 1000 {
		if deliverytest.Rows(t, dsn, `
			select pid from pg_stat_activity
			where datname = current_database() and query like '%deliver_all%' and query not like '%pg_stat_activity%'`) == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if deadlocks := deliverytest.Rows(t, dsn, "select deadlocks from pg_stat_database where datname = current_database()"); deadlocks[0] != "0" {
		t.Errorf("%s deadlocks", deadlocks[0])
	}
}

func mail(raw string) *store.Delivery {
	const to = "ann@example.com"
	return &store.Delivery{
		Raw: []byte(raw), Message: message.Parse([]byte(raw)), Account: to,
		Envelope: &message.Envelope{Source: "import", Recipients: []message.Recipient{{Address: to}}},
		Lookups:  []store.Lookup{{Address: to, Base: to}},
	}
}
