package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/poller/pollertest"
	"mailrow/store/archive/archivetest"
)

// built is the real program, built once and kept in memory.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	defer dir.Remove()
	path := filepath.Join(dir.Path, "mailrow")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(path)
})

// polls is a database, and the real program to poll with.
type polls struct {
	*testing.T
	program, dsn string
	env          []string // besides that of the test
}

func newPolls(t *testing.T, dsn string) polls {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(scratch.ForTest(t), "mailrow")
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing
	err = os.WriteFile(path, program, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return polls{T: t, program: path, dsn: dsn}
}

func (p polls) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.program, args...)
	cmd.Env = append(append(os.Environ(), "DATABASE_URL="+p.dsn), p.env...)
	return cmd
}

func (p polls) run(args ...string) string {
	p.Helper()
	out, err := p.command(args...).CombinedOutput()
	if err != nil {
		p.Fatalf("mailrow %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (p polls) rows(query, want string) {
	p.Helper()
	if got := strings.Join(deliverytest.Rows(p, p.dsn, query), "\n"); got != want {
		p.Errorf("%s: got %q, want %q", query, got, want)
	}
}

// wait waits until a query gives what is wanted.
func (p polls) wait(query, want string) {
	p.Helper()
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = strings.Join(deliverytest.Rows(p, p.dsn, query), "\n"); got == want {
			return
		}
	}
	p.Fatalf("%s: got %q, want %q", query, got, want)
}

func numbered(first, n int) (mails [][]byte) {
	for i := first; i < first+n; i++ {
		mails = append(mails, fmt.Appendf(nil, "Subject: %d\n\nmail %d\n%s", i, i, strings.Repeat("x\n", i%3000)))
	}
	return mails
}

// However often it is killed, each mail is stored once, and removed only then.
func TestKilledPollerLosesNothing(t *testing.T) {
	for name, box := range map[string]func(testing.TB) pollertest.Box{"maildir": pollertest.Maildir, "mbox": pollertest.Mbox} {
		t.Run(name, func(t *testing.T) {
			p, box := newPolls(t, deliverytest.Database(t)), box(t)
			p.run("source", "add", box.URI()+"?after=delete", "--name", "box", "--account", "ann")
			kills := needs.Times(10, 30)
			mails := 0
			longest := 300 * time.Millisecond
			for killed := 0; killed < kills; {
				box.Add(t, numbered(mails, 25)...)
				mails += 25
				if killDuring(t, p.command("poll", "box"), longest) {
					killed++
				} else {
					longest /= 2 // it was done before
				}
				longest = longest*11/10 + time.Millisecond
			}
			p.run("poll", "box")
			p.rows(`select count(*), count(distinct subject) from mailrow.mail`, fmt.Sprintf("%d|%d", mails, mails))
			if left := box.Mails(t); len(left) != 0 {
				t.Errorf("%d mails are left: %.300q", len(left), left)
			}
			p.rows(`select count(*) from mailrow.source_messages where state <> 'done' and gone_at is null`, "0")
			p.rows(`select count(*) > 0 from mailrow.source_runs where error = 'the poller died'`, "t")
			for i, mail := range numbered(0, mails) {
				if i%100 == 0 {
					p.rows(fmt.Sprintf(`select mailrow.raw(id) = '\x%x' from mailrow.mail where subject = '%d'`, mail, i), "t")
				}
			}
		})
	}
}

// killDuring kills a command within a time; false when it ended before.
func killDuring(t *testing.T, cmd *exec.Cmd, within time.Duration) bool {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10*time.Millisecond + rand.N(within))
	_ = cmd.Process.Kill()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return true
	}
	if err != nil {
		t.Errorf("%v: %s", err, &out)
	}
	return false
}

// One of two pollers waits for the other, or leaves the source to it.
func TestTwoPollersAtOnce(t *testing.T) {
	p, box := newPolls(t, deliverytest.Database(t)), pollertest.Maildir(t)
	box.Add(t, numbered(0, 300)...)
	p.run("source", "add", box.URI()+"?after=delete", "--name", "box", "--account", "ann")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			out, err := p.command("poll", "box").CombinedOutput()
			if err != nil && !strings.Contains(string(out), "another poller is at this source") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	p.run("poll", "box")
	p.rows(`select count(*), sum(redelivered) from mailrow.deliveries`, "300|0")
	p.rows(`select sum(stored), sum(done) from mailrow.source_runs`, "300|300")
	if left := box.Mails(t); len(left) != 0 {
		t.Errorf("%d mails are left", len(left))
	}
}

// watching is mailrow poll --watch, going on.
type watching struct {
	polls
	cmd *exec.Cmd
	out bytes.Buffer
}

func (p polls) watch(args ...string) *watching {
	p.Helper()
	w := &watching{polls: p, cmd: p.command(append([]string{"poll", "--watch"}, args...)...)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// end ends it with SIGTERM and wants status 0.
func (w *watching) end() string {
	w.Helper()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- w.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			w.Errorf("after SIGTERM: %v: %s", err, &w.out)
		}
	case <-time.After(20 * time.Second):
		w.Fatal("does not end at SIGTERM")
	}
	return w.out.String()
}

