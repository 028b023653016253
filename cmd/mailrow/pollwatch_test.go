package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/metrics/metricstest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/poller/pollertest"
	"mailrow/store/archive/archivetest"
)

// serviceManager keeps what a program tells it, as systemd would.
type serviceManager struct {
	mu   sync.Mutex
	told []string
}

// supervise lets the program tell a service manager, whose watchdog waits so long; 0
// for none.
func (p *polls) supervise(watchdog time.Duration) *serviceManager {
	p.Helper()
	path := filepath.Join(scratch.ForTest(p), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	p.env = append(p.env, "NOTIFY_SOCKET="+path, "WATCHDOG_PID=", fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	m := &serviceManager{}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buffer[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// count is how often something that begins so was told.
func (m *serviceManager) count(prefix string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, said := range m.told {
		if strings.HasPrefix(said, prefix) {
			n++
		}
	}
	return n
}

// all is what was told, but for status and watchdog.
func (m *serviceManager) all() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, said := range m.told {
		if first, _, _ := strings.Cut(said, "\n"); !strings.HasPrefix(first, "STATUS=") && !strings.HasPrefix(first, "WATCHDOG=") {
			list = append(list, first)
		}
	}
	return strings.Join(list, " ")
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	const patience = 3 * time.Minute // this machine may be busy
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// watchShown is watch with figures at a socket.
func (p polls) watchShown(args ...string) (w *watching, at string) {
	p.Helper()
	at = "unix:" + filepath.Join(scratch.ForTest(p), "metrics")
	w = p.watch(append(args, "--metrics", at+",mode=0600")...)
	eventually(p, "the socket is there", func() bool {
		status, _ := metricstest.Get(p, at, "/healthz")
		return status != 0
	})
	return w, at
}

func TestWatchTellsTheServiceManager(t *testing.T) {
	t.Parallel()
	p, box := newPolls(t, deliverytest.Database(t)), pollertest.Maildir(t)
	config := filepath.Join(scratch.ForTest(t), "mailrow.toml")
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("max_size = 100\n")
	box.Add(t, []byte("Subject: large\n\n"+strings.Repeat("x\n", 100)))
	p.run("source", "add", box.URI(), "--name", "box", "--account", "ann", "--every", "1s")
	m := p.supervise(0)
	w := p.watch("--config", config)
	eventually(t, "READY", func() bool { return m.all() == "READY=1" })
	p.wait(`select kind from mailrow.alarms where until is null`, "quarantined")
	eventually(t, "STATUS", func() bool { return m.count("STATUS=sources: 1, of which 0 fail; ") > 0 })

	// The next run has the limit that the file says now.
	configure("max_size = 1000\n")
	_ = w.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "READY after SIGHUP", func() bool { return m.all() == "READY=1 RELOADING=1 READY=1" })
	p.run("source", "retry", "box")
	p.wait(`select count(*) from mailrow.mail`, "1")
	p.wait(`select until is not null from mailrow.alarms`, "t")

	// A file that cannot be read is no reason to end.
	configure("max_sise = 1\n")
	_ = w.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "READY after a bad file", func() bool { return m.count("READY=1") == 3 })
	box.Add(t, numbered(1, 1)...)
	p.wait(`select count(*) from mailrow.mail`, "2")
	if said := w.end(); !strings.Contains(said, `unknown key "max_sise": going on with the configuration of before`) {
		t.Errorf("said %s", said)
	}
	if got, want := m.all(), "READY=1 RELOADING=1 READY=1 RELOADING=1 READY=1 STOPPING=1"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	if m.count("WATCHDOG=1") != 0 {
		t.Error("WATCHDOG=1, for which nobody asked")
	}
}

// A source that hangs, and a database that is away, are no reason to be killed.
func TestWatchdogWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, nil)
	p, box := newPolls(t, deliverytest.DatabaseOn(t, cluster)), pollertest.Maildir(t)
	p.run("source", "add", box.URI(), "--name", "box", "--account", "ann", "--every", "1s")
	p.run("source", "add", silent(t), "--name", "silent", "--account", "ann", "--every", "1s")
	m := p.supervise(10 * time.Second)
	w, at := p.watchShown()
	eventually(t, "READY", func() bool { return m.count("READY=1") == 1 })
	healthy := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprint("/healthz is ", want), func() bool {
			status, _ := metricstest.Get(t, at, "/healthz")
			return status == want
		})
	}
	healthy(200)
	cluster.Stop(t, "fast")
	before := m.count("WATCHDOG=1")
	healthy(503)
	if _, text := metricstest.Get(t, at, "/healthz"); !strings.HasPrefix(text, "the database has not answered for ") {
		t.Errorf("said %q", text)
	}
	if got := metricstest.Read(t, at)["mailrow_poll_database_up"]; got != 0 {
		t.Errorf("the database is up: %v", got)
	}
	// It takes a quarter of a minute to be unwell.
	if after := m.count("WATCHDOG=1"); after < before+2 {
		t.Errorf("the watchdog heard %d times of the program, then %d", before, after)
	}
	cluster.Start(t)
	healthy(200)
	box.Add(t, numbered(1, 1)...)
	p.wait(`select count(*) from mailrow.mail`, "1")
	w.end()
}

