package pgbouncertest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/pgbouncertest"
	"mailrow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// In transaction mode two transactions of one client may use two servers, and
// two clients the same server.
func TestConnectionsShareOneServer(t *testing.T) {
	c := pgtest.Shared(t)
	dsn := c.Database(t)
	b := pgbouncertest.Start(t, c, map[string]string{"default_pool_size": "1"})
	pids := map[int]bool{}
	for range 3 {
		conn, err := pgx.Connect(t.Context(), b.DSN(t, dsn))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		var pid int
		// Version 1.18 knows no prepared statements in this mode.
		err = conn.QueryRow(t.Context(), "select pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		pids[pid] = true
	}
	if len(pids) != 1 {
		t.Errorf("servers %v, want one", pids)
	}
}

func TestOtherRoles(t *testing.T) {
	c := pgtest.Shared(t)
	dsn := c.Database(t)
	b := pgbouncertest.Start(t, c, nil, "pooled")
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "drop role pooled"); err != nil {
			t.Error(err)
		}
		admin.Close(context.Background())
	})
	if _, err := admin.Exec(t.Context(), "create role pooled login"); err != nil {
		t.Fatal(err)
	}
	conf, err := pgx.ParseConfig(b.DSN(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	conf.User = "pooled"
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var role string
	err = conn.QueryRow(t.Context(), "select current_user", pgx.QueryExecModeExec).Scan(&role)
	if err != nil || role != "pooled" {
		t.Errorf("role %q, %v", role, err)
	}
}
