package pgtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// template is a database that is only copied.
type template struct {
	once sync.Once
	name string
	err  error
}

var databases atomic.Int64

func nextName(kind string) string {
	return fmt.Sprintf("%s_%d", kind, databases.Add(1))
}

// Database makes an empty database that is dropped after the test, and returns
// the superuser's URL of it.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	return c.copyOf(t, "template0")
}

// Template makes a database that is a copy of what prepare made of an empty
// one; prepare runs once per key and must close its connections.
func (c *Cluster) Template(t testing.TB, key string, prepare func(dsn string) error) string {
	t.Helper()
	c.mu.Lock()
	tpl := c.templates[key]
	if tpl == nil {
		tpl = &template{name: nextName("template")}
		c.templates[key] = tpl
	}
	c.mu.Unlock()

	tpl.once.Do(func() {
		tpl.err = c.exec("create database " + tpl.name + " template template0" + c.strategy())
		if tpl.err == nil {
			tpl.err = prepare(c.DSN("postgres", tpl.name))
		}
	})
	if tpl.err != nil {
		t.Fatalf("prepare template %q: %v", key, tpl.err)
	}
	return c.copyOf(t, tpl.name)
}

func (c *Cluster) copyOf(t testing.TB, source string) string {
	t.Helper()
	name := nextName("test")
	logged := len(c.Log())
	if err := c.exec("create database " + name + " template " + source + c.strategy()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.shared && t.Failed() {
			t.Log(c.tail(logged))
		}
		if !c.server.Running() {
			return // the test stopped it; the data go with the cluster
		}
		if err := c.exec("drop database if exists " + name + " with (force)"); err != nil {
			t.Error(err)
		}
	})
	return c.DSN("postgres", name)
}

// strategy: copying files takes a third of the time of writing them to the WAL,
// which version 15 made the default.
func (c *Cluster) strategy() string {
	if c.version < 15 {
		return ""
	}
	return " strategy file_copy"
}

// exec runs statements as superuser, each in its own transaction.
func (c *Cluster) exec(statements ...string) error {
	return c.session(func(ctx context.Context, conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimSpace(s), err)
			}
		}
		return nil
	})
}

// session lends a superuser's connection to the database postgres.
func (c *Cluster) session(use func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN("postgres", "postgres"))
	if err != nil {
		return fmt.Errorf("connect to the test cluster: %w", err)
	}
	defer conn.Close(ctx)
	return use(ctx, conn)
}
