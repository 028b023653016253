package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

// On a standby, readers find what they find on its primary, and whatever writes says
// where it is to go.
func TestStandby(t *testing.T) {
	primary := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, primary)
	admin := archivetest.Connect(t, dsn)
	exec1 := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec1("create role carol login in role mailrow_reader")
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: one\nMessage-ID: <1@example.net>\n\nthe invoice\n")
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: two\nIn-Reply-To: <1@example.net>\nMIME-Version: 1.0\n"+
		"Content-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\nQUJD\n")
	archivetest.Deliver(t, dsn, "bob@example.com", "Subject: three\n\nanother invoice\n")
	exec1("select mailrow.grant_account('carol', 'ann@example.com')")
	exec1("select mailrow.index_mail(1)") // search() looks at what is indexed, and at what is not
	standby := primary.Standby(t)
	standby.CatchUp(t, primary)
	run := func(cluster *pgtest.Cluster, role, command string) (string, error) {
		cmd := exec.Command(deliverytest.Mailrow(t), strings.Fields(command)...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+cluster.DSN(role, admin.Config().Database))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, role := range []string{"postgres", "carol"} {
		for _, command := range []string{
			"list", "search invoice", "search --json invoice", "show 1", "show 2 --json", "raw 2", "thread 1", "attachment list 2", "attachment save 2 --output -",
			"export --format mbox -", "queue list", "version",
			"wait --to ann@example.com",
		} {
			want, err := run(primary, role, command)
			if err != nil || (want == "" && command != "queue list") {
				t.Fatalf("%s as %s: %v: %q", command, role, err, want)
			}
			if got, err := run(standby, role, command); err != nil || got != want {
				t.Errorf("%s as %s on the standby: %v: %q, want %q", command, role, err, got, want)
			}
		}
	}
	if out, err := run(standby, "postgres", "verify"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, command := range []string{"delete --yes 1", "index", "migrate", "grant carol bob@example.com", "route add x@example.com y@example.com",
		"retention add 1d", "reparse --all"} {
		if out, err := run(standby, "postgres", command); err == nil || !strings.Contains(out, "primary") {
			t.Errorf("%s on a standby: %v: %q", command, err, out)
		}
	}
	for _, sql := range []string{"select * from mailrow.claim('crm', 1)", "select mailrow.listen()"} {
		conn := archivetest.Connect(t, standby.DSN("carol", admin.Config().Database))
		if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "25006") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
