package load_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// waiting waits until a backend waits for a lock.
func waiting(t *testing.T, dsn string) {
	t.Helper()
	for range 1000 {
		if rows := deliverytest.Rows(t, dsn, "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"); rows != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("nobody waits for a lock")
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
			waiting(t, dsn)
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

func mail(raw string) *store.Delivery {
	const to = "ann@example.com"
	return &store.Delivery{
		Raw: []byte(raw), Message: message.Parse([]byte(raw)), Account: to,
		Envelope: &message.Envelope{Source: "import", Recipients: []message.Recipient{{Address: to}}},
		Lookups:  []store.Lookup{{Address: to, Base: to}},
	}
}
