package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

// tests are this package's, with a PostgreSQL.
type tests struct{ *testing.M }

func (t tests) Run() int { return pgtest.Main(t.M) }

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"mailrow": main})
}

// The scripts get a database with the schema (DATABASE_URL), one without
// (EMPTY_URL), a role of their own that does not exist yet (ROLE), and the real
// mailrow-deliver (DELIVER).
func TestScripts(t *testing.T) {
	pgtest.Need(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"deliver": storeMail,
			"sql":     runSQL,
			"sqlas":   runSQLAs,
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Setup: func(env *testscript.Env) error {
			t := env.T().(testing.TB)
			dsn := deliverytest.Database(t)
			config, err := pgx.ParseConfig(dsn)
			if err != nil {
				return err
			}
			for name, value := range map[string]string{
				"DATABASE_URL": dsn,
				"FULL_URL":     dsn,
				"EMPTY_URL":    pgtest.Shared(t).Database(t),
				"DATABASE":     config.Database,
				"ROLE":         "role_of_" + config.Database,
				"PGHOST":       config.Host,
				"DELIVER":      deliverytest.Program(t),
				"GORACE":       "atexit_sleep_ms=0", // instead of a second at each exit
			} {
				env.Setenv(name, value)
			}
			return nil
		},
	})
}

// storeMail is "deliver RECIPIENT FILE": it sets ID.
func storeMail(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: deliver RECIPIENT FILE")
	}
	id, err := archivetest.Store(ts.Getenv("FULL_URL"), args[0], ts.ReadFile(args[1]))
	ts.Check(err)
	ts.Setenv("ID", strconv.FormatInt(id, 10))
}

// runSQL is "sql STATEMENT [RESULT]"; RESULT is the only column of the only row.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: sql STATEMENT [RESULT]")
	}
	query(ts, neg, ts.Getenv("FULL_URL"), args)
}

// runSQLAs is "sqlas ROLE STATEMENT [RESULT]".
func runSQLAs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: sqlas ROLE STATEMENT [RESULT]")
	}
	query(ts, neg, strings.Replace(ts.Getenv("FULL_URL"), "postgres@", args[0]+"@", 1), args[1:])
}

func query(ts *testscript.TestScript, neg bool, dsn string, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	ts.Check(err)
	defer conn.Close(ctx)
	if len(args) == 1 {
		_, err = conn.Exec(ctx, args[0])
	} else {
		var got string
		err = conn.QueryRow(ctx, "select ("+args[0]+")::text").Scan(&got)
		if err == nil && got != args[1] {
			ts.Fatalf("%s: got %q, want %q", args[0], got, args[1])
		}
	}
	if neg && err == nil {
		ts.Fatalf("%s: succeeded", args[0])
	}
	if !neg {
		ts.Check(err)
	}
}

// Every command answers --help on standard output, with an example.
func TestHelp(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		var out, err bytes.Buffer
		if exit := run(args, func(string) string { return "" }, nil, &out, &err); exit != 0 || err.Len() > 0 {
			t.Errorf("%v: exit %d, %s", args, exit, &err)
		}
		for _, want := range []string{"Usage:\n  mailrow", "Examples:\n  ", "--database"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: no %q in %s", args, want, &out)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&program{}).command())
}
