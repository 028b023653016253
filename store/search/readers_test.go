package search_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
	"mailrow/store/search"
)

// role makes a role whose name has the database's, since roles belong to the cluster.
func (b *box) role(t *testing.T, name, options string) string {
	t.Helper()
	name += " of " + b.conn.Config().Database
	quoted := pgx.Identifier{name}.Sanitize()
	b.exec(t, "create role "+quoted+" "+options)
	t.Cleanup(func() {
		b.exec(t, "drop owned by "+quoted)
		b.exec(t, "drop role "+quoted)
	})
	return name
}

func (b *box) as(t *testing.T, role string) *box {
	t.Helper()
	dsn := pgtest.Shared(t).DSN(role, b.conn.Config().Database)
	return &box{dsn, archivetest.Connect(t, dsn), b.names}
}

func (b *box) wantFound(t *testing.T, what string, want ...string) {
	t.Helper()
	want = append([]string{}, want...)
	for _, query := range []string{"secret", "", "-nothing", `"the secret"`, "in:inbox", "after:2000", "to:example.org", "larger:1", "is:unread"} {
		for _, o := range []search.Options{{}, {Limit: 50}, {Limit: 50, Ranked: true}} {
			if diff := cmp.Diff(want, b.find(t, query, o)); diff != "" {
				t.Errorf("%s, %q, %+v:\n%s", what, query, o, diff)
			}
		}
	}
}

func letters(t *testing.T) *box {
	b := newBox(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		b.deliver(t, name+"@example.org", name, "To: "+name+"@example.org\nSubject: for "+name+"\n\nthe secret of "+name+"\n")
	}
	return b
}

func TestReadersFindTheirOwnMail(t *testing.T) {
	b := letters(t)
	alice, both, all, nobody := b.role(t, "alice", "login"), b.role(t, "both", "login"), b.role(t, "all", "login"), b.role(t, "nobody", "login")
	group := b.role(t, "group", "")
	b.exec(t, `select mailrow.grant_account($1, 'alice@example.org')`, alice)
	b.exec(t, `select mailrow.grant_account($1, 'bob@example.org')`, group)
	b.exec(t, `select mailrow.grant_account($1, 'carol@example.org')`, both)
	b.exec(t, `select mailrow.grant_account($1, null)`, all)
	b.exec(t, `grant mailrow_reader to `+pgx.Identifier{nobody}.Sanitize())
	b.exec(t, `grant `+pgx.Identifier{group}.Sanitize()+` to `+pgx.Identifier{both}.Sanitize())
	for _, indexed := range []string{"not indexed", "indexed"} {
		b.wantFound(t, indexed+", superuser", "alice", "bob", "carol")
		b.as(t, alice).wantFound(t, indexed+", alice", "alice")
		b.as(t, both).wantFound(t, indexed+", a member of a group", "bob", "carol")
		b.as(t, all).wantFound(t, indexed+", all", "alice", "bob", "carol")
		b.as(t, nobody).wantFound(t, indexed+", nobody")

		// The superuser as another role, and as itself again.
		b.exec(t, "set role "+pgx.Identifier{alice}.Sanitize())
		b.wantFound(t, indexed+", set role", "alice")
		b.exec(t, "reset role")
		b.exec(t, "set session authorization "+pgx.Identifier{both}.Sanitize())
		b.exec(t, "set role "+pgx.Identifier{group}.Sanitize())
		b.wantFound(t, indexed+", the group", "bob")
		b.exec(t, "reset session authorization")
		b.exec(t, "set role mailrow_owner")
		b.wantFound(t, indexed+", the owner", "alice", "bob", "carol")
		b.exec(t, "reset role")
		b.index(t)
	}
	reader := b.as(t, alice)
	b.exec(t, `select mailrow.revoke_account($1, 'alice@example.org')`, alice)
	reader.wantFound(t, "revoked")
	b.exec(t, `select mailrow.grant_account($1, 'carol@example.org')`, alice)
	reader.wantFound(t, "granted again", "carol")
}

