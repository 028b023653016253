package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/smalldisk"
)

// TablespaceOnTmpfs makes a tablespace of sizeMB that can be filled up without
// harm, and returns its name. Use it with "create database … tablespace …",
// "create table … tablespace …" or "alter database … set default_tablespace".
// After the test the databases that use it are dropped with it.
func TablespaceOnTmpfs(t testing.TB, c *Cluster, sizeMB int) string {
	t.Helper()
	name := nextName("small")
	dir, options := c.small(name)
	smalldisk.Mount(t, dir, sizeMB<<20, options)
	if err := c.exec(fmt.Sprintf("create tablespace %s location '%s'", name, dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.server.Running() {
			return
		}
		if err := c.dropTablespace(name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func (c *Cluster) dropTablespace(name string) error {
	var users []string
	err := c.session(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			select datname from pg_database
			where oid in (select pg_tablespace_databases(oid) from pg_tablespace where spcname = $1)`, name)
		if err != nil {
			return err
		}
		users, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return err
	}
	for _, db := range users {
		if err := c.exec("drop database " + pgx.Identifier{db}.Sanitize() + " with (force)"); err != nil {
			return err
		}
	}
	return c.exec("drop tablespace " + name)
}
