package access_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/pgtest"
	"mailrow/store"
	"mailrow/store/archive/archivetest"
)

func TestReaderSeesWhatIsGranted(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "reader", "login in role mailrow_reader")
	conn := d.as(t, role)
	d.wantSeen(t, conn, "before any grant")
	d.allow(t, role, account("alice"))
	d.wantSeen(t, conn, "after a grant", "alice")
	d.allow(t, role, account("alice"))
	d.wantSeen(t, conn, "after the same grant", "alice")
	d.allow(t, role, account("bob"))
	d.wantSeen(t, conn, "after a second grant", "alice", "bob")
	d.withdraw(t, role, account("alice"))
	d.wantSeen(t, conn, "after one was revoked", "bob")
	d.withdraw(t, role, account("bob"))
	d.wantSeen(t, conn, "after both were revoked")
}

func TestAllCoversLaterAccounts(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "auditor", "login")
	d.allow(t, role, nil)
	conn := d.as(t, role)
	d.wantSeen(t, conn, "all", "alice", "bob")
	archivetest.Deliver(t, d.dsn, "carol@example.org", "Subject: for carol\n\nhello\n")
	d.wantSeen(t, conn, "with a later account", "alice", "bob", "carol")
	d.allow(t, role, account("bob"))
	d.withdraw(t, role, nil)
	d.wantSeen(t, conn, "all was revoked, one was granted besides", "bob")
}

func TestGrantToAGroupHoldsForItsMembers(t *testing.T) {
	d := setUp(t)
	group := d.role(t, "support", "nologin")
	member := d.role(t, "member", "login in role "+pgx.Identifier{group}.Sanitize())
	other := d.role(t, "other", "login in role mailrow_reader")
	d.allow(t, group, account("alice"))
	d.wantSeen(t, d.as(t, member), "member of the group", "alice")
	d.wantSeen(t, d.as(t, other), "another reader")
	d.allow(t, member, account("bob"))
	d.wantSeen(t, d.as(t, member), "member with a grant of its own", "alice", "bob")
	d.exec(t, fmt.Sprintf("revoke %s from %s", pgx.Identifier{group}.Sanitize(), pgx.Identifier{member}.Sanitize()))
	d.wantSeen(t, d.as(t, member), "no longer member", "bob")
}

func TestReaderMayNotWrite(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "reader", "login")
	d.allow(t, role, account("alice"))
	conn := d.as(t, role)
	for _, table := range []string{"accounts", "mailboxes", "messages", "deliveries", "routes", "grants", "migrations"} {
		refused(t, conn, writes("mailrow."+table)...)
	}
	for _, relation := range []string{"grants", "routes", "migrations", "imports"} {
		refused(t, conn, "select from mailrow."+relation)
	}
	refused(t, conn,
		"update mailrow.deliveries set flags = '{x}'",
		fmt.Sprintf("select mailrow.delete_mail(%d)", d.alice),
		"select mailrow.delete_account('alice@example.org')",
		"select mailrow.grant_account(current_user, 'bob@example.org')",
		"select mailrow.apply_grants(current_user)",
		"select mailrow_delivery.deliver_one(2"+strings.Repeat(", null", 54)+")",
		"select mailrow_delivery.deliver_next(2"+strings.Repeat(", null", 54)+")",
		"select mailrow_delivery.note_dsn(array['x'], array[1])",
		"select mailrow_delivery.note_identities(array['x'::bytea], array[1])",
		"create table mailrow.mine ()",
		"set role mailrow_owner",
		"alter table mailrow.messages disable row level security",
	)
	if _, err := archivetest.Store(pgtest.Shared(t).DSN(role, conn.Config().Database),
		"alice@example.org", "Subject: new\n\nnew\n"); store.TroubleOf(err) != store.TroubleRights {
		t.Errorf("deliver: %v", err)
	}
}

// A leaky function in a condition must see no row that the policies hide.
func TestReaderCannotPeekThroughAnErrorOrNotice(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "reader", "login")
	d.allow(t, role, account("alice"))
	conn := d.as(t, role)
	var rows int
	err := conn.QueryRow(context.Background(),
		`select count(*) from mailrow.mail where 1 / (case when subject = 'for bob' then 0 else 1 end) = 1`).Scan(&rows)
	if err != nil || rows != 1 {
		t.Errorf("got %d rows, %v; want 1", rows, err)
	}
	_, err = conn.Exec(context.Background(), `
		create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as
		$$ begin if $1 like '%bob%' then raise exception 'leaked %', $1; end if; return true; end $$`)
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range []string{"account", "subject", "recipient", "mailbox"} {
		if _, err := conn.Exec(context.Background(), "select * from mailrow.mail where pg_temp.leak("+column+")"); err != nil {
			t.Errorf("%s: %v", column, err)
		}
	}
}
