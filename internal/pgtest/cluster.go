package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/child"
	"mailrow/internal/scratch"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// Cluster is one running PostgreSQL with its data.
type Cluster struct {
	*programs
	dir    *scratch.Dir
	kept   string // folder of data that stay; "" where they go with dir
	port   int
	server *child.Process
	shared bool // its log is shown by the tests that use it

	mu        sync.Mutex
	templates map[string]*template
}

func create(conf map[string]string) (*Cluster, error) {
	p, err := findPrograms()
	if err != nil {
		return nil, err
	}
	return build(p, conf, (*Cluster).initialize)
}

// keep starts a cluster on the data in a folder, or makes them there.
func keep(folder string, conf map[string]string) (*Cluster, error) {
	p, err := findPrograms()
	if err != nil {
		return nil, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	return build(p, conf, func(c *Cluster) error {
		c.kept = folder
		if _, err := os.Stat(filepath.Join(folder, "PG_VERSION")); err == nil {
			return nil
		}
		err := os.MkdirAll(folder, 0o755)
		if err == nil {
			err = os.Chmod(folder, 0o700)
		}
		if err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
		if err := p.give(folder); err != nil {
			return err
		}
		return c.initialize()
	})
}

func (c *Cluster) initialize() error {
	// C.UTF-8 is everywhere on Debian, but not in every libc.
	err := c.run("initdb", c.initArgs("C.UTF-8")...)
	if err != nil {
		err = c.run("initdb", c.initArgs("C")...)
	}
	return err
}

func (c *Cluster) initArgs(locale string) []string {
	return []string{"--pgdata=" + c.data(), "--username=postgres", "--auth=trust",
		"--no-sync", "--encoding=UTF8", "--locale=" + locale}
}

// build makes the folders, lets fill make the data folder and starts.
func build(p *programs, conf map[string]string, fill func(*Cluster) error) (*Cluster, error) {
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	c := &Cluster{programs: p, dir: dir, templates: map[string]*template{}}
	err = func() error {
		// Only the server makes files here; its user must be able to.
		if err := p.give(dir.Path); err != nil {
			return err
		}
		if err := fill(c); err != nil {
			return err
		}
		if err := c.configure(conf); err != nil {
			return err
		}
		return c.start()
	}()
	if err != nil {
		return nil, errors.Join(err, c.destroy())
	}
	return c, nil
}

func (c *Cluster) data() string {
	if c.kept != "" {
		return c.kept
	}
	return filepath.Join(c.dir.Path, "data")
}

// configure appends the settings; the last one of a name counts.
func (c *Cluster) configure(conf map[string]string) error {
	c.port = 5432 // names the socket only
	if a := conf["listen_addresses"]; a != "" {
		var err error
		if c.port, err = freePort(); err != nil {
			return err
		}
	}
	all := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": c.dir.Path,
		"port":                    strconv.Itoa(c.port),
		"max_connections":         "100",
		"shared_buffers":          "32MB",
		"logging_collector":       "off",
		"log_checkpoints":         "off",
		"log_line_prefix":         "%m [%p] %q%u@%d ",
	}
	maps.Copy(all, conf)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	return c.appendTo("postgresql.conf", b.String())
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (c *Cluster) appendTo(name, text string) error {
	f, err := os.OpenFile(filepath.Join(c.data(), name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// start starts the server and waits until it accepts connections. After a kill
// of the postmaster its backends may need a moment to notice.
func (c *Cluster) start() error {
	deadline := time.Now().Add(c.patience(startTimeout))
	for {
		logged := len(c.Log())
		if err := c.launch(); err != nil {
			return err
		}
		for c.server.Running() && time.Now().Before(deadline) {
			if c.ready() {
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		text := c.tail(logged)
		again := strings.Contains(text, "pre-existing shared memory block")
		if !again || time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL does not start: %s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *Cluster) launch() error {
	log, err := os.OpenFile(c.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.command("postgres", "-D", c.data())
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT is the immediate shutdown: backends and shared memory go too.
	c.server, err = child.Start(cmd, syscall.SIGQUIT)
	return err
}

// ready reads what pg_ctl reads: line 8 of postmaster.pid.
func (c *Cluster) ready() bool {
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 8 || string(lines[0]) != strconv.Itoa(c.server.Pid()) {
		return false
	}
	state := string(bytes.TrimSpace(lines[7]))
	return state == "ready" || state == "standby"
}

// patience is how long what takes so long with little data may take here: to recover,
// or to write all that is still in memory.
func (c *Cluster) patience(little time.Duration) time.Duration {
	if c.kept != "" {
		return 20 * little
	}
	return little
}

// destroy stops the server, without ceremony unless its data stay, and removes its
// folder.
func (c *Cluster) destroy() error {
	var err error
	if c.server != nil {
		sig := syscall.SIGQUIT
		if c.kept != "" {
			sig = syscall.SIGINT
		}
		err = c.server.Stop(sig, c.patience(stopTimeout))
	}
	return errors.Join(err, c.dir.Remove())
}

// Start starts a stopped cluster and waits until it accepts connections.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if c.server.Running() {
		t.Fatal("the cluster runs already")
	}
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the cluster; mode is smart, fast, immediate or kill. After kill
// (SIGKILL of the postmaster) the backends end on their own.
func (c *Cluster) Stop(t testing.TB, mode string) {
	t.Helper()
	sig, ok := map[string]syscall.Signal{
		"smart": syscall.SIGTERM, "fast": syscall.SIGINT,
		"immediate": syscall.SIGQUIT, "kill": syscall.SIGKILL,
	}[mode]
	if !ok {
		t.Fatalf("unknown mode %q", mode)
	}
	if err := c.server.Stop(sig, stopTimeout); err != nil {
		t.Fatal(err)
	}
}

// Restart stops the cluster fast and starts it again.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Stop(t, "fast")
	c.Start(t)
}

// DSN is the URL of a database for a user, over the Unix socket.
func (c *Cluster) DSN(user, database string) string {
	q := url.Values{"host": {c.SocketDir()}, "port": {strconv.Itoa(c.port)}}
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// SocketDir is the folder of the Unix socket; anybody may connect.
func (c *Cluster) SocketDir() string { return c.dir.Path }

// Port names the socket; with listen_addresses it is the TCP port too.
func (c *Cluster) Port() int { return c.port }

// Pid is the postmaster's process.
func (c *Cluster) Pid() int { return c.server.Pid() }

// Version is the major version, 15 for 15.18.
func (c *Cluster) Version() int { return c.version }

// ServerUser is the Unix user the server runs as, "" when it is the test's own.
func (c *Cluster) ServerUser() string { return c.name }

// Log is the server's whole log.
func (c *Cluster) Log() string {
	text, _ := os.ReadFile(c.logFile()) // none before the first start
	return string(text)
}

func (c *Cluster) logFile() string { return filepath.Join(c.dir.Path, "log") }

// tail is the end of the log that was written after the offset.
func (c *Cluster) tail(offset int) string {
	const most = 4000
	text := c.Log()
	text = text[min(offset, len(text)):]
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return "PostgreSQL log:\n" + text
}
