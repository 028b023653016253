package access_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store"
	"mailrow/store/access"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// database is a migrated one with two accounts of one mail each.
type database struct {
	dsn        string
	admin      *pgx.Conn
	alice, bob int64 // ids in view mail
}

func setUp(t *testing.T) *database {
	t.Helper()
	d := &database{dsn: deliverytest.Database(t)}
	d.admin = archivetest.Connect(t, d.dsn)
	d.alice = archivetest.Deliver(t, d.dsn, "alice@example.org", "Subject: for alice\n\nhello alice\n")
	d.bob = archivetest.Deliver(t, d.dsn, "bob@example.org", "Subject: for bob\n\nhello bob\n")
	return d
}

// role makes a role of this test. Roles belong to the cluster, so its name has
// the database's.
func (d *database) role(t *testing.T, name, options string) string {
	t.Helper()
	return d.named(t, name+" of "+d.admin.Config().Database, options)
}

func (d *database) named(t *testing.T, name, options string) string {
	t.Helper()
	d.exec(t, "create role "+pgx.Identifier{name}.Sanitize()+" "+options)
	t.Cleanup(func() {
		quoted := pgx.Identifier{name}.Sanitize()
		d.exec(t, "drop owned by "+quoted)
		d.exec(t, "drop role "+quoted)
	})
	return name
}

func (d *database) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := d.admin.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (d *database) as(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	return archivetest.Connect(t, pgtest.Shared(t).DSN(role, d.admin.Config().Database))
}

