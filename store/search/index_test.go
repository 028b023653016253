package search_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
	"mailrow/store/search"
)

// many inserts messages with a skewed vocabulary: w1 is in most, w30000 in few.
func (b *box) many(t testing.TB, accounts, messages int) {
	t.Helper()
	b.exec(t, `select setseed(0.5)`)
	b.exec(t, `insert into mailrow.accounts (account_id, name) select i, 'user' || i || '@example.org' from generate_series(1, $1::integer) i`, accounts)
	b.exec(t, `insert into mailrow.mailboxes (account_id, mailbox_id, name) select account_id, 0, 'INBOX' from mailrow.accounts`)
	b.exec(t, `
		insert into mailrow.messages (account_id, id, sha256, size, line_ends, header_size, parser, subject, from_address, raw, text, thread)
		select 1 + i % $1, i, decode(md5(i::text), 'hex'), 1000, 'lf', 10, 2, 'subject ' || i, 'sender' || i % 100 || '@example.com', 'x',
		       (select string_agg('w' || floor(power(30000, random()))::integer, ' ') from generate_series(1, 20) where i > 0), i
		from generate_series(1, $2::integer) i`, accounts, messages)
	b.exec(t, `
		insert into mailrow.deliveries (account_id, id, message, mailbox, received_at, source, recipient)
		select account_id, id, id, 0, now() - ($1 - id) * interval '1 minute', 'x', 'user@example.org' from mailrow.messages`, messages)
	b.exec(t, `analyze mailrow.deliveries`)
}

