package pgtest_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func value[T any](t testing.TB, dsn, query string) T {
	t.Helper()
	var v T
	if err := connect(t, dsn).QueryRow(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func TestDatabaseIsEmptyAndOwn(t *testing.T) {
	c := pgtest.Shared(t)
	a, b := c.Database(t), c.Database(t)
	if a == b {
		t.Fatalf("the same database twice: %s", a)
	}
	if got := value[string](t, a, "show server_encoding"); got != "UTF8" {
		t.Errorf("encoding %s", got)
	}
	if got := value[string](t, a, "show fsync"); got != "on" {
		t.Errorf("fsync %s", got)
	}
	if got := value[string](t, a, "select lower('É')"); got != "é" {
		t.Errorf("lower('É') = %s", got)
	}
}

func TestTemplateIsPreparedOnce(t *testing.T) {
	c := pgtest.Shared(t)
	key := rand.Text() // the cluster remembers it when tests are repeated
	runs := 0
	prepare := func(dsn string) error {
		runs++
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "create table box as select 7 as n")
		return err
	}
	for range 3 {
		dsn := c.Template(t, key, prepare)
		if got := value[int](t, dsn, "select n from box"); got != 7 {
			t.Errorf("got %d", got)
		}
	}
	if runs != 1 {
		t.Errorf("prepared %d times", runs)
	}
}
