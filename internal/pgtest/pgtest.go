// Package pgtest runs private PostgreSQL clusters for tests: a Unix socket, no
// network, a data folder that goes away. The installed programs are used, never
// the machine's own cluster.
//
// A test binary has one shared cluster, started by the first test that asks:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	dsn := pgtest.Shared(t).Template(t, "schema", migrate)
package pgtest

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"mailrow/internal/needs"
)

var shared struct {
	sync.Mutex
	inMain  bool
	cluster *Cluster
	err     error
}

// Main runs the tests and stops the shared cluster after them, also on SIGINT
// and SIGTERM. After a panic a guard stops it (package child).
func Main(m *testing.M) int {
	shared.Lock()
	shared.inMain = true
	shared.Unlock()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		sig := <-stop
		stopShared()
		os.Exit(128 + int(sig.(syscall.Signal)))
	}()

	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	return code
}

func stopShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		return nil
	}
	err := shared.cluster.destroy()
	shared.cluster = nil
	return err
}

// Need ends the test when no PostgreSQL is installed.
func Need(t testing.TB) {
	t.Helper()
	if _, err := findPrograms(); err != nil {
		needs.Missing(t, "PostgreSQL", needs.Install)
	}
}

// Shared is the cluster of this test binary. Tests may run in parallel on it,
// each in its own database; a test that stops or reconfigures takes New.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	Need(t)
	shared.Lock()
	defer shared.Unlock()
	if !shared.inMain {
		t.Fatal("pgtest.Shared needs TestMain to call pgtest.Main")
	}
	if shared.cluster == nil && shared.err == nil {
		if shared.cluster, shared.err = create(nil); shared.err == nil {
			shared.cluster.shared = true
		}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// New starts a cluster of the test's own; conf adds to postgresql.conf. With
// listen_addresses set it listens on a free TCP port as well.
func New(t testing.TB, conf map[string]string) *Cluster {
	t.Helper()
	Need(t)
	c, err := create(conf)
	if err != nil {
		t.Fatal(err)
	}
	own(t, c)
	return c
}

// Keep starts a cluster of the test's own whose data stay in a folder when it ends,
// where the next finds them. The server's user must be able to make the folder's
// files: its parent is to be open to all.
func Keep(t testing.TB, folder string, conf map[string]string) *Cluster {
	t.Helper()
	Need(t)
	c, err := keep(folder, conf)
	if err != nil {
		t.Fatal(err)
	}
	own(t, c)
	return c
}

// own ties the life of c to the test.
func own(t testing.TB, c *Cluster) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.tail(0))
		}
		if err := c.destroy(); err != nil {
			t.Error(err)
		}
	})
}