func TestSeveralIndexersAtOnce(t *testing.T) {
	b := newBox(t)
	b.many(t, 3, 1500)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var total int64
	for range 4 {
		conn := archivetest.Connect(t, b.dsn)
		wait.Go(func() {
			n, err := search.Index(context.Background(), conn, func(int64) {})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	wait.Wait()
	var left int64
	if err := b.conn.QueryRow(context.Background(), `select count(*) from mailrow.messages where language is null`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if total+left != 1500 || left+b.index(t) != 2*left {
		t.Errorf("indexed %d, left %d", total, left)
	}
}

// Many mails are indexed with a few looks at the index for each, and none of their
// words stays where searches have to read it one by one.
func TestWordsComeToTheIndexTogether(t *testing.T) {
	ctx := context.Background()
	b := newBox(t)
	b.many(t, 1, 2000)
	const each = 1000
	pages := func(setting string) float64 {
		b.exec(t, "alter index mailrow.messages_by_word set ("+setting+")")
		var plan []struct {
			Plan struct {
				Hit int `json:"Shared Hit Blocks"`
			}
		}
		if err := b.conn.QueryRow(ctx, `explain (analyze, buffers, format json)
			select mailrow.index_mail($1), gin_clean_pending_list('mailrow.messages_by_word')`, pgx.QueryExecModeSimpleProtocol, each).Scan(&plan); err != nil {
			t.Fatal(err)
		}
		return float64(plan[0].Plan.Hit) / each
	}
	var options []string
	if err := b.conn.QueryRow(ctx, `select reloptions from pg_class where oid = 'mailrow.messages_by_word'::regclass`).Scan(&options); err != nil {
		t.Fatal(err)
	}
	byItself, together := pages("fastupdate = off"), pages(strings.Join(options, ", "))
	t.Logf("%.0f pages a mail, each by itself %.0f", together, byItself)
	if together > byItself*2/3 {
		t.Errorf("%.0f pages are looked at for a mail, each by itself %.0f", together, byItself)
	}
	b.exec(t, `update mailrow.messages set language = null where id % 2 = 0`)
	b.index(t)
	var aside int
	if err := b.conn.QueryRow(ctx, `select gin_clean_pending_list('mailrow.messages_by_word') + gin_clean_pending_list('mailrow.messages_by_field')`).Scan(&aside); err != nil || aside > 0 {
		t.Errorf("%d pages of words are still aside: %v", aside, err)
	}
}

// The larger the index, the more words are put aside. A session keeps its settings.
func TestWordsAreAsideInBulk(t *testing.T) {
	ctx := context.Background()
	b := newBox(t)
	b.many(t, 1, 2001)
	b.exec(t, `set work_mem = '3MB'`)
	aside := func(limit string, mails int) (pages int) {
		t.Helper()
		b.exec(t, `set gin_pending_list_limit = '`+limit+`'`)
		var settings string
		err := pgx.BeginFunc(ctx, b.conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `select mailrow.index_mail($1)`, mails); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `select gin_clean_pending_list('mailrow.messages_by_word'),
				current_setting('gin_pending_list_limit') || ' ' || current_setting('work_mem')`).Scan(&pages, &settings)
		})
		if err != nil {
			t.Fatal(err)
		}
		if settings != limit+" 3MB" {
			t.Errorf("settings after indexing: %s", settings)
		}
		return pages
	}
	const limit = 64 / 8
	if pages := aside("64kB", 300); pages > limit+2 {
		t.Errorf("%d pages are aside of a small index", pages)
	}
	aside("1MB", 1500)
	if pages := aside("64kB", 200); pages <= limit+2 {
		t.Errorf("%d pages are aside of a larger index", pages)
	}
}

// The planner knows what is indexed while there is more to do.
func TestIndexingIsAnalyzed(t *testing.T) {
	ctx := context.Background()
	b := newBox(t)
	b.many(t, 1, 2000)
	b.exec(t, `analyze mailrow.messages`)
	unknown := func() (share float64) {
		if err := b.conn.QueryRow(ctx, `select null_frac from pg_stats where schemaname = 'mailrow' and tablename = 'messages' and attname = 'language'`).Scan(&share); err != nil {
			t.Fatal(err)
		}
		return share
	}
	before := unknown()
	b.index(t)
	if now := unknown(); before != 1 || now > 0.5 {
		t.Errorf("share that the planner takes for not indexed: %v, then %v", before, now)
	}
}

func TestIndexEndsWithItsContext(t *testing.T) {
	b := newBox(t)
	b.many(t, 1, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done, err := search.Index(ctx, b.conn, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) || done == 0 || done == 1000 {
		t.Errorf("%d done, %v", done, err)
	}
	left := deliverytest.Rows(t, b.dsn, `select count(*) from mailrow.messages where language is null`)
	if left[0] != fmt.Sprint(1000-done) {
		t.Errorf("%d done, %s left", done, left[0])
	}
}

// What comes in between indexes what was delivered, and nothing else.
func TestWatchOutlivesTheServer(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	connect := func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	indexed := make(chan int64, 100)
	troubled := make(chan error, 100)
	ended := make(chan error)
	go func() {
		ended <- search.Watch(ctx, connect, func(n int64) { indexed <- n }, func(err error) {
			select {
			case troubled <- err:
			default:
			}
		})
	}()
	wait := func(want int64) {
		t.Helper()
		select {
		case n := <-indexed:
			if n != want {
				t.Errorf("%d indexed, want %d", n, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing is indexed")
		}
	}
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: one\n\none\n")
	wait(1)
	cluster.Stop(t, "fast")
	select {
	case <-troubled:
	case <-time.After(time.Minute):
		t.Fatal("no trouble without a server")
	}
	cluster.Start(t)
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: two\n\ntwo\n")
	wait(2)
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}

func TestWatchNeedsAFirstConnection(t *testing.T) {
	refused := errors.New("refused")
	err := search.Watch(context.Background(), func(context.Context) (*pgx.Conn, error) { return nil, refused }, nil, nil)
	if !errors.Is(err, refused) {
		t.Error(err)
	}
}

// What search() reads of 50,000 messages, in pages: to look at each takes some
// 200,000.
func TestPlans(t *testing.T) {
	ctx := context.Background()
	b := newBox(t)
	b.many(t, 5, 50_000)
	b.exec(t, `update mailrow.messages set text = text || ' earlier' where id <= 45000`)
	b.index(t)
	b.exec(t, `vacuum analyze mailrow.messages`)
	for _, test := range []struct {
		query string
		limit any
		most  int
	}{
		{"w29999", nil, 3000},
		{"w29999", 20, 5000},
		{"w1", 20, 8000},
		{"w1 w2", 20, 8000},
		{"w100 -w1", 20, 8000},
		{"-w1", 20, 8000},
		{"w1 account:user3@example.org", 20, 8000},
		{"from:sender7 w5", 20, 10000},
		{"earlier", 20, 80000},
		{"subject:49999", 20, 1000},
		{"from:sender7", 20, 8000},
		{"w1 before:20d", 20, 8000},
		{"larger:1M", 20, 5000},
		{"in:INBOX", 20, 2000},
		{"before:20d", 20, 2000},
		{"", 20, 2000},
	} {
		var plan []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		if err := b.conn.QueryRow(ctx, `explain (analyze, buffers, format json) select from mailrow.search($1, $2)`,
			pgx.QueryExecModeSimpleProtocol, test.query, test.limit).Scan(&plan); err != nil {
			t.Fatal(err)
		}
		got := plan[0].Plan.Hit + plan[0].Plan.Read
		t.Logf("%q, limit %v: %d pages", test.query, test.limit, got)
		if got > test.most {
			t.Errorf("%q, limit %v: %d pages read", test.query, test.limit, got)
		}
	}
	// None of the newest has it, and too many have it to list them all.
	results, err := search.Search(ctx, b.conn, "earlier", search.Options{Limit: 20})
	if err != nil || len(results) != 20 || results[0].ID != 45000 || results[19].ID != 44981 {
		t.Errorf("a word of earlier mail: %v, %v", results, err)
	}
	for index, sql := range map[string]string{
		"messages_by_word":  `mailrow.indexed_sql(row('words', 'w5', 'true', null, 20))`,
		"messages_by_field": `mailrow.indexed_sql(row('fields', '''from:w5''', 'true', null, 20))`,
		"messages_to_index": `mailrow.waiting_sql('w5', 'true', null, 20)`,
	} {
		plan := strings.Join(deliverytest.Rows(t, b.dsn, "explain "+deliverytest.Rows(t, b.dsn, "select "+sql)[0]), "\n")
		if !strings.Contains(plan, index) {
			t.Errorf("no %s in %s", index, plan)
		}
	}
}

// Whatever is asked, it is answered or refused, and soon.
func TestAnyQuery(t *testing.T) {
	b := filled(t)
	b.index(t)
	pieces := []string{" ", " ", " ", "(", ")", "-", "\"", ":", "*", "or", "OR", "|", "&", "!", "'", "\\", "%", "$1", "{", "}", "\t", "\x01", "é", "ß", "京", "\u0301", "😀",
		"from:", "to:", "cc:", "subject:", "in:", "type:", "has:", "is:", "before:", "after:", "larger:", "thread:", "account:", "list:", "recipient:", "filename:",
		"2024-05", "7d", "5M", "1", "unread", "attachment", "invoice", "paid", "a@b.c", "http://x/?y", "--", "<->", ":*", "0", "99999999999999999999", "and", "not"}
	source := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var q strings.Builder
		for range 1 + source.IntN(12) {
			q.WriteString(pieces[source.IntN(len(pieces))])
		}
		ask(t, b.conn, q.String(), 10*time.Second)
	}
	for _, q := range []string{
		strings.Repeat("(", 499), strings.Repeat("-(", 490) + "x", strings.Repeat("a ", 499), strings.Repeat("a or ", 249) + "b",
		strings.Repeat("\"", 9999), strings.Repeat("(a) ", 160), strings.Repeat("x", 9999), strings.Repeat("a-", 4999), strings.Repeat("-", 9999),
		strings.Repeat("*", 9999), strings.Repeat("京", 9999), "from:" + strings.Repeat("a.", 4990), strings.Repeat("\u0301", 9999), strings.Repeat(":", 9999),
		strings.Repeat("\"a b\" ", 490), strings.Repeat("from:a ", 490),
	} {
		ask(t, b.conn, q, 30*time.Second)
	}
}

func ask(t testing.TB, conn *pgx.Conn, query string, soon time.Duration) {
	t.Helper()
	start := time.Now()
	_, err := search.Search(context.Background(), conn, query, search.Options{Limit: 20, Ranked: true})
	var problem *search.QueryError
	if err != nil && !errors.As(err, &problem) {
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			t.Fatalf("%q: %v\n%s", query, err, pg.Where)
		}
		t.Fatalf("%q: %v", query, err)
	}
	if took := time.Since(start); took > soon {
		t.Errorf("%.60q took %v", query, took)
	}
}
