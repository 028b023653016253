package pgtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/needs"
)

// Standby starts a hot standby of c: read-only, following by streaming. It is
// stopped after the test.
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	if _, err := os.Stat(filepath.Join(c.bin, "pg_basebackup")); err != nil {
		needs.Missing(t, "pg_basebackup beside the server's programs", needs.Install)
	}
	s, err := build(c.programs, nil, func(s *Cluster) error {
		return c.run("pg_basebackup", "--pgdata="+s.data(), "--write-recovery-conf",
			"--checkpoint=fast", "--no-sync", "--wal-method=stream",
			"--host="+c.SocketDir(), "--port="+strconv.Itoa(c.port), "--username=postgres")
	})
	if err != nil {
		t.Fatal(err)
	}
	own(t, s)
	return s
}

// CatchUp waits until the standby has replayed all that primary has written.
func (c *Cluster) CatchUp(t testing.TB, primary *Cluster) {
	t.Helper()
	var target string
	err := primary.session(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&target)
	})
	if err == nil {
		err = c.waitFor("select pg_last_wal_replay_lsn() >= $1::text::pg_lsn", target)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Promote makes the standby a primary.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	err := c.exec("select pg_promote()")
	if err == nil {
		err = c.waitFor("select not pg_is_in_recovery()")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor repeats a query of one boolean until it is true.
func (c *Cluster) waitFor(query string, args ...any) error {
	return c.session(func(ctx context.Context, conn *pgx.Conn) error {
		for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
			var yes bool
			if err := conn.QueryRow(ctx, query, args...).Scan(&yes); err != nil {
				return err
			}
			if yes {
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		return fmt.Errorf("never true: %s", query)
	})
}