// relations are all tables and views of ours.
func (d *database) relations(t *testing.T) []string {
	t.Helper()
	rows, err := d.admin.Query(context.Background(), `
		select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('mailrow', 'mailrow_delivery', 'mailrow_polling') and c.relkind in ('r', 'v', 'm', 'p') order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 7 {
		t.Fatalf("relations: %v, %v", names, err)
	}
	return names
}

// refused wants SQLSTATE 42501 for every statement.
func refused(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		_, err := conn.Exec(context.Background(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: got %v, want insufficient_privilege", sql, err)
		}
	}
}

// writes are statements that change a relation.
func writes(relation string) []string {
	return []string{
		"delete from " + relation,
		"truncate " + relation,
		"insert into " + relation + " default values",
	}
}

func TestDelivererMayOnlyDeliver(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "deliverer", "login in role mailrow_deliver")
	conn := d.as(t, role)
	for _, relation := range d.relations(t) {
		refused(t, conn, "select from "+relation)
		refused(t, conn, writes(relation)...)
	}
	refused(t, conn,
		"update mailrow.deliveries set mailbox = 1",
		"update mailrow.routes set account = 'x'",
		"select count(*) from mailrow.accounts",
		fmt.Sprintf("select mailrow.raw(%d)", d.alice),
		fmt.Sprintf("select mailrow.delete_mail(%d)", d.alice),
		"select mailrow.delete_account('alice@example.org')",
		"select mailrow.grant_account(current_user, null)",
		"select mailrow.revoke_account(current_user, null)",
		"select mailrow.apply_grants(current_user)",
		"create table mailrow.mine ()",
		"create table mailrow_delivery.mine ()",
		"create function mailrow_delivery.mine() returns int language sql as 'select 1'",
		"set role mailrow_owner",
		"set role mailrow_reader",
		"grant mailrow_reader to current_user",
		"copy mailrow.messages to stdout",
	)
	dsn := pgtest.Shared(t).DSN(role, d.admin.Config().Database)
	id, err := archivetest.Store(dsn, "new@example.org", "Subject: new\n\nnew\n")
	if err != nil {
		t.Fatalf("deliver: %v", err)
	}
	if _, err := archive.Find(context.Background(), d.admin, id); err != nil {
		t.Errorf("what it delivered: %v", err)
	}
}

// deliver_to takes any account_id: whoever could call it would get around
// routes and unknown=reject.
func TestDelivererMayNotCallTheInnerFunction(t *testing.T) {
	d := setUp(t)
	var signature string
	err := d.admin.QueryRow(context.Background(),
		`select 'mailrow_delivery.deliver_to'::regproc::regprocedure::text`).Scan(&signature)
	if err != nil {
		t.Fatal(err)
	}
	role := d.role(t, "deliverer", "login in role mailrow_deliver")
	n := strings.Count(signature, ",") + 1
	conn := d.as(t, role)
	refused(t, conn, "select mailrow_delivery.deliver_to(1"+strings.Repeat(", null", n-1)+")")
}

func TestStrangerMayNothing(t *testing.T) {
	d := setUp(t)
	conn := d.as(t, d.role(t, "stranger", "login"))
	for _, relation := range d.relations(t) {
		refused(t, conn, "select from "+relation)
	}
	refused(t, conn,
		fmt.Sprintf("select mailrow.raw(%d)", d.alice),
		"select mailrow_delivery.deliver_one(2"+strings.Repeat(", null", 54)+")",
		"select mailrow_delivery.deliver_next(2"+strings.Repeat(", null", 54)+")",
		"select mailrow_delivery.note_dsn(array['x'], array[1])",
		"select mailrow_delivery.note_identities(array['x'::bytea], array[1])",
		"set role mailrow_deliver",
	)
	if _, err := archivetest.Store(pgtest.Shared(t).DSN(conn.Config().User, conn.Config().Database),
		"new@example.org", "Subject: new\n\nnew\n"); store.TroubleOf(err) != store.TroubleRights {
		t.Errorf("deliver: %v", err)
	}
}

// seen gives the accounts that a connection sees, as view mail, view headers
// and function raw tell; they must agree.
func (d *database) seen(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	ctx := context.Background()
	list, err := archive.List(ctx, conn, archive.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	byMail := map[string]bool{}
	for _, m := range list {
		byMail[m.Account] = true
	}
	byHeaders, byRaw := map[string]bool{}, map[string]bool{}
	rows, err := d.admin.Query(ctx, `select id, account from mailrow.mail`)
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		ID      int64
		Account string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[place])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		fields, err := archive.Header(ctx, conn, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) > 0 {
			byHeaders[p.Account] = true
		}
		var raw strings.Builder
		switch err := archive.WriteRaw(ctx, conn, p.ID, &raw); {
		case err == nil:
			byRaw[p.Account] = true
		case !errors.Is(err, archive.ErrNotFound):
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(byMail, byHeaders); diff != "" {
		t.Errorf("mail and headers disagree:\n%s", diff)
	}
	if diff := cmp.Diff(byMail, byRaw); diff != "" {
		t.Errorf("mail and raw disagree:\n%s", diff)
	}
	var names []string
	for _, name := range []string{"alice@example.org", "bob@example.org", "carol@example.org"} {
		if byMail[name] {
			names = append(names, strings.TrimSuffix(name, "@example.org"))
		}
	}
	return names
}

func (d *database) wantSeen(t *testing.T, conn *pgx.Conn, when string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, d.seen(t, conn)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func account(name string) *string {
	name += "@example.org"
	return &name
}

func (d *database) allow(t *testing.T, role string, account *string) {
	t.Helper()
	if err := access.Allow(context.Background(), d.admin, role, account); err != nil {
		t.Fatal(err)
	}
}

func (d *database) withdraw(t *testing.T, role string, account *string) {
	t.Helper()
	found, err := access.Withdraw(context.Background(), d.admin, role, account)
	if err != nil || !found {
		t.Fatalf("withdraw: %v, %v", found, err)
	}
}

func TestGrantNeedsRoleAndAccount(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	if err := access.Allow(ctx, d.admin, "nobody here", account("alice")); !errors.Is(err, access.ErrNoRole) {
		t.Errorf("got %v, want ErrNoRole", err)
	}
	role := d.role(t, "reader", "login")
	if err := access.Allow(ctx, d.admin, role, account("nobody")); !errors.Is(err, access.ErrNoAccount) {
		t.Errorf("got %v, want ErrNoAccount", err)
	}
	if found, err := access.Withdraw(ctx, d.admin, role, account("alice")); found || err != nil {
		t.Errorf("revoke of nothing: %v, %v", found, err)
	}
	d.allow(t, role, nil)
	d.allow(t, role, account("bob"))
	grants, err := access.List(ctx, d.admin)
	if err != nil || len(grants) != 2 || grants[0].Account != nil || *grants[1].Account != "bob@example.org" {
		t.Errorf("got %+v, %v", grants, err)
	}
}

// A role that was dropped must not take the other readers' mail away.
func TestDroppedRoleLeavesOthersReading(t *testing.T) {
	ctx := context.Background()
	d := setUp(t)
	stays := d.role(t, "stays", "login")
	d.allow(t, stays, account("alice"))
	gone := "gone of " + d.admin.Config().Database
	quoted := pgx.Identifier{gone}.Sanitize()
	d.exec(t, "create role "+quoted)
	d.allow(t, gone, account("bob"))
	d.exec(t, "drop owned by "+quoted)
	d.exec(t, "drop role "+quoted)
	d.wantSeen(t, d.as(t, stays), "after another role was dropped", "alice")
	if _, err := access.Withdraw(ctx, d.admin, gone, account("bob")); err != nil {
		t.Errorf("revoke from a dropped role: %v", err)
	}
	d.wantSeen(t, d.as(t, stays), "after its grant was revoked", "alice")
}

// PostgreSQL cuts names off at 63 bytes, those of policies too.
func TestLongRoleNamesStayApart(t *testing.T) {
	d := setUp(t)
	long := d.admin.Config().Database
	long += strings.Repeat("r", 62-len(long))
	one, other := d.named(t, long+"1", "login"), d.named(t, long+"2", "login")
	d.allow(t, one, account("alice"))
	d.allow(t, other, account("bob"))
	d.wantSeen(t, d.as(t, one), "one of two long names", "alice")
	d.wantSeen(t, d.as(t, other), "the other", "bob")
	d.withdraw(t, one, account("alice"))
	d.wantSeen(t, d.as(t, other), "after the first was revoked", "bob")
}
