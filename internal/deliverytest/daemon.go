package deliverytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/child"
	"mailrow/internal/scratch"
)

// Daemon is a mailrow lmtp that is started again whenever it ends, as a service
// manager does.
type Daemon struct {
	Socket string
	log    *os.File
	mu     sync.Mutex
	now    *child.Process
	stop   chan struct{}
	done   chan struct{}
}

// StartDaemon starts a mailrow lmtp that runs until the test ends.
func StartDaemon(t testing.TB, config string, flags ...string) *Daemon {
	t.Helper()
	dir := scratch.ForTest(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Socket: filepath.Join(dir, "s"), log: log, stop: make(chan struct{}), done: make(chan struct{})}
	program := Mailrow(t)
	args := append([]string{"--config", config, "lmtp", "--listen", "unix:" + d.Socket + ",mode=0666"}, flags...)
	go func() {
		defer close(d.done)
		for d.run(exec.Command(program, args...)) {
		}
	}()
	t.Cleanup(func() {
		close(d.stop)
		d.Signal(syscall.SIGTERM)
		<-d.done
		log.Close()
	})
	for range 100 {
		if conn, err := net.Dial("unix", d.Socket); err == nil {
			conn.Close()
			return d
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("mailrow lmtp does not listen: %s", text)
	return nil
}

// run runs one process to its end, and says whether there is to be another.
func (d *Daemon) run(cmd *exec.Cmd) bool {
	cmd.Stdout, cmd.Stderr = d.log, d.log
	process, err := child.Start(cmd, syscall.SIGTERM)
	if err != nil {
		fmt.Fprintln(d.log, err)
		return false
	}
	d.mu.Lock()
	d.now = process
	d.mu.Unlock()
	select {
	case <-d.stop:
		process.Stop(syscall.SIGTERM, time.Minute)
		return false
	case <-process.Done():
	}
	select {
	case <-d.stop:
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}

// Pid is the process that runs now.
func (d *Daemon) Pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.Pid()
}

// Signal sends a signal to the process that runs now.
func (d *Daemon) Signal(s syscall.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now != nil {
		d.now.Signal(s)
	}
}
