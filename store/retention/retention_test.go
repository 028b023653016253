package retention_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/retention"
	"mailrow/store/verify"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func pointer(s string) *string { return &s }

func rule(account, mailbox, age string) retention.Rule {
	r := retention.Rule{KeepFlagged: true}
	for field, value := range map[**string]string{&r.Account: account, &r.Mailbox: mailbox, &r.OlderThan: age} {
		if value != "" {
			*field = pointer(value)
		}
	}
	return r
}

func add(t *testing.T, conn *pgx.Conn, r retention.Rule) int64 {
	t.Helper()
	id, err := retention.Add(context.Background(), conn, r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// arrival is a mail of some age.
type arrival struct {
	account, mailbox string
	days             int
	bulk, flagged    bool
}

// put stores it and gives its id.
func put(t *testing.T, dsn string, conn *pgx.Conn, n int, a arrival) int64 {
	t.Helper()
	id := archivetest.Deliver(t, dsn, a.account, fmt.Sprintf("Subject: %d\n\n%[1]d\n", n))
	exec(t, conn, `insert into mailrow.mailboxes (account_id, name) select account_id, $1 from mailrow.deliveries where id = $2
		on conflict do nothing`, a.mailbox, id)
	exec(t, conn, `update mailrow.deliveries d set received_at = now() - make_interval(days => $2),
		flags = case when $3 then array['\flagged'] else '{}' end,
		mailbox = (select b.mailbox_id from mailrow.mailboxes b where b.account_id = d.account_id and b.name = $4) where id = $1`,
		id, a.days, a.flagged, a.mailbox)
	exec(t, conn, `update mailrow.messages set bulk = $2 where id = (select message from mailrow.deliveries where id = $1)`, id, a.bulk)
	return id
}

func TestMostExactRuleDecides(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	all := add(t, conn, rule("", "", "100 days"))
	junk := add(t, conn, rule("", "Junk", "10 days"))
	ann := add(t, conn, rule("ann@example.com", "", "50 days"))
	annJunk := add(t, conn, rule("ann@example.com", "Junk", ""))
	bulk := rule("ann@example.com", "", "20 days")
	bulk.OnlyBulk = true
	annBulk := add(t, conn, bulk)
	everything := rule("bob@example.com", "Trash", "5 days")
	everything.KeepFlagged = false
	bobTrash := add(t, conn, everything)
	tests := []struct {
		arrival
		rule int64
		goes bool
	}{
		{arrival{"bob@example.com", "INBOX", 101, false, false}, all, true},
		{arrival{"bob@example.com", "INBOX", 99, false, false}, all, false},
		{arrival{"bob@example.com", "INBOX", 101, false, true}, all, false},
		{arrival{"bob@example.com", "INBOX", 101, true, false}, all, true},
		{arrival{"bob@example.com", "Junk", 11, false, false}, junk, true},
		{arrival{"bob@example.com", "junk", 11, false, false}, all, false},
		{arrival{"bob@example.com", "Trash", 6, false, true}, bobTrash, true},
		{arrival{"ann@example.com", "INBOX", 51, false, false}, ann, true},
		{arrival{"ann@example.com", "INBOX", 49, false, false}, ann, false},
		{arrival{"ann@example.com", "INBOX", 21, true, false}, annBulk, true},
		{arrival{"ann@example.com", "Junk", 4000, false, false}, annJunk, false},
		{arrival{"ann@example.com", "Junk", 4000, true, false}, annJunk, false},
	}
	var want, ids []int64
	for i, test := range tests {
		id := put(t, dsn, conn, i, test.arrival)
		ids = append(ids, id)
		if test.goes {
			want = append(want, id)
		}
		v, err := retention.Explain(ctx, conn, id)
		if err != nil || v.Rule == nil || v.Rule.ID != test.rule {
			t.Errorf("%+v: rule %d, got %+v, %v", test.arrival, test.rule, v, err)
			continue
		}
		if due := v.StaysBecause == "" && v.GoesAt.Before(time.Now()); due != test.goes {
			t.Errorf("%+v: got %+v, want %v", test.arrival, v, test.goes)
		}
	}
	var dry []int64
	err := retention.DryRun(ctx, conn, 2, func(p retention.Place, e retention.Expired) error {
		dry = append(dry, e.ID)
		if i := slices.Index(ids, e.ID); tests[i].account != p.Account || tests[i].mailbox != p.Mailbox || tests[i].rule != e.Rule {
			t.Errorf("%+v, %+v for %+v", p, e, tests[i])
		}
		return nil
	})
	slices.Sort(dry)
	if err != nil || !slices.Equal(dry, want) {
		t.Errorf("dry run: got %v, want %v: %v", dry, want, err)
	}
	removed := map[int64]int{}
	if err := retention.Run(ctx, conn, 2, func(p retention.Place, n int) { removed[p.Rule] += n }); err != nil {
		t.Fatal(err)
	}
	if removed[all] != 2 || removed[junk] != 1 || removed[bobTrash] != 1 || removed[ann] != 1 || removed[annBulk] != 1 || removed[annJunk] != 0 {
		t.Errorf("removed by rule: %v", removed)
	}
	left, err := archive.IDs(ctx, conn, archive.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if slices.Contains(left, id) == tests[i].goes {
			t.Errorf("%+v: goes %v", tests[i].arrival, !tests[i].goes)
		}
	}
	isWell(t, conn)
}

func isWell(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	_, err := verify.Run(context.Background(), conn, verify.Options{}, func(f verify.Finding) error {
		t.Errorf("%+v", f)
		return nil
	}, func(verify.Count) {})
	if err != nil {
		t.Error(err)
	}
}

func TestWithoutARule(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	id := put(t, dsn, conn, 1, arrival{"ann@example.com", "INBOX", 4000, false, false})
	v, err := retention.Explain(ctx, conn, id)
	if err != nil || v.Rule != nil || v.StaysBecause == "" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := retention.Explain(ctx, conn, 1<<40); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if err := retention.Run(ctx, conn, 10, func(retention.Place, int) { t.Error("removed") }); err != nil {
		t.Error(err)
	}
}

func TestRules(t *testing.T) {
	ctx := context.Background()
	conn := archivetest.Connect(t, deliverytest.Database(t))
	id := add(t, conn, rule("ann@example.com", "", "6 months"))
	for want, bad := range map[error]retention.Rule{
		retention.ErrExists:   rule("ann@example.com", "", "1 year"),
		retention.ErrTooYoung: rule("", "", "6m"),
		retention.ErrInterval: rule("", "", "soon"),
	} {
		if _, err := retention.Add(ctx, conn, bad); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	for constraint, values := range map[string]string{
		"retention_account_not_empty":             `('', null, '1 day')`,
		"retention_mailbox_not_empty":             `(null, '', '1 day')`,
		"retention_inbox_is_in_capitals":          `(null, 'Inbox', '1 day')`,
		"retention_older_than_at_least_a_day":     `(null, null, '-1 year')`,
		"retention_older_than_at_most_1000_years": `(null, null, '100000 years')`,
		"retention_key":                           `('ann@example.com', null, '1 day')`,
	} {
		_, err := conn.Exec(ctx, `insert into mailrow.retention (account, mailbox, older_than) values `+values)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.ConstraintName != constraint {
			t.Errorf("%s: got %v, want %s", values, err, constraint)
		}
	}
	list, err := retention.List(ctx, conn)
	if err != nil || len(list) != 1 || list[0].ID != id || *list[0].OlderThan != "6 mons" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if found, err := retention.Remove(ctx, conn, id); err != nil || found != want {
			t.Errorf("%v, %v", found, err)
		}
	}
}

// Several that remove, others that deliver the same content again: every mail
// goes once, and what came meanwhile stays whole.
func TestSeveralAtOnce(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	body := "MIME-Version: 1.0\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 40)
	const old = 200
	for i := range old {
		if _, err := archivetest.Store(dsn, "ann@example.com", fmt.Sprintf("Subject: %d\n%s", i, body)); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, conn, `update mailrow.deliveries set received_at = now() - interval '1 year'`)
	add(t, conn, rule("", "", "1 month"))
	var removed [3]int
	var all sync.WaitGroup
	for i := range removed {
		all.Go(func() {
			own, err := pgx.Connect(ctx, dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer own.Close(ctx)
			if err := retention.Run(ctx, own, 7, func(_ retention.Place, n int) { removed[i] += n }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			if _, err := archivetest.Store(dsn, "bob@example.org", fmt.Sprintf("Subject: %d\n%s", i, body)); err != nil {
				t.Error(err)
			}
			if _, err := archivetest.Store(dsn, "ann@example.com", fmt.Sprintf("Subject: new %d\n%s", i, body)); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	// What was in use just then is left to the next run.
	rest := 0
	if err := retention.Run(ctx, conn, 1000, func(_ retention.Place, n int) { rest += n }); err != nil {
		t.Error(err)
	}
	if sum := removed[0] + removed[1] + removed[2] + rest; sum != old {
		t.Errorf("%v and %d removed, want %d", removed, rest, old)
	}
	if ids, err := archive.IDs(ctx, conn, archive.Filter{}); err != nil || len(ids) != 100 {
		t.Errorf("%d mails left, want 100: %v", len(ids), err)
	}
	if _, err := verify.Run(ctx, conn, verify.Options{}, func(f verify.Finding) error {
		if f.Kind != verify.StrayThread {
			t.Errorf("%+v", f)
		}
		return nil
	}, func(verify.Count) {}); err != nil {
		t.Error(err)
	}
}

// For pg_cron: SQL alone.
func TestApplyRetention(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	for i := range 10 {
		put(t, dsn, conn, i, arrival{fmt.Sprintf("m%d@example.com", i%3), "INBOX", 40, i%2 == 0, false})
	}
	keep := put(t, dsn, conn, 10, arrival{"m1@example.com", "INBOX", 20, false, false})
	add(t, conn, rule("", "", "30 days"))
	for _, want := range []int{4, 4, 2, 0} {
		var got int
		if err := conn.QueryRow(ctx, `select mailrow.apply_retention(4)`).Scan(&got); err != nil || got != want {
			t.Errorf("got %d, want %d: %v", got, want, err)
		}
	}
	if ids, err := archive.IDs(ctx, conn, archive.Filter{}); err != nil || !slices.Equal(ids, []int64{keep}) {
		t.Errorf("left: %v, %v", ids, err)
	}
	exec(t, conn, `begin isolation level repeatable read`)
	var pg *pgconn.PgError
	if _, err := conn.Exec(ctx, `select mailrow.apply_retention()`); !errors.As(err, &pg) || pg.Code != "25000" {
		t.Errorf("got %v, want 25000", err)
	}
}

func TestStopsAfterTheBatch(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	for i := range 6 {
		put(t, dsn, conn, i, arrival{"ann@example.com", "INBOX", 40, false, false})
	}
	add(t, conn, rule("", "", "30 days"))
	ctx, stop := context.WithCancel(context.Background())
	removed := 0
	err := retention.Run(ctx, conn, 2, func(_ retention.Place, n int) {
		removed += n
		stop()
	})
	if !errors.Is(err, context.Canceled) || removed != 2 {
		t.Errorf("%d removed, %v", removed, err)
	}
	if err := retention.Run(context.Background(), conn, 2, func(_ retention.Place, n int) { removed += n }); err != nil || removed != 6 {
		t.Errorf("%d removed, %v", removed, err)
	}
}
