package docs

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/needs"
	"mailrow/store/archive/archivetest"
	"mailrow/store/queue"
)

func TestPythonWorker(t *testing.T) {
	// Debian's own interpreter is the one that has Debian's driver.
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import psycopg2").Run() == nil {
			runWorker(t, "python", "worker.py", python)
			return
		}
	}
	needs.Missing(t, "Python with psycopg2", needs.Install)
}

func TestNodeWorker(t *testing.T) {
	if err := exec.Command("node", "-e", "require('pg')").Run(); err != nil {
		t.Skip("no Node with package pg: npm install pg, and NODE_PATH: ", err)
	}
	runWorker(t, "js", "worker.js", "node")
}

// runWorker runs the example until it has done what there is, and one mail more.
func runWorker(t *testing.T, kind, file, interpreter string) {
	dsn := demo(t)
	path := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, []byte(blocks(t, kind, "queue.md")[0].text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, path)
	cmd.Env = append(os.Environ(), "PGHOST="+config.Host, "PGPORT="+u.Query().Get("port"), "PGDATABASE="+config.Database, "PGUSER="+config.User)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		cmd.Process.Kill()
		<-ended
	}
	conn := archivetest.Connect(t, dsn)
	done := func() bool {
		list, err := queue.Consumers(context.Background(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 1 && list[0].Waiting+list[0].InHand+list[0].Delayed+list[0].Dead == 0
	}
	waitUntil := func(what string, yes func() bool) {
		for deadline := time.Now().Add(30 * time.Second); !yes(); time.Sleep(20 * time.Millisecond) {
			select {
			case err := <-ended:
				t.Fatalf("%s: the worker ended, %v:\n%s", what, err, &out)
			default:
			}
			if time.Now().After(deadline) {
				stop()
				t.Fatalf("%s: not in time:\n%s", what, &out)
			}
		}
	}
	waitUntil("the mail there was", done)
	waitUntil("listens", func() bool {
		var yes bool
		err := conn.QueryRow(context.Background(), `select exists (select from mailrow.accounts where notify_until > now())`).Scan(&yes)
		return err == nil && yes
	})
	archivetest.Deliver(t, dsn, "ann@example.com", "From: ann@example.net\nSubject: one more\n\nhello\n")
	waitUntil("one more", done)
	stop()
	mails, err := filepath.Glob("../testdata/demo/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != len(mails)+1 {
		t.Errorf("it worked on %d mails, there were %d:\n%s", got, len(mails)+1, &out)
	}
	if !strings.Contains(out.String(), "one more 6") {
		t.Errorf("the mail that came while it waited is not in its output:\n%s", &out)
	}
}

// The blocks go one after the other, as a reader would.
func TestQueueExamples(t *testing.T) {
	ctx := context.Background()
	conn := archivetest.Connect(t, demo(t))
	for _, example := range blocks(t, "sql", "queue.md") {
		results, err := conn.PgConn().Exec(ctx, example.text).ReadAll()
		if err != nil {
			t.Errorf("%s%v", example, err)
			continue
		}
		if strings.Contains(example.text, "claim('crm'") && len(results[0].Rows) == 0 {
			t.Errorf("no mail: %s", example)
		}
	}
}
