// Package deliverytest gives tests the real mailrow-deliver and a place that it
// delivers to:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	dsn := deliverytest.Database(t)
//	config := deliverytest.Config(t, deliverytest.AsDeliverer(dsn), `max_size = "1KiB"`)
//	cmd := exec.Command(deliverytest.Program(t), "--config", config, "--", "bob@row.test")
//	…
//	got := deliverytest.Rows(t, dsn, "select sender, recipient from mailrow.mail")
//
// Whatever user a mail server runs the program as can read all of it.
package deliverytest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/store/schema"
)

// builds makes each program the way the Makefile does, once per test binary. They
// are kept in memory: nothing would remove a folder that outlives a test.
var builds = map[string]func() ([]byte, error){
	"mailrow":         sync.OnceValues(func() ([]byte, error) { return build("mailrow", "") }),
	"mailrow-deliver": sync.OnceValues(func() ([]byte, error) { return build("mailrow-deliver", "-E mailrow_entry") }),
}

// build makes a program, with an entry point of its own where there is one.
func build(name, entry string) ([]byte, error) {
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	defer dir.Remove()
	out := filepath.Join(dir.Path, name)
	flags := "-s -w"
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		flags += " " + entry
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", flags, "-o", out, "mailrow/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", name, err, text)
	}
	return os.ReadFile(out)
}

type programOf struct {
	t    testing.TB
	name string
}

var programs sync.Map // of programOf to the path that the test was given

// Program is the path of a mailrow-deliver that is there until the test ends.
func Program(t testing.TB) string {
	t.Helper()
	return program(t, "mailrow-deliver")
}

// Mailrow is the path of a mailrow that is there until the test ends.
func Mailrow(t testing.TB) string {
	t.Helper()
	return program(t, "mailrow")
}

func program(t testing.TB, name string) string {
	t.Helper()
	key := programOf{t, name}
	if path, ok := programs.Load(key); ok {
		return path.(string)
	}
	text, err := builds[name]()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(scratch.ForTest(t), name)
	write(t, path, text, 0o755)
	programs.Store(key, path)
	t.Cleanup(func() { programs.Delete(key) })
	return path
}

// Script is the path of a shell script that is there until the test ends: what
// stands between a mail server and the program.
func Script(t testing.TB, body string) string {
	t.Helper()
	path := filepath.Join(scratch.ForTest(t), "script")
	write(t, path, []byte("#!/bin/sh\n"+body+"\n"), 0o755)
	return path
}

// write keeps other goroutines from forking meanwhile: their child would have
// the file open for writing, and nobody could run it.
func write(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// Database is the superuser's URL of a migrated database on the shared cluster.
func Database(t testing.TB) string {
	t.Helper()
	return DatabaseOn(t, pgtest.Shared(t))
}

// DatabaseOn is Database on a cluster that the test may stop.
func DatabaseOn(t testing.TB, cluster *pgtest.Cluster) string {
	t.Helper()
	return cluster.Template(t, "deliverytest", prepare)
}

const deliverer = "deliverer"

func prepare(dsn string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := schema.Migrate(ctx, conn); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "create role "+deliverer+" login in role mailrow_deliver")
	return err
}

// AsDeliverer is the same database for a role that may deliver and nothing else.
func AsDeliverer(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err) // it comes from Database
	}
	u.User = url.User(deliverer)
	return u.String()
}

// Config is the path of a configuration file with the database and more lines.
func Config(t testing.TB, dsn string, lines ...string) string {
	t.Helper()
	path := filepath.Join(scratch.ForTest(t), "mailrow.toml")
	text := fmt.Sprintf("database = %q\n", dsn) + strings.Join(append(lines, ""), "\n")
	write(t, path, []byte(text), 0o644)
	return path
}

// Rows are the rows of a query, each with its columns as PostgreSQL writes them
// and a bar in between; NULL is "NULL".
func Rows(t testing.TB, dsn, query string, args ...string) []string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	result := conn.PgConn().ExecParams(ctx, query, values, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatalf("%s: %v", query, result.Err)
	}
	var rows []string
	for _, row := range result.Rows {
		columns := make([]string, len(row))
		for i, value := range row {
			if columns[i] = string(value); value == nil {
				columns[i] = "NULL"
			}
		}
		rows = append(rows, strings.Join(columns, "|"))
	}
	return rows
}
