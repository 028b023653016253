package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// delivery is one run of the real program.
type delivery struct {
	dsn   string
	args  []string
	env   []string // beside DATABASE_URL and PATH
	stdin []byte
}

const sample = "From: Ann <ann@x.test>\nSubject: hello\nMessage-ID: <1@x.test>\n\nbody\n"

// command prepares the run; its environment is as bare as an MTA's.
func (d delivery) command(t testing.TB) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.Command(deliverytest.Program(t), d.args...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "DATABASE_URL=" + d.dsn}, d.env...)
	cmd.Stdin = bytes.NewReader(d.stdin)
	stderr = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	return cmd, stderr
}

// run gives the exit status and what was said.
func (d delivery) run(t testing.TB) (exit int, said string) {
	t.Helper()
	cmd, stderr := d.command(t)
	return exitOf(t, cmd.Run()), stderr.String()
}

func exitOf(t testing.TB, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// want runs and checks status and, in what was said, a part of it.
func (d delivery) want(t testing.TB, exit int, part string) {
	t.Helper()
	got, said := d.run(t)
	if got != exit || !strings.Contains(said, part) {
		t.Errorf("%v: exit %d, said %q; want %d and %q", d.args, got, said, exit, part)
	}
	if strings.Count(said, "\n") > 1 || exit == 0 && said != "" {
		t.Errorf("%v: said %q; want silence on success and one line otherwise", d.args, said)
	}
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// one gives the single value of a query.
func one[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func wantRows(t testing.TB, dsn string, want int) {
	t.Helper()
	if got := one[int](t, connect(t, dsn), `select count(*) from mailrow.deliveries`); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}

// holdDeliveries makes every delivery wait until release is called.
func holdDeliveries(t testing.TB, dsn string) (release func()) {
	t.Helper()
	conn := connect(t, dsn)
	exec1(t, conn, `begin`)
	exec1(t, conn, `lock table mailrow.messages in share mode`)
	return func() { conn.Exec(context.Background(), `rollback`) }
}

// waitHeld waits until n deliveries wait for the lock.
func waitHeld(t testing.TB, dsn string, n int) {
	t.Helper()
	conn := connect(t, dsn)
	for range 500 {
		if one[int](t, conn, `select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%mailrow_delivery%'`) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no delivery waits for the lock")
}
