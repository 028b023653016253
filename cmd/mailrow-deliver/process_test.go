package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/scratch"
)

// Whatever is wrong with the process ends in 75, or in 0 with the mail stored.

func TestWrongArguments(t *testing.T) {
	dsn := deliverytest.Database(t)
	for _, args := range [][]string{
		{"--nonsense"}, {"--max-size=lots", "a@b"}, {"--timeout=0s", "a@b"}, {"--unknown=bounce", "a@b"}, {"-f"},
		{"--original-recipient", "a@b", "c@d", "--queue-id", "x", "--", "e@f"},
		{"--database=postgres://u:sesame@h/db", "a@b"}, {"--database=host=h password=sesame", "a@b"},
		{"-h", "dbhost", "a@b"}, {"--version", "--", "a@b"},
		{"--config=/nonexistent.toml", "a@b"}, {"--config=/", "a@b"}, {},
	} {
		d := delivery{dsn: dsn, args: args, stdin: []byte(sample)}
		d.want(t, 75, "4.3.5 mailrow: ")
		if _, said := d.run(t); strings.Contains(said, "sesame") {
			t.Errorf("%v: said %q", args, said)
		}
	}
	wantRows(t, dsn, 0)
}

func TestBrokenConfiguration(t *testing.T) {
	dsn := deliverytest.Database(t)
	path := filepath.Join(t.TempDir(), "mailrow.toml")
	for text, want := range map[string]string{
		"account = \"a\"\nmailbocks = \"b\"\n": `line 2: unknown key "mailbocks"`,
		"account = \n":                         "line 1",
		"timeout = \"never\"\n":                `key "timeout"`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		delivery{dsn: dsn, args: []string{"--config", path, "a@b"}, stdin: []byte(sample)}.want(t, 75, want)
	}
	wantRows(t, dsn, 0)
}

func TestHelpAndVersionAnswer(t *testing.T) {
	for flag, part := range map[string]string{"--help": "usage: mailrow-deliver", "-h": "Exit status", "--version": ", supervised"} {
		if exit, said := (delivery{args: []string{flag}}).run(t); exit != 0 || !strings.Contains(said, part) {
			t.Errorf("%s: exit %d, said %q", flag, exit, said)
		}
	}
}

// Status 0 would make an MTA take the mail for delivered.
func TestHelpAndVersionDoNotAnswerAnMTA(t *testing.T) {
	for _, env := range [][]string{{"MAIL_CONFIG=/etc/postfix"}, {"MESSAGE_ID=1xUwAO-0006eY-1X", "QUALIFY_DOMAIN=x.test"}} {
		for _, flag := range []string{"-h", "--help", "--version"} {
			delivery{args: []string{flag}, env: env, stdin: []byte(sample)}.want(t, 75, "4.3.5 mailrow: wrong argument")
		}
	}
	if exit, said := (delivery{args: []string{"--quiet", "--nonsense"}}).run(t); exit != 75 || said != "" {
		t.Errorf("--quiet --nonsense: exit %d, said %q", exit, said)
	}
}

// Go opens /dev/null where standard input is closed: no mail is not an empty one.
func TestClosedStandardInput(t *testing.T) {
	dsn := deliverytest.Database(t)
	cmd := exec.Command("/bin/sh", "-c", `exec "$0" bob@x.test <&-`, deliverytest.Program(t))
	cmd.Env = []string{"DATABASE_URL=" + dsn}
	if exit := exitOf(t, cmd.Run()); exit != 75 {
		t.Errorf("exit %d", exit)
	}
	wantRows(t, dsn, 0)
}

// Without a process for a supervisor there is no thread for Go's runtime
// either, which then exits with 2, a bounce.
func TestNoProcessToBeHad(t *testing.T) {
	if os.Getuid() != 0 {
		needs.Missing(t, "root, to become a user without any process,", needs.Root)
	}
	const nobodyElse = 54327
	for limit := 1; limit < 8; limit++ {
		cmd := exec.Command("/bin/bash", "-c", `ulimit -u "$1" && exec "$0" --config=/nonexistent.toml bob@x.test`,
			deliverytest.Program(t), strconv.Itoa(limit))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}}
		if exit := exitOf(t, cmd.Run()); exit != 75 {
			t.Errorf("with %d processes: exit %d", limit, exit)
		}
	}
}

