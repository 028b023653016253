package pgtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The superuser's own way in comes first: no test can lock the package out.
const (
	hbaFirst = "local all postgres trust\n"
	hbaLast  = "local all all trust\nlocal replication all trust\n"
)

// HBA sets the lines of pg_hba.conf that come before "local all all trust", for
// the rest of the test, and waits until they are in force.
func (c *Cluster) HBA(t testing.TB, lines ...string) {
	t.Helper()
	c.replace(t, "pg_hba.conf", hbaFirst+join(lines)+hbaLast)
}

// Ident sets the lines of pg_ident.conf for the rest of the test. A peer map
// for the user running the tests: "map unixname role", then HBA with
// "local all role peer map=map".
func (c *Cluster) Ident(t testing.TB, lines ...string) {
	t.Helper()
	c.replace(t, "pg_ident.conf", join(lines))
}

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// replace writes a file in place, which keeps its owner.
func (c *Cluster) replace(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(c.data(), name)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) error {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		return c.reload()
	}
	if err := write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.server.Running() {
			return
		}
		if err := write(old); err != nil {
			t.Error(err)
		}
	})
}

// reload waits for a session that was forked after the reload: the postmaster
// reads pg_hba.conf and pg_ident.conf when it reads the configuration.
func (c *Cluster) reload() error {
	before, err := c.loadTime("select pg_conf_load_time() from pg_reload_conf()")
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		after, err := c.loadTime("select pg_conf_load_time()")
		if err != nil {
			return err
		}
		if after.After(before) {
			return c.checkHBA()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("the reload does not happen: %s", c.tail(0))
}

func (c *Cluster) loadTime(query string) (at time.Time, err error) {
	err = c.session(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query).Scan(&at)
	})
	return at, err
}

// checkHBA finds the lines the server refused: it would go on with the old
// file and say so in its log only.
func (c *Cluster) checkHBA() error {
	return c.session(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "select error from pg_hba_file_rules where error is not null")
		if err != nil {
			return err
		}
		errs, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(errs) > 0 {
			return fmt.Errorf("pg_hba.conf: %s", strings.Join(errs, "; "))
		}
		return nil
	})
}
