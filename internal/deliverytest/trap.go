package deliverytest

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/scratch"
)

// Trap is a database that takes connections and never says a word: whoever
// delivers to it can be found and killed at leisure.
type Trap struct {
	DSN    string
	caught chan int
}

// NewTrap opens a trap that stays open until the test ends.
func NewTrap(t testing.TB) *Trap {
	t.Helper()
	dir := scratch.ForTest(t)
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(l.Addr().String(), 0o777); err != nil {
		t.Fatal(err)
	}
	trap := &Trap{DSN: "postgres://deliverer@/trap?host=" + dir, caught: make(chan int, 100)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			if pid, err := peer(c.(*net.UnixConn)); err == nil {
				trap.caught <- pid
			}
		}
	}()
	return trap
}

// Caught waits for the next process that walks in. Under the supervisor it is
// the child.
func (trap *Trap) Caught(t testing.TB) (pid int) {
	t.Helper()
	select {
	case pid = <-trap.caught:
		return pid
	case <-time.After(10 * time.Second):
		t.Fatal("nobody connects to the trap")
		return 0
	}
}

func peer(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return int(cred.Pid), nil
}
