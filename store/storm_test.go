package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/message"
	"mailrow/store"
)

// connections opens n of them, every other one prepared.
func connections(t *testing.T, dsn string, n int) (list []*store.Conn) {
	t.Helper()
	ctx := context.Background()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		conn, err := store.Connect(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(ctx) })
		if i%2 == 0 {
			if err := conn.Prepare(ctx); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, conn)
	}
	return list
}

// storm delivers all mails at once, over so many connections.
func storm(t *testing.T, over []*store.Conn, mails []string, to ...string) {
	t.Helper()
	ctx := context.Background()
	work := make(chan string)
	var all sync.WaitGroup
	for _, conn := range over {
		all.Go(func() {
			for raw := range work {
				d := &store.Delivery{Raw: []byte(raw), Message: message.Parse([]byte(raw)), Envelope: &message.Envelope{Source: "pipe"}}
				for _, i := range rand.Perm(len(to)) {
					d.Envelope.Recipients = append(d.Envelope.Recipients, message.Recipient{Address: to[i]})
					d.Lookups = append(d.Lookups, store.Lookup{Address: to[i], Base: to[i]})
				}
				if _, err := conn.Deliver(ctx, d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, raw := range mails {
		work <- raw
	}
	close(work)
	all.Wait()
}

// Mails of a conversation that come at once and in any order are one thread.
func TestSimultaneousMailsOfOneThread(t *testing.T) {
	dsn := deliverytest.Database(t)
	over := connections(t, dsn, 8)
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const rounds, threads, length = 40, 3, 12
	// The answers name only the mail before them, any mail before, or all.
	for mode, refs := range map[string]func(thread string, n int) string{
		"chain": func(thread string, n int) string { return fmt.Sprintf("<%s.%d>", thread, n-1) },
		"tree":  func(thread string, n int) string { return fmt.Sprintf("<%s.%d>", thread, rand.IntN(n)) },
		"full": func(thread string, n int) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf("<%s.%d>", thread, i))
			}
			return strings.Join(all, " ")
		},
	} {
		for round := range rounds {
			var mails []string
			for k := range threads {
				thread := fmt.Sprintf("%s.%d.%d", mode, round, k)
				for n := range length {
					raw := fmt.Sprintf("Subject: %s\nMessage-ID: <%s.%d>\n", mode, thread, n)
					if n > 0 {
						raw += "References: " + refs(thread, n) + "\n"
					}
					mails = append(mails, raw+"\nhello\n")
				}
			}
			rand.Shuffle(len(mails), func(i, j int) { mails[i], mails[j] = mails[j], mails[i] })
			storm(t, over, mails, "ann@example.com")
		}
		split := rows(t, conn, `
			select substring(message_id from '^(.*)\.[0-9]+$') as conversation, count(distinct thread)::text
			from mailrow.messages where message_id like $1 group by 1 having count(distinct thread) > 1 or count(*) <> $2`, mode+"%", length)
		if len(split) > 0 {
			t.Errorf("%s: %d of %d conversations are split: %v", mode, len(split), rounds*threads, split)
		}
	}
	astray := rows(t, conn, `
		select m.message_id from mailrow.messages m join mailrow.thread_ids t on t.account_id = m.account_id
		 and t.id = ('x' || encode(substring(sha256(convert_to(m.message_id, 'UTF8')) for 8), 'hex'))::bit(64)::bigint
		where t.thread <> m.thread`)
	if len(astray) > 0 {
		t.Errorf("the ids of %d mails lead to other threads", len(astray))
	}
}

// Two mails for the same new people, in another order, get along.
func TestSimultaneousMailsMakeTheSameAccounts(t *testing.T) {
	dsn := deliverytest.Database(t)
	over := connections(t, dsn, 8)
	before := deadlocks(t, dsn)
	for round := range 30 {
		var mails, to []string
		for i := range 8 {
			mails = append(mails, fmt.Sprintf("Subject: %d.%d\n\nhello\n", round, i))
			to = append(to, fmt.Sprintf("user%d.%d@example.com", round, i))
		}
		storm(t, over, mails, to...)
	}
	if n := deadlocks(t, dsn) - before; n > 0 {
		t.Errorf("%d deadlocks", n)
	}
}

func deadlocks(t *testing.T, dsn string) (n int) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, `select deadlocks from pg_stat_database where datname = current_database()`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
