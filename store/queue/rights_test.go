package queue_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/pgtest"
	"mailrow/store/access"
	"mailrow/store/archive/archivetest"
	"mailrow/store/queue"
)

// reader makes a role that may read these accounts. Its name has the database's,
// since roles belong to the cluster.
func (d *database) reader(t *testing.T, name string, accounts ...string) *pgx.Conn {
	t.Helper()
	role := name + " of " + d.admin.Config().Database
	quoted := pgx.Identifier{role}.Sanitize()
	exec(t, d.admin, `create role `+quoted+` login in role mailrow_reader`)
	t.Cleanup(func() {
		exec(t, d.admin, `drop owned by `+quoted)
		exec(t, d.admin, `drop role `+quoted)
	})
	for _, account := range accounts {
		if err := access.Allow(context.Background(), d.admin, role, &account); err != nil {
			t.Fatal(err)
		}
	}
	return archivetest.Connect(t, pgtest.Shared(t).DSN(role, d.admin.Config().Database))
}

// calls is every function of the queue that a reader may call, and every view, as
// a query that gives the number of rows or things it found.
var calls = map[string]string{
	"claim":             `select count(*) from mailrow.claim('x', 100)`,
	"ack":               `select mailrow.ack('x', $1)::int::bigint`,
	"ack_all":           `select mailrow.ack_all('x', array[$1::bigint])::bigint`,
	"nack":              `select mailrow.nack('x', $1, '0')::int::bigint`,
	"extend":            `select mailrow.extend('x', $1, '1 hour')::int::bigint`,
	"release":           `select mailrow.release('x', $1)::int::bigint`,
	"revive":            `select mailrow.revive('x', $1)::bigint`,
	"revive all":        `select mailrow.revive('x')::bigint`,
	"drop_consumer":     `select mailrow.drop_consumer('x')::int::bigint`,
	"list_consumers":    `select count(*) from mailrow.list_consumers(mailrow.my_keys(false)) where consumer = 'x'`,
	"list_dead_letters": `select count(*) from mailrow.list_dead_letters(mailrow.my_keys(false))`,
	"queue_keys":        `select count(*) from mailrow.queue_keys where role_name <> current_user`,
	"queue_status":      `select count(*) from mailrow.queue_status where consumer = 'x'`,
	"dead_letters":      `select count(*) from mailrow.dead_letters`,
}

func TestForeignReaderFindsNothing(t *testing.T) {
	d := setUp(t)
	alice := d.reader(t, "alice", "a@example.org")
	bob := d.reader(t, "bob")
	ids := store(t, d.admin, 2)
	exec(t, alice, `select mailrow.consumer('x', max_attempts => 1)`)
	wantIDs(t, "alice", claim(t, alice, "x", 9, long), ids)
	nack(t, alice, "x", ids[0], 0, "no")
	before := value[string](t, d.admin, `select string_agg(c::text, ' ' order by mail) from mailrow.claims c`)
	for name, sql := range calls {
		for _, id := range ids {
			args := []any{}
			if slices.Contains([]string{"ack", "ack_all", "nack", "extend", "release", "revive"}, name) {
				args = append(args, id)
			}
			want(t, "bob: "+name, value[int64](t, bob, sql, args...), 0)
		}
		exec(t, bob, `select mailrow.drop_consumer('x')`) // which a claim has made
	}
	exec(t, bob, `select mailrow.consumer('x', from_now => true)`)
	exec(t, bob, `select mailrow.listen()`)
	after := value[string](t, d.admin, `select string_agg(c::text, ' ' order by mail) from mailrow.claims c`)
	want(t, "alice's claims", after, before)
	want(t, "accounts that notify", value[int](t, d.admin, `select count(*) from mailrow.accounts where notify_until is not null`), 0)
	_, err := bob.Exec(context.Background(), `select mailrow.consumer('x', account => 'a@example.org')`)
	_, err2 := bob.Exec(context.Background(), `select mailrow.consumer('x', account => 'nobody@example.org')`)
	var pg, pg2 *pgconn.PgError
	if !errors.As(err, &pg) || !errors.As(err2, &pg2) || pg.Code != "P0002" || pg2.Code != pg.Code {
		t.Errorf("a foreign account: %v; one that is not: %v", err, err2)
	}
	want(t, "waiting for bob", value[int64](t, bob, `select waiting from mailrow.queue_status`), 0)
	want(t, "alice still has it", ack(t, alice, "x", ids...), 2)
}

