package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/scratch"
)

// typist is a person at a terminal in which a program runs.
type typist struct {
	testing.TB
	keyboard *os.File
	stdin    *os.File
	cmd      *exec.Cmd
	done     chan error

	mu    sync.Mutex
	shown strings.Builder
	seen  int // up to where it was looked at
}

// sit runs a program in a terminal of its own.
func sit(t *testing.T, cmd *exec.Cmd) *typist {
	t.Helper()
	p := &typist{TB: t, cmd: cmd, done: make(chan error, 1)}
	p.keyboard, p.stdin = terminal(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdin, p.stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go p.watch()
	return p
}

func (p *typist) watch() {
	for b := make([]byte, 4096); ; {
		n, err := p.keyboard.Read(b)
		p.mu.Lock()
		p.shown.Write(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sees waits for text on the screen, after what was seen before.
func (p *typist) sees(text string) {
	p.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		rest := p.shown.String()[p.seen:]
		at := strings.Index(rest, text)
		if at >= 0 {
			p.seen += at + len(text)
		}
		p.mu.Unlock()
		if at >= 0 {
			return
		}
		if time.Now().After(end) {
			p.Fatalf("no %q on the screen after\n%q", text, rest)
		}
	}
}

func (p *typist) types(keys string) {
	p.Helper()
	if _, err := p.keyboard.WriteString(keys); err != nil {
		p.Fatal(err)
	}
}

// ends waits for the program to end with a status.
func (p *typist) ends(status int) {
	p.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.Fatalf("it does not end; on the screen is %q", p.all())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.Errorf("status %d, want %d: %q", got, status, p.all())
	}
	if !echoes(p.TB.(*testing.T), p.stdin) {
		p.Error("the terminal stays blind")
	}
}

func (p *typist) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

const (
	tab, up          = "\t", "\x1b[A"
	ctrlC, ctrlD     = "\x03", "\x04"
	inbox, enterLine = "INBOX> ", "\r"
)

func TestShellAtATerminal(t *testing.T) {
	r := newRemote(t, "")
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 3))...)
	state := scratch.ForTest(t)
	run := func(args ...string) *typist {
		cmd := r.command(append([]string{"shell", r.uri(dovecottest.User, "")}, args...)...)
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+state, "HOME=/nonexistent")
		return sit(t, cmd)
	}
	p := run("--trace")
	p.sees("Password of imap+ssl://u1%40test.local@")
	p.types(dovecottest.Password + enterLine)
	p.sees(r.server.IMAPS + "> ")
	p.types("sel" + tab + "in" + tab + enterLine) // completion: a command, a folder
	p.sees("folder INBOX has 3 mails")
	p.sees(inbox)
	p.types("s" + tab)
	p.sees("search\r\n")
	p.sees("subscribe\r\n")
	p.types(ctrlC) // drops the line
	p.sees(inbox)
	p.types("create Gone" + enterLine)
	p.sees("made folder Gone")
	p.types("delete Gone" + enterLine) // asks
	p.sees("delete folder Gone with 0 mails? [y/N] ")
	p.types("n" + enterLine)
	p.sees("delete: nothing was done")
	p.types(up + enterLine) // the history has the command, and not the answer
	p.sees("delete Gone")
	p.sees("? [y/N] ")
	p.types(ctrlC)
	p.sees("delete: nothing was done")
	p.types(up + enterLine)
	p.sees("? [y/N] ")
	p.types("y" + enterLine)
	p.sees("deleted folder Gone")
	p.types("hunter2" + enterLine)
	p.sees("no such command")
	p.types("raw LOGIN u hunter2" + enterLine)
	p.sees("is not sent")
	// Ctrl-C ends the command and not the session, nor the connection.
	p.types("idle" + enterLine)
	p.sees("waiting; Ctrl-C ends it")
	p.sees("S: + idling")
	p.types(ctrlC)
	p.sees("C: DONE")
	p.sees(inbox)
	p.types("fetch 2" + enterLine)
	p.sees("UID")
	p.sees(inbox)
	// A dead connection is made anew.
	r.server.KickOut(t, dovecottest.User)
	p.types("noop" + enterLine)
	p.sees("noop: connection to ")
	p.sees(inbox)
	p.types("fetch 2" + enterLine)
	p.sees("(connecting again to ")
	p.sees("UID")
	p.sees(inbox)
	p.types(ctrlD)
	p.ends(0)
	secretless(t, p.all())

	text, err := os.ReadFile(filepath.Join(state, "mailrow", "shell_history"))
	if err != nil || !strings.HasPrefix(string(text), "select INBOX \ncreate Gone\ndelete Gone\nidle\nfetch 2\nnoop\n") || strings.Contains(string(text), "hunter2") {
		t.Errorf("history %q, %v", text, err)
	}
	// The next session has it. What is asked for with -c is asked at the terminal too.
	p = run("--password-file", r.password)
	p.sees("> ")
	p.types(up + up + enterLine)
	p.sees("noop")
	p.sees("the server answers")
	p.types("quit" + enterLine)
	p.ends(0)
	p = run("--password-file", r.password, "-c", "create Gone; delete Gone")
	p.sees("? [y/N] ")
	p.types("y" + enterLine)
	p.sees("deleted folder Gone")
	p.ends(0)
}

// Ctrl-C also ends a command for which the server does not answer.
func TestShellInterruptsAndEnds(t *testing.T) {
	r := newRemote(t, "")
	box := scratch.ForTest(t)
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(box, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := sit(t, r.command("shell", "maildir://"+box, "--no-history"))
	p.sees(inbox)
	p.types("idle" + enterLine)
	p.sees("waiting; Ctrl-C ends it")
	p.types(ctrlC)
	p.sees("nothing has changed")
	p.sees(inbox)
	p.types("status" + enterLine)
	p.sees("0 mails")
	p.sees(inbox)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(143)
}

// A folder may have been named by a stranger: its name does nothing to the terminal.
func TestShellPromptObeysNoFolder(t *testing.T) {
	r := newRemote(t, "")
	box := scratch.ForTest(t)
	for _, sub := range []string{"new", "cur", "tmp", ".&ABs-X/new", ".&ABs-X/cur", ".&ABs-X/tmp"} {
		if err := os.MkdirAll(filepath.Join(box, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := sit(t, r.command("shell", "maildir://"+box+"?folder=*X", "--no-history"))
	p.sees("> ")
	p.types("select \t" + ctrlC)
	p.sees("> ")
	p.types(ctrlD)
	p.ends(0)
	if strings.Contains(p.all(), "\x1bX") || !strings.Contains(p.all(), `\x1bX> `) {
		t.Errorf("on the screen was %q", p.all())
	}
}
