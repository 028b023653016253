// Package child starts servers that do not outlive the test binary, however it
// ends: a server left behind by a killed test would hold its folder, its port
// and the memory of the machine.
//
// Every server has a guard, a shell that waits for the end of a pipe which only
// the test binary holds open. PR_SET_PDEATHSIG would be shorter, but Linux
// forgets it when a process changes its user, as Postfix's master does, and
// sends it when the forking thread ends, which the Go runtime decides.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Process is a started server in a process group of its own.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs cmd. It gets the signal onDeath when the test binary dies; five
// seconds later what is left of its group is killed.
// Stdout and Stderr must be files (or nil): with anything else Wait would last
// as long as the server's own children.
func Start(cmd *exec.Cmd, onDeath syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	dismiss, err := guard(cmd.Process.Pid, onDeath)
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how a server ends is for its log
		// Before its number is used again.
		dismiss()
		close(p.done)
	}()
	return p, nil
}

const guardScript = `
read -r never
kill -"$2" "$1" 2>/dev/null || exit 0
left=50
while [ $left -gt 0 ]; do
	left=$((left - 1))
	sleep 0.1
	kill -0 "$1" 2>/dev/null || exit 0
done
kill -KILL -- "-$1"
`

// guard watches over the process pid until it is dismissed. In a session of its
// own it does not hear the terminal's ^C.
func guard(pid int, onDeath syscall.Signal) (dismiss func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", guardScript, "guard", strconv.Itoa(pid), strconv.Itoa(int(onDeath)))
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		w.Close()
	}, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Pid is the number of the process and of its group.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends sig to the process, not to its group.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.cmd.Process.Signal(sig)
}

// Stop sends sig and waits. What is left of the group after the timeout is
// killed, and that is an error. A process that has ended already is none.
func (p *Process) Stop(sig syscall.Signal, timeout time.Duration) error {
	if !p.Running() {
		return nil
	}
	if err := p.Signal(sig); err != nil && p.Running() {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(timeout):
	}
	// The group may have become empty in between.
	if err := syscall.Kill(-p.Pid(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.cmd.Path, err)
	}
	<-p.done
	return fmt.Errorf("%s did not stop within %v and was killed", p.cmd.Path, timeout)
}
