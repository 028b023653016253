package schema_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/pgtest"
	"mailrow/store/schema"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestMigrateTwiceAtOnce(t *testing.T) {
	ctx := context.Background()
	dsn := pgtest.Shared(t).Database(t)
	var wait sync.WaitGroup
	applied := make([]int, 4)
	failed := make([]error, 4)
	for i := range applied {
		conn := connect(t, dsn)
		wait.Go(func() {
			done, err := schema.Migrate(ctx, conn)
			applied[i], failed[i] = len(done), err
		})
	}
	wait.Wait()
	total := 0
	for i := range applied {
		if failed[i] != nil {
			t.Errorf("migration %d: %v", i, failed[i])
		}
		total += applied[i]
	}
	if total != schema.Wanted() {
		t.Errorf("%d migrations were applied, want each of %d once", total, schema.Wanted())
	}
	version, err := schema.Version(ctx, connect(t, dsn))
	if err != nil || version != schema.Wanted() {
		t.Errorf("version %d, %v; want %d", version, err, schema.Wanted())
	}
}

func TestMigrateRefusesNewerSchema(t *testing.T) {
	ctx := context.Background()
	conn := connect(t, pgtest.Shared(t).Database(t))
	if _, err := schema.Migrate(ctx, conn); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `insert into mailrow.migrations (version, name) values (999, 'from the future')`); err != nil {
		t.Fatal(err)
	}
	_, err := schema.Migrate(ctx, conn)
	var newer *schema.NewerError
	if !errors.As(err, &newer) || newer.Database != 999 {
		t.Errorf("got %v, want a NewerError of version 999", err)
	}
}

// A role that owns its database and may make roles is enough: managed servers
// give no superuser.
func TestMigrateWithoutSuperuser(t *testing.T) {
	ctx := context.Background()
	cluster := pgtest.New(t, nil)
	admin := connect(t, cluster.DSN("postgres", "postgres"))
	for _, sql := range []string{`create role plain login createrole`, `create database app owner plain`} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, cluster.DSN("plain", "app"))
	if _, err := schema.Migrate(ctx, conn); err != nil {
		t.Fatal(err)
	}
	if _, err := schema.Migrate(ctx, conn); err != nil {
		t.Errorf("second run: %v", err)
	}
}

// A subject that the database cannot write would be tried again forever.
func TestMigrateRefusesOtherEncodings(t *testing.T) {
	ctx := context.Background()
	cluster := pgtest.New(t, nil)
	admin := connect(t, cluster.DSN("postgres", "postgres"))
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		if _, err := admin.Exec(ctx, `create database `+encoding+` template template0 encoding '`+encoding+`' locale 'C'`); err != nil {
			t.Fatal(err)
		}
		_, err := schema.Migrate(ctx, connect(t, cluster.DSN("postgres", strings.ToLower(encoding))))
		if err == nil || !strings.Contains(err.Error(), "mailrow needs UTF8") {
			t.Errorf("%s: got %v", encoding, err)
		}
	}
}

// Who may create in public, as everybody may before PostgreSQL 15, must not get
// an operator of theirs into a view that others read.
func TestMigrateIgnoresSearchPath(t *testing.T) {
	ctx := context.Background()
	conn := connect(t, pgtest.Shared(t).Database(t))
	if _, err := conn.Exec(ctx, `
		create function public.evil(text[], text[]) returns text[] language plpgsql as $$ begin raise exception 'evil'; end $$;
		create operator public.|| (leftarg = text[], rightarg = text[], function = public.evil)`); err != nil {
		t.Fatal(err)
	}
	if _, err := schema.Migrate(ctx, conn); err != nil {
		t.Fatal(err)
	}
	var foreign int
	if err := conn.QueryRow(ctx, `
		select count(*) from pg_depend
		where refclassid = 'pg_operator'::regclass and refobjid = 'public.||(text[],text[])'::regoperator`).Scan(&foreign); err != nil || foreign != 0 {
		t.Errorf("%d objects use the operator, %v", foreign, err)
	}
}

// What much mail has in common must not be in a hash index: it keeps equal values in a
// chain that each new one walks along. A Message-ID is nearly always one mail's.
func TestHashIndexes(t *testing.T) {
	ctx := t.Context()
	dsn := pgtest.Shared(t).Database(t)
	conn := connect(t, dsn)
	if _, err := schema.Migrate(ctx, conn); err != nil {
		t.Fatal(err)
	}
	var found []string
	if err := conn.QueryRow(ctx, `select array_agg(indexname::text) from pg_indexes
		where schemaname = 'mailrow' and indexdef like '% USING hash %'`).Scan(&found); err != nil {
		t.Fatal(err)
	}
	if want := []string{"messages_by_message_id"}; !slices.Equal(found, want) {
		t.Errorf("hash indexes are %q, want %q", found, want)
	}
	for _, test := range []struct{ query, index string }{
		{`select from mailrow.messages where from_address = 'ann@example.com'`, "messages_by_from"},
		{`select from mailrow.messages where from_address like 'noreply@%'`, "messages_by_from"},
		{`select from mailrow.message_parts where sha256 = '\x00'`, "message_parts_by_sha256"},
	} {
		var plan []string
		rows, err := conn.Query(ctx, `explain `+test.query)
		if err == nil {
			plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil || !strings.Contains(strings.Join(plan, "\n"), test.index) {
			t.Errorf("%s: %v %q does not use %s", test.query, err, plan, test.index)
		}
	}
}
