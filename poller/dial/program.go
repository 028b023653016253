package dial

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// program is a server on a program's standard input and output. The pipes are
// files that know deadlines.
type program struct {
	cmd           *exec.Cmd
	stdin, stdout *os.File
	stderr        tail
	done          chan struct{} // the program has ended
}

// endTime is how long a program may take to end when its standard input does.
const endTime = 5 * time.Second

func (s *Server) start() (*Conn, error) {
	p := &program{cmd: exec.Command(s.Command[0], s.Command[1:]...), done: make(chan struct{})}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s, err)
	}
	defer theirIn.Close()
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s, err), ourOut.Close())
	}
	defer theirOut.Close()
	p.stdin, p.stdout = ourOut, ourIn
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirIn, theirOut, &p.stderr
	p.cmd.WaitDelay = endTime // a grandchild may hold standard error
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w: the command after imap+exec: must be a program on this machine", s, err), ourOut.Close(), ourIn.Close())
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // its state and its standard error say how it ended
	}()
	return newConn(s, p), nil
}

func (p *program) Read(b []byte) (int, error)         { return p.stdout.Read(b) }
func (p *program) Write(b []byte) (int, error)        { return p.stdin.Write(b) }
func (p *program) SetReadDeadline(t time.Time) error  { return p.stdout.SetReadDeadline(t) }
func (p *program) SetWriteDeadline(t time.Time) error { return p.stdin.SetWriteDeadline(t) }

// Close ends the program: politely by the end of its input, then not.
func (p *program) Close() error {
	err := errors.Join(p.stdin.Close(), p.stdout.Close())
	select {
	case <-p.done:
	case <-time.After(endTime):
		// It may just have ended.
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return err
}

// said is how it ended and the last it said on standard error.
func (p *program) said() string {
	select {
	case <-p.done:
	case <-time.After(time.Second):
		return ""
	}
	text := " with " + p.cmd.ProcessState.String()
	if words := p.stderr.String(); words != "" {
		text += " (" + Clean(words) + ")"
	}
	return text
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 300

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}
