package access_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store"
	"mailrow/store/access"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
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

// What a poller may read; and it may change none of it but by its functions.
var polled = []string{"sources", "source_folders", "source_messages", "source_runs", "source_alarms", "source_status", "alarms"}

func TestPollerMayOnlyPoll(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "poller", "login in role mailrow_poller")
	conn := d.as(t, role)
	for _, relation := range d.relations(t) {
		if !slices.Contains(polled, strings.TrimPrefix(relation, "mailrow.")) {
			refused(t, conn, "select from "+relation)
		}
	}
	for _, table := range append([]string{"accounts", "mailboxes", "messages", "deliveries", "routes", "grants", "migrations"}, polled[:5]...) {
		refused(t, conn, writes("mailrow."+table)...)
	}
	refused(t, conn,
		"update mailrow.sources set uri = 'mbox:///etc/passwd'",
		"update mailrow.source_messages set state = 'stored'",
		"update mailrow.sources set secret = 'command:true'",
		"update mailrow.source_tokens set refresh_token = null",
		"select mailrow.retry_source(1)",
		"select mailrow.raise_alarm(1, 'silent', '')",
		"select mailrow.clear_alarm(1, 'silent')",
		fmt.Sprintf("select mailrow.raw(%d)", d.alice),
		fmt.Sprintf("select mailrow.delete_mail(%d)", d.alice),
		"select mailrow.grant_account(current_user, null)",
		"create table mailrow_polling.mine ()",
		"set role mailrow_owner",
		"set role mailrow_reader",
	)
	if _, err := archivetest.Store(conn.Config().ConnString(), "new@example.org", "Subject: new\n\nnew\n"); err != nil {
		t.Errorf("deliver: %v", err)
	}
	ctx := context.Background()
	account := "new@example.org"
	id, err := source.Adopt(ctx, conn, source.Source{URI: "mbox:///a", Account: &account})
	if err != nil {
		t.Fatal(err)
	}
	run, err := source.Begin(ctx, conn, id)
	if err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFolder(ctx, conn, id, "INBOX", "mbox:///a", "keep")
	if err != nil {
		t.Fatal(err)
	}
	_, known := f.Known(ctx, conn, []string{"1"})
	_, failed := f.Fail(ctx, conn, "1", errors.New("no luck"), 3)
	_, active := source.Active(ctx, conn)
	_, listed := source.List(ctx, conn)
	_, alarms := source.Alarms(ctx, conn, 0, true)
	_, health := source.HealthOf(ctx, conn)
	sealed := "sealed:" + strings.Repeat("x", 40)
	if err := source.SetToken(ctx, d.admin, id, source.Token{Provider: "google", Endpoint: "https://a/", ClientID: "1", Refresh: &sealed}); err != nil {
		t.Fatal(err)
	}
	token, read := source.ReadToken(ctx, conn, id)
	if stored, err := source.RotateToken(ctx, conn, id, token, &sealed, sealed, time.Hour); err != nil || !stored {
		t.Errorf("rotate: %v, %v", stored, err)
	}
	for _, err := range []error{known, failed, active, listed, alarms, health, read, f.Gone(ctx, conn, 0, func(string) bool { return false }),
		f.CarriedOut(ctx, conn, []string{"1"}, "delete"), f.Listed(ctx, conn, "", false), f.Listed(ctx, conn, "", true), run.End(ctx, conn, source.Count{}, nil, nil), run.Stop(ctx, conn, source.Count{})} {
		if err != nil {
			t.Error(err)
		}
	}
}

// Whoever delivers or reads does not learn where mail is polled from, and polls nothing.
func TestOthersMayNotPoll(t *testing.T) {
	d := setUp(t)
	reader := d.role(t, "reader", "login")
	d.allow(t, reader, nil)
	for _, role := range []string{reader, d.role(t, "deliverer", "login in role mailrow_deliver"), d.role(t, "stranger", "login")} {
		conn := d.as(t, role)
		for _, relation := range append([]string{"source_tokens"}, polled...) {
			refused(t, conn, "select from mailrow."+relation)
		}
		refused(t, conn,
			"select mailrow.retry_source(1)",
			"select mailrow_polling.begin_run(1, 1, '1 minute')",
			"select mailrow_polling.finish_run(1, 1, null, false)",
			"select mailrow_polling.stop_run(1, 1)",
			"select mailrow.raise_alarm(1, 'silent', '')",
			"select mailrow_polling.settle(1, 1, 'x', 1)",
			"select mailrow_polling.settle(1, 1, 'x', null, null, 1)",
			"select mailrow_polling.stamp(1, 1, 'x', null)",
			"select mailrow_polling.token(1, false)",
			"select mailrow_polling.rotate_token(1, null, null, null, 1)",
		)
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
