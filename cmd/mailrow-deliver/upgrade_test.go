package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/migrations"
	"mailrow/store"
)

// A program that is newer than the schema stores mail as well, or says "try again".
func TestEveryOlderSchema(t *testing.T) {
	const since = 15 // the delivery functions are of version 2 from here
	dsn := pgtest.Shared(t).Database(t)
	conn := connect(t, dsn)
	ctx := context.Background()
	if _, err := conn.Exec(ctx, "set search_path = pg_catalog, pg_temp"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, migrations.Roles()); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, one := range migrations.All() {
		if _, err := conn.Exec(ctx, "set role mailrow_owner;"+one.SQL); err != nil {
			t.Fatalf("%s: %v", one.Name, err)
		}
		for _, mail := range []string{sample, "Delivery-date: Mon, 02 Nov 2026 10:00:00 +0000\n" + sample} {
			d := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: fmt.Appendf([]byte(mail), "%d\n", one.Version)}
			switch exit, said := d.run(t); {
			case exit == 0:
				stored++
			case exit != 75 || one.Version >= since:
				t.Errorf("schema %d: exit %d: %s", one.Version, exit, said)
			}
		}
	}
	if got := deliverytest.Rows(t, dsn, "select count(*) from mailrow.deliveries"); got[0] != fmt.Sprint(stored) || stored < 2*(len(migrations.All())-since) {
		t.Errorf("%s rows, want %d", got[0], stored)
	}
}

// A program that is older than the schema calls these functions, and reads what they
// give. Where one has to be another, store.SchemaVersion goes up, and older programs
// say "try again" until they are replaced.
func TestFunctionsThatOlderProgramsCall(t *testing.T) {
	if store.SchemaVersion != 2 {
		t.Fatal("write down here what version", store.SchemaVersion, "calls")
	}
	got := deliverytest.Rows(t, deliverytest.Database(t), `
		select p.proname, p.pronargs, md5(pg_get_function_identity_arguments(p.oid)), pg_get_function_result(p.oid)
		from pg_proc p where p.pronamespace = 'mailrow_delivery'::regnamespace
		 and p.proname in ('deliver', 'deliver_one', 'deliver_next', 'deliver_all', 'note_dsn', 'note_identities') order by 1`)
	want := []string{
		"deliver|59|9e29266745aefb07885b085bf60e0691|record",
		"deliver_all|16|d6e7d423f86ec240ec6320e75d474fce|record",
		"deliver_next|55|9d1eaa2854ee445a4cc2c607248b77a7|bigint",
		"deliver_one|55|9d1eaa2854ee445a4cc2c607248b77a7|bigint",
		"note_dsn|2|bd6e0db6f088c27cb051de38b0dd1cfd|void",
		"note_identities|2|90dd5e57550b45f210f975235b6e1e9f|void",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