// Ctrl-Z stops the supervisor too, or the shell would wait for it forever.
func TestTerminalStopsBoth(t *testing.T) {
	dsn := deliverytest.Database(t)
	cmd, said := delivery{dsn: dsn, args: []string{"bob@x.test"}}.command(t)
	cmd.Stdin = nil
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	mail, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := cmd.Process.Pid
	child := childOf(t, group)
	syscall.Kill(-group, syscall.SIGTSTP)
	for _, pid := range []int{group, child} {
		stopped := false
		for range 200 {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if stopped = bytes.Contains(stat, []byte(") T ")); stopped {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !stopped {
			t.Errorf("process %d of %d and %d was not stopped", pid, group, child)
		}
	}
	syscall.Kill(-group, syscall.SIGCONT)
	io.WriteString(mail, sample)
	mail.Close()
	if exit := exitOf(t, cmd.Wait()); exit != 0 {
		t.Errorf("exit %d, said %q", exit, said)
	}
	wantRows(t, dsn, 1)
}

// Go's runtime exits with 2, a bounce, when it gets no memory to start with.
// (With less than the program's own size the kernel ends it before its first
// instruction.)
func TestOutOfMemory(t *testing.T) {
	dsn := deliverytest.Database(t)
	stored := 0
	for _, kilobytes := range []int{50_000, 200_000, 700_000, 800_000, 1_000_000, 8_000_000} {
		mail := []byte("Limit: " + strconv.Itoa(kilobytes) + "\n" + sample)
		cmd := exec.Command("/bin/sh", "-c", `ulimit -v "$1" && exec "$2" bob@x.test`, "sh",
			strconv.Itoa(kilobytes), deliverytest.Program(t))
		cmd.Env = []string{"DATABASE_URL=" + dsn}
		cmd.Stdin = bytes.NewReader(mail)
		switch exit := exitOf(t, cmd.Run()); {
		case exit == 0:
			stored++
		case exit != 75:
			t.Errorf("with %d kB: exit %d", kilobytes, exit)
		}
		wantRows(t, dsn, stored)
	}
	if stored == 0 || stored == 6 {
		t.Errorf("stored %d of 6: the limits test nothing", stored)
	}
}

func TestPanicBecomes75(t *testing.T) {
	outcome := within(time.Now().Add(time.Minute), nil)
	if outcome.Exit() != 75 || outcome.Cause != deliver.CausePanic {
		t.Errorf("got %+v", outcome)
	}
}

// A panic in a goroutine of a library, a fatal error of the runtime, the
// kernel's OOM killer: no Go code can catch them. The supervisor does.
func TestDeathOfTheProgramBecomes75(t *testing.T) {
	dsn := deliverytest.Database(t)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGPIPE} {
		cmd, said := delivery{dsn: dsn, args: []string{"bob@x.test"}}.command(t)
		cmd.Stdin = nil
		mail, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		child := childOf(t, cmd.Process.Pid)
		syscall.Kill(child, signal)
		if signal == syscall.SIGPIPE { // ignored
			io.WriteString(mail, sample)
			mail.Close()
			if exit := exitOf(t, cmd.Wait()); exit != 0 {
				t.Errorf("%v: exit %d, said %q", signal, exit, said)
			}
			continue
		}
		if exit := exitOf(t, cmd.Wait()); exit != 75 {
			t.Errorf("%v: exit %d, said %q", signal, exit, said)
		}
		mail.Close()
	}
	wantRows(t, dsn, 1)
}

// childOf waits for the program under its supervisor to be at work.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	for range 500 {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if child, err := strconv.Atoi(strings.TrimSpace(string(list))); err == nil {
			time.Sleep(50 * time.Millisecond) // past the start of Go's runtime
			return child
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the supervisor has no child")
	return 0
}

