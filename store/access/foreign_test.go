package access_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/store/archive/archivetest"
)

// secret is everywhere in the mail that a foreign reader must not see.
const secret = "swordfish"

const secretMail = "From: " + secret + " <" + secret + "@example.net>\nTo: bob@example.org\nSubject: " + secret + `
Message-ID: <` + secret + `@example.net>
List-Id: <` + secret + `>
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain

` + secret + `
--x
Content-Type: application/` + secret + `
Content-Disposition: attachment; filename=` + secret + `.txt
Content-Transfer-Encoding: base64

c3dvcmRmaXNo
--x--
`

// calls are queries by which a reader may call each function of its role. $MAIL is the id of
// a mail, $MESSAGE of its message, $ACCOUNT of its account. "" stands for functions
// that see only their arguments.
var calls = map[string]string{
	"header_fields": "", "undo_quoted_printable": "", "undo_encoding": "", "read_pieces": "", "read_ranges": "", "wrap_base64": "",
	"put_back": "", "place_in_raw": "", "field_starts": "", "safe_filename": "", "insist_on_read_committed": "",
	"whole":               "select mailrow.whole($ACCOUNT, ''::bytea, '{0,12,1,0,0}', array[sha256('" + secret + "')])",
	"part_content":        "select mailrow.part_content($ACCOUNT, ''::bytea, null, null, 'blob', 0, 0, sha256('" + secret + "'))",
	"raw":                 "select mailrow.raw($MAIL)",
	"part":                "select mailrow.part($MAIL, '1') || mailrow.part($MAIL, '2')",
	"attachment_contents": "select * from mailrow.attachment_contents($MAIL)",
	"header":              "select mailrow.header($MAIL, 'subject')",
	"thread":              "select * from mailrow.thread($MAIL)",
	"newest":              "select x::text from mailrow.newest('bob@example.org') x",
	"search":              "select * from mailrow.search('" + secret + "')",
	"search_with":         "select * from mailrow.search_with(array[gen_random_uuid()], '" + secret + "', null, false, '<', '>')",
	"my_alarms":           "select * from mailrow.my_alarms()",
	"alarms_with":         "select * from mailrow.alarms_with(array[gen_random_uuid(), null])",
	"claim":               "select * from mailrow.claim('mine', 10)",
	"wait_for":            "select mailrow.wait_for('" + secret + "', '1 ms', '1 hour')",
	"my_keys":             "select mailrow.my_keys(false)",
	"consumer":            "select mailrow.consumer('theirs', account => 'bob@example.org')",
	"drop_consumer":       "select mailrow.drop_consumer('of admin')", "ack": "select mailrow.ack('of admin', $MAIL)",
	"ack_all": "select mailrow.ack_all('of admin', array[$MAIL])", "nack": "select mailrow.nack('of admin', $MAIL)",
	"extend": "select mailrow.extend('of admin', $MAIL, '1 hour')", "release": "select mailrow.release('of admin', $MAIL)",
	"revive": "select mailrow.revive('of admin', $MAIL)", "listen": "select mailrow.listen('1 hour', 'bob@example.org')",
	"claim_with":         "select * from mailrow.claim_with(array[gen_random_uuid()], 'of admin', 10, '1 hour')",
	"settle":             "select mailrow.settle(array[gen_random_uuid()], 'ack', 'of admin', array[$MAIL], null, null)",
	"list_consumers":     "select * from mailrow.list_consumers(array[gen_random_uuid()])",
	"list_dead_letters":  "select * from mailrow.list_dead_letters(array[gen_random_uuid()])",
	"consumer_with":      "select mailrow.consumer_with(array[gen_random_uuid()], 'x', 'bob@example.org', null, false, 5)",
	"drop_consumer_with": "select mailrow.drop_consumer_with(array[gen_random_uuid()], 'of admin')",
	"listen_with":        "select mailrow.listen_with(array[gen_random_uuid()], '1 hour', 'bob@example.org')",
}

// Neither a view nor a function, asked for another's mail in every way, shows it
// to a reader of one account or of none.
func TestForeignReaderSeesNothingAnywhere(t *testing.T) {
	d := setUp(t)
	ctx := context.Background()
	id := archivetest.Deliver(t, d.dsn, "bob@example.org", secretMail)
	var message, number int64
	err := d.admin.QueryRow(ctx, `select message, account_id from mailrow.deliveries where id = $1`, id).Scan(&message, &number)
	if err != nil {
		t.Fatal(err)
	}
	d.exec(t, "select * from mailrow.claim('of admin', 10)")
	granted := names(t, d.admin, `
		select distinct p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname in ('mailrow', 'mailrow_delivery') and has_function_privilege('mailrow_reader', p.oid, 'execute')`)
	relations := names(t, d.admin, `
		select format('mailrow.%I', c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'mailrow' and c.relkind in ('r', 'v') and has_table_privilege('mailrow_reader', c.oid, 'select')`)
	placed := strings.NewReplacer("$MAIL", fmt.Sprint(id), "$MESSAGE", fmt.Sprint(message), "$ACCOUNT", fmt.Sprint(number))
	none := d.role(t, "foreigner", "login in role mailrow_reader")
	one := d.role(t, "reader of alice", "login in role mailrow_reader")
	d.allow(t, one, account("alice"))
	for _, role := range []string{none, one} {
		for _, relation := range relations {
			d.wantNoSecret(t, role, "select x::text from "+relation+" x")
		}
		for _, function := range granted {
			query, known := calls[function]
			if !known {
				t.Errorf("function %s is granted to readers, and not tried here", function)
			}
			if query != "" {
				d.wantNoSecret(t, role, placed.Replace(query))
			}
		}
	}
	// The same finds it for who may read it: the check can fail.
	all := d.role(t, "reader of bob", "login in role mailrow_reader")
	d.allow(t, all, account("bob"))
	for _, query := range []string{"select x::text from mailrow.mail x", "select * from mailrow.search('" + secret + "')", "select * from mailrow.claim('mine', 10)",
		fmt.Sprintf("select * from mailrow.attachment_contents(%d)", id), calls["newest"]} {
		if found := d.text(t, all, query); !strings.Contains(found, secret) {
			t.Errorf("%s shows its own reader %q", query, found)
		}
	}
}

// wantNoSecret runs a query as a role; an error is as good as no rows, as long as
// it does not tell.
func (d *database) wantNoSecret(t *testing.T, role, query string) {
	t.Helper()
	text := strings.ReplaceAll(d.text(t, role, query), query, "")
	hidden := fmt.Sprintf("%x", secret)
	if strings.Contains(text, secret) || strings.Contains(text, hidden) {
		t.Errorf("%s, as %s: %s", query, role, text)
	}
}

// text is all that a query gives, and its error.
func (d *database) text(t *testing.T, role, query string) string {
	t.Helper()
	ctx := context.Background()
	conn := d.as(t, role)
	defer conn.Close(ctx)
	var b strings.Builder
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err.Error()
	}
	for rows.Next() {
		for _, value := range rows.RawValues() {
			fmt.Fprintf(&b, "%s|%x\n", value, value)
		}
	}
	if err := rows.Err(); err != nil {
		return b.String() + err.Error()
	}
	return b.String()
}

func names(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(list) < 10 {
		t.Fatalf("%v, %v", list, err)
	}
	return list
}
