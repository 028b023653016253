package pgtest

import (
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Restore dumps the database of dsn with pg_dump, restores it with psql on
// cluster to, roles included, and returns the superuser's URL of the copy.
func (c *Cluster) Restore(t testing.TB, dsn string, to *Cluster) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	restored := to.Database(t)
	r, err := url.Parse(restored)
	if err != nil {
		t.Fatal(err)
	}
	// The role of the superuser is there already: psql goes on.
	pipe(t, c.client("pg_dumpall", "--roles-only"), to.client("psql", "--dbname=postgres", "--quiet", "--no-psqlrc"))
	pipe(t, c.client("pg_dump", strings.TrimPrefix(u.Path, "/")),
		to.client("psql", "--dbname="+strings.TrimPrefix(r.Path, "/"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"))
	return restored
}

// client prepares a client program of the installation, for the superuser.
func (c *Cluster) client(name string, args ...string) *exec.Cmd {
	return c.command(name, append(args, "--host="+c.SocketDir(), "--port="+strconv.Itoa(c.port), "--username=postgres")...)
}

// pipe runs one program into another.
func pipe(t testing.TB, from, to *exec.Cmd) {
	t.Helper()
	var fromSaid, toSaid strings.Builder
	from.Stderr, to.Stderr = &fromSaid, &toSaid
	out, err := from.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	to.Stdin = out
	if err := from.Start(); err != nil {
		t.Fatal(err)
	}
	errTo := to.Run()
	if err := from.Wait(); err != nil || errTo != nil {
		t.Fatalf("%s: %v; %s: %v\n%s%s", from.Path, err, to.Path, errTo, &fromSaid, &toSaid)
	}
}