// A table that is locked, as by a long migration, does not keep the loop from coming
// round.
func TestWatchdogWhileATableIsLocked(t *testing.T) {
	t.Parallel()
	p := newPolls(t, deliverytest.Database(t))
	m := p.supervise(24 * time.Second)
	w, at := p.watchShown()
	eventually(t, "READY", func() bool { return m.count("READY=1") == 1 })
	ctx := context.Background()
	conn := archivetest.Connect(t, p.dsn)
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`lock table mailrow.migrations, mailrow.sources`,
		`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mailrow' and datname = current_database() and pid <> pg_backend_pid()`,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "unwell", func() bool {
		status, _ := metricstest.Get(t, at, "/healthz")
		return status == 503
	})
	before := m.count("WATCHDOG=1")
	eventually(t, "the watchdog hears of a program that waits for the database", func() bool { return m.count("WATCHDOG=1") > before })
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "well", func() bool {
		status, _ := metricstest.Get(t, at, "/healthz")
		return status == 200
	})
	w.end()
}

// A loop that does not come round is to be started again: this one cannot write.
func TestWatchdogStopsWithTheLoop(t *testing.T) {
	t.Parallel()
	p, box := newPolls(t, deliverytest.Database(t)), pollertest.Maildir(t)
	p.run("source", "add", box.URI(), "--name", strings.Repeat("box", 300), "--account", "ann", "--every", "1s")
	m := p.supervise(6 * time.Second)
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	cmd := p.command("poll", "--watch")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	eventually(t, "the watchdog hears of it", func() bool { return m.count("WATCHDOG=1") > 1 })
	for n := range 8 { // each is a line, of which the pipe holds four
		box.Add(t, numbered(n, 1)...)
		time.Sleep(time.Second)
	}
	time.Sleep(4 * time.Second)
	before := m.count("WATCHDOG=1")
	time.Sleep(7 * time.Second)
	if after := m.count("WATCHDOG=1"); after != before {
		t.Errorf("the watchdog heard %d times of a loop that is stuck", after-before)
	}
}

// silent is a server that takes a connection and says nothing.
func silent(t *testing.T) (uri string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return "imap://ann@" + l.Addr().String()
}

// at is a sample of a source.
func sampleOf(figure, id, name, kind string) string {
	return fmt.Sprintf(`mailrow_poll_source_%s{source_id="%s",source="%s",kind="%s"}`, figure, id, name, kind)
}