// What a function of a reader's finds is what the reader may read, whoever runs
// it: an administrator's analyze runs it as the reader, in a superuser's session.
func TestReaderIsNoMoreWithinAnothersStatement(t *testing.T) {
	b := letters(t)
	alice := b.role(t, "alice", "login")
	b.exec(t, `select mailrow.grant_account($1, 'alice@example.org')`, alice)
	b.exec(t, `create schema trap authorization `+pgx.Identifier{alice}.Sanitize())
	reader := b.as(t, alice)
	reader.exec(t, `create table trap.caught (subject text)`)
	reader.exec(t, `create function trap.catch() returns void language plpgsql as
		$$ begin insert into trap.caught select subject from mailrow.search(''); end $$`)
	reader.exec(t, `create function trap.spring(integer) returns integer language plpgsql immutable as
		$$ begin perform trap.catch(); return $1; end $$`)
	reader.exec(t, `create table trap.bait (n integer)`)
	reader.exec(t, `create function trap.definer() returns setof text language sql security definer as $$ select subject from mailrow.search('') $$`)
	reader.exec(t, `create index on trap.bait (trap.spring(n))`)
	reader.exec(t, `insert into trap.bait values (1)`)
	b.exec(t, `analyze trap.bait`)
	b.exec(t, `reindex table trap.bait`)
	b.exec(t, `insert into trap.caught select trap.definer()`)
	var caught int
	var others string
	if err := b.conn.QueryRow(context.Background(),
		`select count(*), coalesce(string_agg(subject, ', ') filter (where subject <> 'for alice'), '') from trap.caught`).Scan(&caught, &others); err != nil {
		t.Fatal(err)
	}
	if caught < 3 || others != "" {
		t.Errorf("the trap ran %d times and caught: %s", caught, others)
	}
}

func TestReaderCannotGetAroundTheSearch(t *testing.T) {
	b := letters(t)
	ctx := context.Background()
	alice := b.role(t, "alice", "login")
	b.exec(t, `select mailrow.grant_account($1, 'alice@example.org')`, alice)
	bob := b.role(t, "bob", "login")
	b.exec(t, `select mailrow.grant_account($1, 'bob@example.org')`, bob)
	b.index(t)
	reader := b.as(t, alice)
	rows, err := b.conn.Query(ctx, `
		select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname = 'mailrow' and p.proname ~ '^(find|node_|query_|field_node|fact_|term_|account_node|thread_node|readable|search_(sql|from|hit|rank)|newest_|languages|fold|text_words)'
		  and has_function_privilege($1, p.oid, 'execute')`, alice)
	if err != nil {
		t.Fatal(err)
	}
	if granted, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(granted) > 0 {
		t.Errorf("a reader may call %q, %v", granted, err)
	}
	for _, sql := range []string{
		`insert into mailrow.search_keys (role_name) values ('x')`,
		`update mailrow.search_keys set role_name = ''`,
		`delete from mailrow.search_keys`,
	} {
		var pg *pgconn.PgError
		if _, err := reader.conn.Exec(ctx, sql); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// Own names in front of the system's, and conditions that look at every row.
	for _, sql := range []string{
		`create function pg_temp.lower(text) returns text language plpgsql as $$ begin raise exception 'leaked %', $1; end $$`,
		`create function pg_temp.strpos(text, text) returns integer language plpgsql as $$ begin raise exception 'leaked %', $1; end $$`,
		`create temp table messages (x integer)`,
		`create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as
		$$ begin if $1 ~ '(bob|carol)' then raise exception 'leaked %', $1; end if; return true; end $$`,
		`set search_path = pg_temp, pg_catalog, mailrow`,
		`select * from mailrow.search('secret') where pg_temp.leak(subject) and pg_temp.leak(excerpt)`,
		`select * from mailrow.search_keys where pg_temp.leak(role_name)`,
	} {
		if _, err := reader.conn.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	reader.wantFound(t, "with own names", "alice")
	for _, query := range []string{`x' or true --`, `') or true or ('`, `in:x'); drop table mailrow.grants; --`, `account:%L`, `in:"a' or 'a'='a"`,
		`thread:1`, `thread:2`, `thread:3`, `account:*`, `to:*`, `is:read"`, `"$$ %1$L`, `type:' | 'secret`, `has:\'`} {
		for _, name := range reader.findAny(query) {
			if name != "alice" {
				t.Errorf("%s finds the mail of %s", query, name)
			}
		}
	}
	// Keys of others are not to be seen, and a made up one opens nothing.
	var keys, found int
	err = reader.conn.QueryRow(ctx, `select (select count(*) from mailrow.search_keys),
		(select count(*) from mailrow.search_with(array[gen_random_uuid(), null], 'secret', null, false, '', ''))`).Scan(&keys, &found)
	if err != nil || keys != 1 || found != 0 {
		t.Errorf("%d keys, %d found, %v", keys, found, err)
	}
}

// findAny is find for queries that may be refused.
func (b *box) findAny(query string) (names []string) {
	results, err := search.Search(context.Background(), b.conn, query, search.Options{})
	var problem *search.QueryError
	if err != nil && !errors.As(err, &problem) {
		return []string{err.Error()}
	}
	for _, r := range results {
		names = append(names, b.names[r.ID])
		if !strings.HasPrefix(r.Account, b.names[r.ID]) {
			names = append(names, r.Account)
		}
	}
	return names
}