// What is not for readers is not callable, and the tables are not readable.
func TestReaderMayCallNoMore(t *testing.T) {
	d := setUp(t)
	alice := d.reader(t, "alice", "a@example.org")
	rows, err := alice.Query(context.Background(), `
		select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname = 'mailrow' and p.prosecdef and has_function_privilege(p.oid, 'execute') order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !slices.Contains([]string{"alarms_with", "claim_with", "consumer_with", "drop_consumer_with", "list_consumers", "list_dead_letters",
			"listen_with", "search_with", "settle"}, name) {
			t.Errorf("a reader may call %s, with the rights of the owner", name)
		}
	}
	for _, sql := range []string{
		`select from mailrow.consumers`, `select from mailrow.claims`, `select from mailrow.lineage`, `select from mailrow.origin`,
		`delete from mailrow.claims`, `update mailrow.consumers set owner = current_user`,
		`select mailrow.lineage_now()`, `select mailrow.mark_of_life()`, `select mailrow.find_consumer(null, 'x')`, `select mailrow.my_consumers(null)`,
		`select mailrow.make_consumer('y', 'x', null, null, false, 1)`, `select mailrow.take_in(1, null, 1)`, `select mailrow.try_take_in(1, 1, true)`,
		`insert into mailrow.queue_keys (role_name) values ('mailrow_owner')`,
		`insert into mailrow.queue_keys (role_name, key) values (current_user, gen_random_uuid())`,
		`update mailrow.queue_keys set role_name = current_user`, `delete from mailrow.queue_keys`,
		`select mailrow.skip_to_now(1)`, `select mailrow.unseen('1:1:', '9:9:', '0', 0, 0, 9)`, `select mailrow.readable_accounts_of('postgres')`,
	} {
		_, err := alice.Exec(context.Background(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: got %v, want insufficient_privilege", sql, err)
		}
	}
}

// With keys that nobody has, or none, the functions behind find nothing.
func TestKeysCannotBeGuessed(t *testing.T) {
	d := setUp(t)
	bob := d.reader(t, "bob")
	store(t, d.admin, 1)
	exec(t, d.admin, `select mailrow.claim('x')`)
	for _, keys := range []string{"null", "'{}'", "array[null::uuid]", "array[gen_random_uuid()]", "array[null, gen_random_uuid()]"} {
		for _, sql := range []string{
			`select count(*) from mailrow.list_consumers(` + keys + `)`,
			`select count(*) from mailrow.list_dead_letters(` + keys + `)`,
			`select mailrow.settle(` + keys + `, 'x', 'ack', array[1::bigint])::bigint`,
			`select mailrow.drop_consumer_with(` + keys + `, 'x')::int::bigint`,
		} {
			want(t, sql, value[int64](t, bob, sql), 0)
		}
		for _, sql := range []string{
			`select mailrow.claim_with(` + keys + `, 'x', 1, '1 minute')`,
			`select mailrow.consumer_with(` + keys + `, 'x', null, null, false, 5)`,
		} {
			if _, err := bob.Exec(context.Background(), sql); err == nil {
				t.Errorf("%s: succeeded", sql)
			}
		}
	}
	exec(t, bob, `select mailrow.listen_with(null, '1 hour', null)`)
	want(t, "accounts that notify", value[int](t, d.admin, `select count(*) from mailrow.accounts where notify_until is not null`), 0)
}

// An administrator's maintenance runs functions of the owner of a table, while the
// session is the administrator's.
func TestMaintenanceLendsNoRights(t *testing.T) {
	d := setUp(t)
	bob := d.reader(t, "bob")
	role := pgx.Identifier{bob.Config().User}.Sanitize()
	store(t, d.admin, 2)
	exec(t, d.admin, `select mailrow.consumer('x')`)
	exec(t, d.admin, `create schema trap authorization `+role)
	for _, sql := range []string{
		`create table trap.found (n bigint)`,
		`create function trap.spring(n int) returns int language plpgsql immutable as $$ begin return n; end $$`,
		`create table trap.t (n int)`,
		`insert into trap.t values (1)`,
		`create index on trap.t (trap.spring(n))`,
		`create or replace function trap.spring(n int) returns int language plpgsql volatile as $$ begin
			insert into trap.found select count(*) from mailrow.claim('x', 10);
			insert into trap.found select count(*) from mailrow.queue_status where owner <> current_user;
			return n; end $$`,
	} {
		exec(t, bob, sql)
	}
	exec(t, d.admin, `reindex table trap.t`)
	want(t, "times the trap was sprung, and what it found",
		value[string](t, d.admin, `select count(*) || ' ' || sum(n) from trap.found`), "2 0")
}

func TestConsumerGetsWhatItsOwnerMayRead(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	alice := d.reader(t, "alice", "a@example.org")
	auditor := d.reader(t, "auditor")
	if err := access.Allow(ctx, d.admin, auditor.Config().User, nil); err != nil {
		t.Fatal(err)
	}
	a, b := store(t, d.admin, 2), storeIn(t, d.admin, 1002, 0, 2)
	wantIDs(t, "alice", claim(t, alice, "x", 1, long), a[:1])
	wantIDs(t, "auditor", claim(t, auditor, "x", 9, long), append(slices.Clone(a), b...))

	exec(t, alice, `select mailrow.nack('x', $1, '0')`, a[0])
	if _, err := access.Withdraw(ctx, d.admin, alice.Config().User, ptr("a@example.org")); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "alice, after her grant was taken back", claim(t, alice, "x", 9, long), []int64{})
	want(t, "waiting", value[int64](t, alice, `select waiting from mailrow.queue_status`), 0)
	if err := access.Allow(ctx, d.admin, alice.Config().User, ptr("a@example.org")); err != nil {
		t.Fatal(err)
	}
	got := claim(t, alice, "x", 9, long)
	slices.Sort(got)
	wantIDs(t, "alice, with a grant again", got, a)
}

func TestMembersShareAConsumer(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	group := d.reader(t, "support", "a@example.org")
	member, other := d.reader(t, "member"), d.reader(t, "other")
	exec(t, d.admin, `grant `+pgx.Identifier{group.Config().User}.Sanitize()+` to `+pgx.Identifier{member.Config().User}.Sanitize())
	ids := store(t, d.admin, 3)
	exec(t, group, `select mailrow.consumer('x')`)
	wantIDs(t, "member", claim(t, member, "x", 1, long), ids[:1])
	wantIDs(t, "group", claim(t, group, "x", 1, long), ids[1:2])
	want(t, "member, of the group's mail", ack(t, member, "x", ids[1]), 1)
	wantIDs(t, "other", claim(t, other, "x", 1, long), []int64{})
	exec(t, d.admin, `set role `+pgx.Identifier{group.Config().User}.Sanitize())
	wantIDs(t, "superuser with the role of the group", claim(t, d.admin, "x", 1, long), ids[2:])
	exec(t, d.admin, `reset role`)
	status, err := queue.Consumers(ctx, d.admin)
	if err != nil || len(status) != 2 {
		t.Errorf("superuser sees %+v, %v", status, err)
	}
	// Two roles have an x, and the superuser has none.
	_, err = queue.Claim(ctx, d.admin, "x", 1, long)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42P08" {
		t.Errorf("got %v, want ambiguous_parameter", err)
	}
}

func ptr[T any](v T) *T { return &v }
