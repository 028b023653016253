package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
)

func sqlState(err error) string {
	var e *pgconn.PgError
	errors.As(err, &e)
	if e == nil {
		return fmt.Sprint(err)
	}
	return e.Code
}

func TestStopAndRestart(t *testing.T) {
	c := pgtest.New(t, map[string]string{"fsync": "off", "listen_addresses": "127.0.0.1"})
	dsn := c.Database(t)
	if got := value[string](t, dsn, "show fsync"); got != "off" {
		t.Errorf("fsync %s", got)
	}
	for _, mode := range []string{"fast", "immediate", "kill"} {
		c.Stop(t, mode)
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			conn.Close(t.Context())
			t.Errorf("%s: the server still accepts", mode)
		}
		c.Start(t)
		value[int](t, dsn, "select 1")
	}
	c.Restart(t)
	if got := value[int](t, dsn, "select current_setting('port')::int"); got != c.Port() {
		t.Errorf("port %d, want %d", got, c.Port())
	}
}

func TestPeerAuthentication(t *testing.T) {
	c := pgtest.Shared(t)
	dsn := c.Database(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, dsn)
	for _, role := range []string{"mapped", "other"} {
		if _, err := conn.Exec(t.Context(), "create role "+role+" login"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Exec(context.Background(), "drop role "+role) })
	}
	t.Run("with lines", func(t *testing.T) {
		c.Ident(t, "m "+me.Username+" mapped")
		c.HBA(t, "local all mapped,other peer map=m")
		value[int](t, as(t, dsn, "mapped"), "select 1")
		_, err := pgx.Connect(t.Context(), as(t, dsn, "other"))
		if got := sqlState(err); got != "28000" {
			t.Errorf("other: got %s, want 28000", got)
		}
	})
	value[int](t, as(t, dsn, "other"), "select 1")
}

func as(t testing.TB, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return u.String()
}

func TestStandbyIsReadOnlyUntilPromoted(t *testing.T) {
	primary := pgtest.New(t, nil)
	s := primary.Standby(t)
	conn := connect(t, primary.DSN("postgres", "postgres"))
	if _, err := conn.Exec(t.Context(), "create table box as select 7 as n"); err != nil {
		t.Fatal(err)
	}
	s.CatchUp(t, primary)

	standby := connect(t, s.DSN("postgres", "postgres"))
	_, err := standby.Exec(t.Context(), "insert into box values (8)")
	if got := sqlState(err); got != "25006" {
		t.Errorf("write on the standby: got %s, want 25006", got)
	}
	s.Promote(t)
	if _, err := standby.Exec(t.Context(), "insert into box values (8)"); err != nil {
		t.Error(err)
	}
}

func TestFullTablespace(t *testing.T) {
	c := pgtest.Shared(t)
	before := c.Database(t)
	small := pgtest.TablespaceOnTmpfs(t, c, 4)
	conn := connect(t, before)
	if _, err := conn.Exec(t.Context(), "create table box (b bytea) tablespace "+small); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "alter table box alter b set storage external"); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), "insert into box select convert_to(repeat('x', 1000000), 'utf8') from generate_series(1, 9)")
	if got := sqlState(err); got != "53100" {
		t.Errorf("got %s, want 53100", got)
	}
}

func TestSocketPathIsShort(t *testing.T) {
	c := pgtest.Shared(t)
	socket := fmt.Sprintf("%s/.s.PGSQL.%d", c.SocketDir(), c.Port())
	if len(socket) >= 100 {
		t.Errorf("%d bytes: %s", len(socket), socket)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Error(err)
	}
	if !strings.Contains(c.Log(), "ready to accept") {
		t.Errorf("log: %q", c.Log())
	}
	if c.Version() < 14 {
		t.Errorf("version %d", c.Version())
	}
}

func TestKeptDataAreThereAgain(t *testing.T) {
	parent := scratch.ForTest(t)
	folder := filepath.Join(parent, "kept", "data")
	for _, statement := range []string{"create table box as select 7 as n", "update box set n = n + 1"} {
		t.Run(statement, func(t *testing.T) {
			c := pgtest.Keep(t, folder, map[string]string{"work_mem": "5MB"})
			conn := connect(t, c.DSN("postgres", "postgres"))
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Error(err)
			}
		})
	}
	c := pgtest.Keep(t, folder, nil)
	if got := value[int](t, c.DSN("postgres", "postgres"), "select n from box"); got != 8 {
		t.Errorf("found %d, want 8", got)
	}
	if log := c.Log(); strings.Contains(log, "not properly shut down") {
		t.Errorf("the server was not stopped in order: %s", log)
	}
}
