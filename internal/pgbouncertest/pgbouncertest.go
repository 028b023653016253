// Package pgbouncertest runs a private PgBouncer in front of a test cluster.
package pgbouncertest

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/child"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
)

const (
	program      = "/usr/sbin/pgbouncer"
	startTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
	// port only names the socket.
	port = 6432
)

// PgBouncer is a running pooler in transaction mode.
type PgBouncer struct {
	dir     string
	process *child.Process
}

// Need ends the test when PgBouncer is missing.
func Need(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		needs.Missing(t, "PgBouncer", needs.Install)
	}
}

// Start starts a pooler for all databases of c. It lets in postgres and roles
// without a password. conf adds to the section [pgbouncer]: pool_mode and
// default_pool_size for instance. The pooler is stopped after the test.
func Start(t testing.TB, c *pgtest.Cluster, conf map[string]string, roles ...string) *PgBouncer {
	t.Helper()
	Need(t)
	p := &PgBouncer{dir: scratch.ForTest(t)}
	p.configure(t, c, conf, roles)

	log, err := os.Create(p.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, p.path("pgbouncer.ini"))
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = log, log
	// PgBouncer refuses root, like the server.
	if name := c.ServerUser(); name != "" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.give(t, name)}
	}
	// SIGTERM is its immediate shutdown.
	if p.process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer log:\n%s", p.Log())
		}
		p.Stop(t)
	})
	p.waitUp(t)
	return p
}

func (p *PgBouncer) configure(t testing.TB, c *pgtest.Cluster, conf map[string]string, roles []string) {
	t.Helper()
	all := map[string]string{
		"listen_addr":       "",
		"listen_port":       strconv.Itoa(port),
		"unix_socket_dir":   p.dir,
		"auth_type":         "trust",
		"auth_file":         p.path("users"),
		"pool_mode":         "transaction",
		"default_pool_size": "5",
	}
	maps.Copy(all, conf)
	var b strings.Builder
	fmt.Fprintf(&b, "[databases]\n* = host=%s port=%d\n[pgbouncer]\n", c.SocketDir(), c.Port())
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = %s\n", name, all[name])
	}
	p.write(t, "pgbouncer.ini", b.String())
	// auth_type trust asks for no password, but for a line in this file.
	users := "\"postgres\" \"\"\n"
	for _, role := range roles {
		users += fmt.Sprintf("%q \"\"\n", role)
	}
	p.write(t, "users", users)
}

func (p *PgBouncer) waitUp(t testing.TB) {
	t.Helper()
	socket := p.path(fmt.Sprintf(".s.PGSQL.%d", port))
	for deadline := time.Now().Add(startTimeout); ; {
		// The socket is there a moment before anybody listens on it.
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return
		}
		if !p.process.Running() || time.Now().After(deadline) {
			t.Fatalf("PgBouncer does not start: %s", p.Log())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Stop ends the pooler at once, with its connections.
func (p *PgBouncer) Stop(t testing.TB) {
	t.Helper()
	if err := p.process.Stop(syscall.SIGTERM, stopTimeout); err != nil {
		t.Error(err)
	}
}

// DSN is dsn, a URL of the cluster, by way of the pooler.
func (p *PgBouncer) DSN(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", p.dir)
	q.Set("port", strconv.Itoa(port))
	u.RawQuery = q.Encode()
	return u.String()
}

// Log is all the pooler has written.
func (p *PgBouncer) Log() string {
	text, err := os.ReadFile(p.path("log"))
	return cmp.Or(string(text), fmt.Sprint(err))
}

func (p *PgBouncer) path(name string) string { return filepath.Join(p.dir, name) }

func (p *PgBouncer) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// give makes a user the owner of the folder and returns its credential.
func (p *PgBouncer) give(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
