package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

func TestStandby(t *testing.T) {
	primary := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, primary)
	admin := archivetest.Connect(t, dsn)
	for _, sql := range []string{"create role carol login in role mailrow_reader", "create role dora login in role mailrow_reader"} {
		admin.Exec(t.Context(), sql)
	}
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: one\nMessage-ID: <1@x>\n\nhello invoice\n")
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: two\nIn-Reply-To: <1@x>\nMIME-Version: 1.0\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\nQUJD\n")
	admin.Exec(t.Context(), "select mailrow.grant_account('carol', 'ann@example.com')")
	admin.Exec(t.Context(), "select mailrow.grant_account('dora', 'ann@example.com')")
	pc := archivetest.Connect(t, primary.DSN("carol", admin.Config().Database))
	pc.Exec(t.Context(), "select * from mailrow.search('invoice')")
	standby := primary.Standby(t)
	standby.CatchUp(t, primary)
	dir := t.TempDir()
	for _, role := range []string{"postgres", "carol", "dora"} {
		for _, args := range []string{"list", "search invoice", "search --count invoice", "show 1", "raw 1", "thread 1", "attachment list 2", "attachment save 2 --dir " + dir,
			"export --format mbox " + filepath.Join(dir, role), "verify", "doctor", "queue list", "wait --timeout 1s", "route list", "retention list", "retention run --dry-run", "source list", "index", "migrate", "version", "place", "wait x", "queue claim x", "delete --yes 1"} {
			cmd := exec.Command(deliverytest.Mailrow(t), strings.Fields(args)...)
			cmd.Env = append(os.Environ(), "DATABASE_URL="+standby.DSN(role, admin.Config().Database))
			out, err := cmd.CombinedOutput()
			t.Logf("%s %s: %v: %.200s", role, args, err, out)
		}
	}
	_ = pgx.ErrNoRows
}
