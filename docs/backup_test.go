package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/store/archive/archivetest"
)

// operator is a shell on the machine of a database server.
type operator struct {
	cluster *pgtest.Cluster
	dir     string // with mailrow, and where files lie
	env     []string
}

// run runs the commands of an example, and gives what they print.
func (o *operator) run(t *testing.T, example string) string {
	t.Helper()
	var all strings.Builder
	for line := range strings.Lines(example) {
		out, err := o.try(strings.TrimPrefix(line, "$ "))
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		all.WriteString(out)
	}
	return all.String()
}

func (o *operator) try(command string) (string, error) {
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), append(o.env, "PGHOST="+o.cluster.SocketDir(), "PGPORT="+strconv.Itoa(o.cluster.Port()), "PGUSER=postgres",
		"MAILROW_KEY_FILE="+filepath.Join(o.dir, "key"), "PATH="+o.dir+":"+os.Getenv("PATH"))...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (o *operator) dsn() string { return o.cluster.DSN("postgres", "mailrow") }

// What is restored by the commands of backup.md is the database that was dumped, and
// goes on.
func TestBackup(t *testing.T) {
	here, away := pgtest.New(t, nil), pgtest.New(t, nil)
	dir := scratch.ForTest(t)
	old, restored := &operator{cluster: here, dir: dir}, &operator{cluster: away, dir: dir}
	program, err := os.ReadFile(deliverytest.Mailrow(t))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "mailrow"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	old.run(t, "createdb --template template0 --encoding UTF8 mailrow\nmailrow --database postgres:///mailrow migrate")
	deliverDemo(t, old.dsn())
	imap := servers(t, dir)
	old.run(t, `psql -qc "create role deliverer login in role mailrow_deliver" mailrow
psql -qc "create role carol login in role mailrow_reader" mailrow
mailrow --database postgres:///mailrow grant carol ann@example.com
mailrow --database postgres:///mailrow index
psql -qc "select count(mailrow.ack('crm', mail_id)) from mailrow.claim('crm', 4)" mailrow
`+imap.Replace("mailrow --database postgres:///mailrow source add 'imap+ssl://ann%40example.com@imap.example.com?folder=INBOX' --name ann --account ann@example.com --seal < imap.password"))
	const everything = `select id, account, mailbox, recipient, redelivered, thread, encode(sha256, 'hex'), encode(sha256(mailrow.raw(id)), 'hex'), subject, text
		from mailrow.mail order by id`
	want := deliverytest.Rows(t, old.dsn(), everything)

	examples := blocks(t, "console", "backup.md")
	if len(examples) != 5 {
		t.Fatalf("%d examples", len(examples))
	}
	dump, restore, dumpPlain, restorePlain, lostRoles := examples[0].text, examples[1].text, examples[2].text, examples[3].text, examples[4].text
	if out, err := old.try("pg_dump --username carol --format custom --file carol.dump mailrow"); err == nil {
		t.Errorf("a reader dumps what row-level security leaves: %s", out)
	}
	old.run(t, dump)
	old.run(t, dumpPlain)
	commands := strings.SplitAfterN(restore, "\n", 2)
	if out, err := restored.try(strings.TrimPrefix(strings.SplitN(commands[1], "\n", 2)[0], "$ ")); err == nil || !strings.Contains(out, "mailrow_owner") {
		t.Errorf("restored without the roles: %v, %s", err, out)
	}
	ways := []struct{ name, commands string }{
		{"roles lost", lostRoles + "\n" + commands[1]},
		{"with roles", restore},
		{"plain", restorePlain},
	}
	if needs.Times(0, 1) == 0 {
		ways = ways[1:2]
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			restored.run(t, "dropdb --if-exists mailrow\n"+way.commands)
			goesOn(t, restored, everything, want)
		})
	}
}

// goesOn compares a restored database, and uses it.
func goesOn(t *testing.T, o *operator, everything string, want []string) {
	t.Helper()
	if got := deliverytest.Rows(t, o.dsn(), everything); fmt.Sprint(got) != fmt.Sprint(want) || len(want) == 0 {
		t.Errorf("restored %d rows that differ from %d:\n%.2000s\n%.2000s", len(got), len(want), got, want)
	}
	// The rest of what the consumer had not acknowledged, and nothing twice.
	left := deliverytest.Rows(t, o.dsn(), "select count(mailrow.ack('crm', mail_id)), count(distinct mail_id) from mailrow.claim('crm', 100)")
	if want := fmt.Sprintf("%d|%[1]d", len(want)-4); left[0] != want {
		t.Errorf("the consumer got %s, want %s", left[0], want)
	}
	deliverDemo(t, o.dsn()) // once more: each is found
	o.run(t, `psql -qc "create role deliverer2 login in role mailrow_deliver" postgres || true`)
	socket := deliverytest.StartDaemon(t, deliverytest.Config(t, o.cluster.DSN("deliverer2", "mailrow"))).Socket
	out, err := o.try(`printf 'Subject: after\nMessage-ID: <after@example.com>\n\nrestored invoice\n' | ` +
		deliverytest.Program(t) + " --database host=/nonexistent --socket " + socket + " ann@example.com")
	if err != nil {
		t.Errorf("deliver: %v: %s", err, out)
	}
	got := deliverytest.Rows(t, o.dsn(), "select count(*), sum(redelivered), bool_and(id > 0), count(distinct id) from mailrow.mail")
	if want := fmt.Sprintf("%d|%d|t|%[1]d", len(want)+1, len(want)); got[0] != want {
		t.Errorf("after deliveries %s, want %s", got[0], want)
	}
	for as, want := range map[string]string{"postgres": "invoice", "carol": "invoice"} {
		out, err := o.try("mailrow --database 'postgres:///mailrow?user=" + as + "' search invoice")
		if err != nil || !strings.Contains(out, "after") || !strings.Contains(out, want) {
			t.Errorf("search as %s: %v, %s", as, err, out)
		}
	}
	fresh := deliverytest.Rows(t, o.dsn(), "select subject from mailrow.claim('crm', 100)")
	if fmt.Sprint(fresh) != "[after]" {
		t.Errorf("the consumer got %q", fresh)
	}
	conn := archivetest.Connect(t, o.cluster.DSN("carol", "mailrow"))
	var accounts string
	if err := conn.QueryRow(context.Background(), "select string_agg(distinct account, ' ') from mailrow.mail").Scan(&accounts); err != nil || accounts != "ann@example.com" {
		t.Errorf("carol sees %q, %v", accounts, err)
	}
	conn.Close(context.Background())
	if out, err := o.try("mailrow --database postgres:///mailrow source test ann"); err != nil {
		t.Errorf("the sealed password: %v: %s", err, out)
	}
	if out, err := o.try("mailrow --database postgres:///mailrow verify"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
