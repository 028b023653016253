package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/needs"
)

// TablespaceOnTmpfs makes a tablespace of sizeMB that can be filled up without
// harm, and returns its name. Use it with "create database … tablespace …",
// "create table … tablespace …" or "alter database … set default_tablespace".
// After the test the databases that use it are dropped with it.
func TablespaceOnTmpfs(t testing.TB, c *Cluster, sizeMB int) string {
	t.Helper()
	needRoot(t)
	name := nextName("small")
	dir, err := c.mountTmpfs(name, sizeMB)
	missingMount(t, err)
	t.Cleanup(func() {
		// Detached: a stopped or stuck server may still hold files.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
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

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to mount", needs.Root)
	}
}

// mountTmpfs mounts a file system below the folder of the cluster, for its server.
func (c *Cluster) mountTmpfs(name string, sizeMB int) (dir string, err error) {
	// The name is known to package scratch, which unmounts what was left.
	dir = filepath.Join(c.dir.Path, "tmpfs_"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	options := fmt.Sprintf("size=%dm,mode=0700,uid=%d,gid=%d", sizeMB, c.user.Uid, c.user.Gid)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return "", &mountError{err}
	}
	return dir, nil
}

// mountError is that of a container without the capability, also as root.
type mountError struct{ error }

func (e *mountError) Unwrap() error { return e.error }

// missingMount ends the test where err says that nothing could be mounted, and at
// any other error.
func missingMount(t testing.TB, err error) {
	t.Helper()
	var mount *mountError
	switch {
	case errors.As(err, &mount):
		needs.Missing(t, "the right to mount ("+err.Error()+")", "run in a privileged container")
	case err != nil:
		t.Fatal(err)
	}
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
