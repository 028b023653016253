package store_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/message"
	"mailrow/store"
)

// A delivery looks up what it needs by its keys also where PostgreSQL has no statistics
// of the tables, as after they were restored: it does not read through an account.
func TestDeliveriesNeedNoStatistics(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	admin := connect(t, dsn)
	exec(t, admin, `do $$ declare v text; begin
		for v in select format('alter table %I.%I set (autovacuum_enabled = off)', schemaname, tablename) from pg_tables where schemaname = 'mailrow' loop
			execute v;
		end loop;
	end $$`)
	const there = 600
	deliver := func(over *store.Conn, n int, raw string) {
		t.Helper()
		d := delivery(n)
		d.Raw = []byte(raw)
		d.Message = message.Parse(d.Raw)
		if _, err := over.Deliver(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	goesOn := connections(t, dsn, 1)[0]
	for n := range there {
		deliver(goesOn, n, fmt.Sprintf("Message-ID: <%d@example.org>\n\nhere\n", n))
	}
	exec(t, admin, "insert into mailrow.thread_ids (account_id, id, thread) select account_id, n, n from mailrow.accounts, generate_series(1, 5000) n")
	exec(t, admin, `insert into mailrow.blobs (account_id, sha256, content)
		select account_id, sha256(n::text::bytea), n::text::bytea from mailrow.accounts, generate_series(1, 5000) n`)

	n := there
	for name, raw := range map[string]string{
		"new":       "Message-ID: <new-%d@example.org>\nReferences: <r1-%[1]d@example.org> <r2-%[1]d@example.org>\nSubject: Re: it\n\nnew\n",
		"of others": "Message-ID: <of-%d@example.org>\nReferences: <new-%[2]d@example.org> <r1-%[2]d@example.org>\n\nof others\n",
		"joins":     "Message-ID: <joins-%d@example.org>\nReferences: <%[3]d@example.org> <%[4]d@example.org>\n\njoins\n",
		"divided": "Message-ID: <divided-%d@example.org>\nReferences: <r2-%[2]d@example.org>\nContent-Type: multipart/mixed; boundary=b\n\n" +
			strings.Join(images(12), "") + "--b--\n",
		"without": "Subject: nothing to go by %d\nFrom: a%[2]d@example.org\nTo: b@example.org\n\nwithout\n",
	} {
		for _, prepared := range []bool{false, true} {
			conn, err := pgx.Connect(ctx, dsn)
			if err != nil {
				t.Fatal(err)
			}
			over := store.On(conn.PgConn())
			if prepared {
				if err := over.PrepareBatches(ctx); err != nil {
					t.Fatal(err)
				}
			}
			before := rowsRead(t, admin)
			const times = 3
			for range times {
				deliver(over, n, fmt.Sprintf(raw, n, n-1, n-there, there-1-(n-there)))
				n++
			}
			pid := conn.PgConn().PID()
			conn.Close(ctx)
			for deliverytest.Rows(t, dsn, fmt.Sprintf("select pid from pg_stat_activity where pid = %d", pid)) != nil {
				time.Sleep(time.Millisecond) // a backend tells what it has read at its end
			}
			for what, read := range rowsRead(t, admin) {
				if read -= before[what]; read > 100*times {
					t.Errorf("%s, prepared %v: %d rows of %s read by %d deliveries", name, prepared, read, what, times)
				}
			}
		}
	}
}

// images are parts of a multipart, each with a content of its own.
func images(n int) (parts []string) {
	for i := range n {
		line := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%057d", i)) + "\n"
		parts = append(parts, "--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n"+strings.Repeat(line, 2*message.MinCut/len(line)))
	}
	return parts
}

// rowsRead says how many rows of tables, and entries of indexes, were read so far.
func rowsRead(t *testing.T, conn *pgx.Conn) map[string]int {
	t.Helper()
	rows, err := conn.Query(context.Background(), `
		select relname, coalesce(seq_tup_read, 0) from pg_stat_user_tables
		union all select indexrelname, idx_tup_read from pg_stat_user_indexes`)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]int{}
	var name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { read[name] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return read
}