func TestWatchFollowsMailAndTable(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	p, one, other := newPolls(t, dsn), pollertest.Maildir(t), pollertest.Mbox(t)
	one.Add(t, numbered(0, 3)...)
	p.run("source", "add", one.URI(), "--name", "one", "--account", "one", "--every", "1h")
	w := p.watch()
	count := func(account string) string {
		return `select count(*) from mailrow.mail where account = '` + account + `'`
	}
	p.wait(count("one"), "3")

	// Mail wakes it, long before the hour is over.
	one.Add(t, numbered(3, 1)...)
	p.wait(count("one"), "4")

	// The table, changed with SQL.
	conn := archivetest.Connect(t, dsn)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	other.Add(t, numbered(10, 2)...)
	exec(`insert into mailrow.sources (uri, account, every) values ($1, 'other', '1 hour')`, other.URI()+"?after=delete")
	p.wait(count("other"), "2")
	exec(`update mailrow.sources set state = 'paused' where name = 'one'`)
	time.Sleep(3 * time.Second)
	one.Add(t, numbered(4, 1)...)
	time.Sleep(time.Second)
	p.rows(count("one"), "4")
	exec(`update mailrow.sources set state = 'active', next_run_at = now() where name = 'one'`)
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.wait(count("one"), "5")
	// Also over a new connection.
	exec(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mailrow' and datname = current_database()`)
	one.Add(t, numbered(5, 1)...)
	p.wait(count("one"), "6")
	exec(`delete from mailrow.sources where name = 'one'`)

	// One that fails says so, and does not keep the others from going on.
	exec(`insert into mailrow.sources (name, uri, account, every) values ('gone', 'maildir:///nowhere', 'x', '1 second')`)
	p.wait(`select failures > 0 from mailrow.sources where name = 'gone'`, "t")
	other.Add(t, numbered(12, 1)...)
	p.wait(count("other"), "3")
	if said := w.end(); !strings.Contains(said, "mailrow: gone: open maildir:///nowhere: ") || !strings.Contains(said, "one: seen 3, stored 3") {
		t.Errorf("said %s", said)
	}
	p.rows(`select count(*) from mailrow.source_runs where finished_at is null`, "0")
}

func TestWatchOutlivesARestartOfTheDatabase(t *testing.T) {
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	p, box := newPolls(t, dsn), pollertest.Maildir(t)
	box.Add(t, numbered(0, 400)...)
	p.run("source", "add", box.URI()+"?after=delete", "--name", "box", "--account", "ann", "--every", "1s")
	w := p.watch()
	p.wait(`select count(*) > 20 from mailrow.deliveries`, "t")
	for i, mode := range []string{"fast", "immediate", "kill"} {
		cluster.Stop(t, mode)
		box.Add(t, numbered(400+i*100, 100)...)
		time.Sleep(time.Second)
		cluster.Start(t)
		p.wait(fmt.Sprintf(`select count(*) > %d from mailrow.deliveries`, 20+400/4*(i+1)), "t")
	}
	p.wait(`select count(*) from mailrow.source_messages where state = 'done'`, "700")
	w.end()
	p.rows(`select count(*), count(distinct message) from mailrow.deliveries`, "700|700")
	if left := box.Mails(t); len(left) != 0 {
		t.Errorf("%d mails are left", len(left))
	}
}

// A poller that is told to end while it waits for the lock of another program has
// nothing to warn of.
func TestInterruptedWhileLocked(t *testing.T) {
	p, box := newPolls(t, deliverytest.Database(t)), pollertest.Mbox(t)
	box.Add(t, numbered(0, 1)...)
	_, path, _ := strings.Cut(box.URI(), "://")
	if err := os.WriteFile(path+".lock", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.run("source", "add", box.URI(), "--name", "box", "--account", "ann", "--every", "1s")
	const running = `select count(*) from mailrow.source_runs where finished_at is null`
	cmd := p.command("poll", "box")
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait(running, "1")
	time.Sleep(200 * time.Millisecond)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	const said = "mailrow: interrupted: what was fetched is stored, and the next run goes on\n"
	if code := cmd.ProcessState.ExitCode(); code != 143 || out.String() != said {
		t.Errorf("status %d, said %s", code, &out)
	}
	p.rows(`select count(*), max(error) from mailrow.source_runs where finished_at is not null`, "1|stopped before its end")
	w := p.watch()
	p.wait(running, "1")
	if text := w.end(); text != "" {
		t.Errorf("said %s", text)
	}
}

func TestInterruptedPollGoesOn(t *testing.T) {
	p, box := newPolls(t, deliverytest.Database(t)), pollertest.MH(t)
	box.Add(t, numbered(0, 1000)...)
	p.run("source", "add", box.URI()+"?after=delete", "--name", "box", "--account", "ann")
	cmd := p.command("poll", "box")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait(`select count(*) > 0 from mailrow.deliveries`, "t")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 143 ||
		!strings.Contains(out.String(), "interrupted: what was fetched is stored, and the next run goes on") {
		t.Errorf("%v: %s", err, &out)
	}
	p.rows(`select count(*), max(error) from mailrow.source_runs where finished_at is not null`, "1|stopped before its end")
	p.run("poll", "box")
	p.rows(`select count(*), sum(redelivered) from mailrow.deliveries`, "1000|0")
	if left := box.Mails(t); len(left) != 0 {
		t.Errorf("%d mails are left", len(left))
	}
}