func TestProgramDiesWithItsSupervisor(t *testing.T) {
	dsn := deliverytest.Database(t)
	release := holdDeliveries(t, dsn)
	cmd, _ := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: []byte(sample)}.command(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitHeld(t, dsn, 1)
	child := childOf(t, cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	for range 200 {
		if syscall.Kill(child, 0) != nil {
			release()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the program outlives its supervisor")
}

func TestDeadline(t *testing.T) {
	dsn := deliverytest.Database(t)
	release := holdDeliveries(t, dsn)
	start := time.Now()
	d := delivery{dsn: dsn, args: []string{"--timeout=500ms", "bob@x.test"}, stdin: []byte(sample)}
	d.want(t, 75, "4.3.0 mailrow: deadline passed")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	// Rolled back, not left to commit when the lock goes.
	release()
	time.Sleep(100 * time.Millisecond)
	wantRows(t, dsn, 0)

	cmd, said := d.command(t)
	cmd.Stdin = nil
	mail, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer mail.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(mail, "From: the mail that never\n")
	if exit := exitOf(t, cmd.Wait()); exit != 75 || !strings.Contains(said.String(), "deadline") {
		t.Errorf("exit %d, said %q", exit, said)
	}
	wantRows(t, dsn, 0)
}

func TestSignals(t *testing.T) {
	dsn := deliverytest.Database(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		release := holdDeliveries(t, dsn)
		cmd, said := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: []byte(sample)}.command(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitHeld(t, dsn, 1)
		cmd.Process.Signal(signal)
		if exit := exitOf(t, cmd.Wait()); exit != 75 || !strings.Contains(said.String(), "interrupted") {
			t.Errorf("%v: exit %d, said %q", signal, exit, said)
		}
		release()
	}
	wantRows(t, dsn, 0)
}

func TestNobodyListens(t *testing.T) {
	dsn := deliverytest.Database(t)
	program := deliverytest.Program(t)
	for i, script := range []string{`"$0" bob@x.test >&- 2>&-`, `"$0" bob@x.test 2>&1 | true; exit "$(cat status)"`} {
		dir := scratch.ForTest(t)
		script = strings.Replace(script, `2>&1 |`, `2>&1; echo $? >status; }|`, 1)
		if strings.Contains(script, "}|") {
			script = "{ " + script
		}
		for _, bad := range []string{"", " --nonsense"} {
			cmd := exec.Command("/bin/sh", "-c", strings.Replace(script, " bob", bad+" bob", 1), program)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=/usr/bin:/bin", "DATABASE_URL=" + dsn}
			cmd.Stdin = strings.NewReader("N: " + strconv.Itoa(i) + "\n" + sample)
			want := 0
			if bad != "" {
				want = 75
			}
			if exit := exitOf(t, cmd.Run()); exit != want {
				t.Errorf("%s: exit %d, want %d", script, exit, want)
			}
		}
	}
	wantRows(t, dsn, 2)
}

// SIGKILL at any moment, under a caller that tries again: one row each.
func TestKilledAtRandomMoments(t *testing.T) {
	kills := 1000
	if testing.Short() {
		kills = 50
	}
	dsn := deliverytest.Database(t)
	var next, killed int
	var mu sync.Mutex
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next
	}
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := take(); i <= kills; i = take() {
				d := delivery{dsn: dsn, args: []string{"bob@x.test"}, stdin: []byte("N: " + strconv.Itoa(i) + "\n" + sample)}
				cmd, _ := d.command(t)
				if err := cmd.Start(); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(rand.Int64N(int64(25 * time.Millisecond))))
				cmd.Process.Kill()
				if cmd.Wait() == nil {
					continue // it was faster
				}
				mu.Lock()
				killed++
				mu.Unlock()
				d.want(t, 0, "")
			}
		})
	}
	workers.Wait()
	conn := connect(t, dsn)
	rows := one[int](t, conn, `select count(*) from mailrow.deliveries`)
	messages := one[int](t, conn, `select count(*) from mailrow.messages`)
	again := one[int](t, conn, `select sum(redelivered) from mailrow.deliveries`)
	if rows != kills || messages != kills {
		t.Errorf("%d deliveries of %d messages, want %d of each", rows, messages, kills)
	}
	t.Logf("%d of %d killed, %d of these after their commit", killed, kills, again)
	if killed < kills/4 {
		t.Errorf("only %d of %d were killed: the moments test little", killed, kills)
	}
}