func TestFiguresOfSources(t *testing.T) {
	t.Parallel()
	r := newRemote(t, deliverytest.Database(t), "ann")
	box, other := pollertest.Maildir(t), pollertest.Maildir(t)
	box.Add(t, numbered(0, 3)...)
	other.Add(t, numbered(2, 2)...)
	r.run("source", "add", silent(t), "--name", "silent", "--account", "x", "--every", "1s")
	r.run("source", "add", box.URI()+"?after=delete", "--name", "box", "--account", "ann", "--every", "1s")
	r.run("source", "add", other.URI(), "--account", "ann", "--every", "1s")
	r.run("source", "add", r.uri("ann", ""), "--name", "mail", "--account", "mail", "--password-file", r.password, "--every", "1h")
	r.server.Append(t, "ann", "INBOX", wire(numbered(0, 2))...)
	w, at := r.watchShown("--at-once", "2")
	r.wait(`select count(*), count(distinct account) from mailrow.mail`, "6|2")
	eventually(t, "all figures", func() bool {
		got := metricstest.Read(t, at)
		taken := func(id, name string) float64 { // both have one mail, which is stored once
			return got[sampleOf("stored_total", id, name, "maildir")] + got[sampleOf("duplicates_total", id, name, "maildir")]
		}
		return taken("2", "box") == 3 && taken("3", "3") == 2 && got[sampleOf("stored_total", "4", "mail", "imap")] == 2 &&
			got[sampleOf("waiting", "4", "mail", "imap")] == 1
	})
	// The one that hangs is late, and holds up no other.
	r.wait(`select count(*) > 5 from mailrow.source_runs where source_id = 2`, "t")
	got := metricstest.Read(t, at)
	for sample, want := range map[string]float64{
		sampleOf("running", "1", "silent", "imap"):        1,
		sampleOf("runs_total", "1", "silent", "imap"):     0,
		sampleOf("done_total", "2", "box", "maildir"):     3,
		sampleOf("lag_seconds", "4", "mail", "imap"):      0,
		sampleOf("interval_seconds", "4", "mail", "imap"): 3600,
		sampleOf("reconnects_total", "4", "mail", "imap"): 0,
		sampleOf("quarantined", "2", "box", "maildir"):    0,
		"mailrow_poll_sources":                            4,
		"mailrow_poll_database_up":                        1,
		"mailrow_poll_memory_bytes":                       0,
		"mailrow_poll_memory_limit_bytes":                 64 << 20,
	} {
		if got[sample] != want {
			t.Errorf("%s is %v, want %v", sample, got[sample], want)
		}
	}
	if late := got[sampleOf("lag_seconds", "1", "silent", "imap")]; late < 2 {
		t.Errorf("the silent one is late by %v s", late)
	}
	for sample := range got {
		if strings.Contains(sample, "@") || strings.Contains(sample, "127.0.0.1") {
			t.Errorf("%s tells an address", sample)
		}
	}
	// The server ends the connection that waits.
	r.server.Kick(t, "ann")
	metricstest.Wait(t, at, sampleOf("reconnects_total", "4", "mail", "imap"), func(n float64) bool { return n == 1 })
	metricstest.Wait(t, at, sampleOf("waiting", "4", "mail", "imap"), func(n float64) bool { return n == 1 })
	r.run("source", "pause", "box")
	metricstest.Wait(t, at, "mailrow_poll_sources", func(n float64) bool { return n == 3 })
	if _, there := metricstest.Read(t, at)[sampleOf("stored_total", "2", "box", "maildir")]; there {
		t.Error("a paused source has figures")
	}
	w.end()
}

// The alarm of a password that was changed ends when it is changed back.
func TestAlarmOfAuthentication(t *testing.T) {
	t.Parallel()
	r := newRemote(t, deliverytest.Database(t))
	r.add("box", "", "--every", "1s")
	w, at := r.watchShown()
	r.wait(`select count(*) > 0 from mailrow.source_runs where error is null and finished_at is not null`, "t")
	r.server.SetPassword(t, "another")
	const lasting = `select kind from mailrow.alarms where until is null`
	r.wait(lasting, "authentication")
	sample := strings.TrimSuffix(sampleOf("alarm", "1", "box", "imap"), "}") + `,alarm="authentication"}`
	metricstest.Wait(t, at, sample, func(n float64) bool { return n == 1 })
	if out := r.run("source", "alarms"); !strings.Contains(out, "box") || !strings.Contains(out, "check user and password") {
		t.Errorf("listed: %s", out)
	}
	if out := r.run("source", "list"); !strings.Contains(out, "\tauthentication\t") && !strings.Contains(out, " authentication ") {
		t.Errorf("listed: %s", out)
	}
	r.server.SetPassword(t, dovecottest.Password)
	deliverytest.Rows(t, r.dsn, `update mailrow.sources set next_run_at = now() returning 1`)
	r.wait(lasting, "")
	metricstest.Wait(t, at, sample, func(n float64) bool { return n == 0 })
	if out := r.run("source", "alarms", "box", "--all"); !strings.Contains(out, "authentication") {
		t.Errorf("listed: %s", out)
	}
	w.end()
}
