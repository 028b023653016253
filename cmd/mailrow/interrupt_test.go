package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/store/archive/archivetest"
)

// Each command waits for a lock when the signal comes.
func TestInterrupted(t *testing.T) {
	dsn := deliverytest.Database(t)
	id := fmt.Sprint(archivetest.Deliver(t, dsn, "ann@example.com", "Subject: x\n\nx\n"))
	conn, watch := archivetest.Connect(t, dsn), archivetest.Connect(t, dsn)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table mailrow.messages, mailrow.deliveries in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	const goOn = ": start again to go on"
	tests := []struct {
		command string
		signal  syscall.Signal
		done    string
	}{
		{"list", syscall.SIGINT, ""},
		{"show " + id, syscall.SIGTERM, ""},
		{"raw " + id, syscall.SIGHUP, ""},
		{"wait --to ann@example.com", syscall.SIGINT, ""},
		{"delete --yes " + id, syscall.SIGINT, ""},
		{"export --format mbox m", syscall.SIGHUP, ": m was not written: start again"},
		{"export --format mbox -", syscall.SIGTERM, ": the output ends after 0 mails, or amid the next"},
		{"export --format eml e", syscall.SIGINT, ": 0 mails were exported" + goOn},
		{"export --format maildir d", syscall.SIGINT, ": 0 mails were exported" + goOn},
		{"attachment save --since 1d", syscall.SIGINT, ": the files that were printed are whole"},
		{"verify", syscall.SIGTERM, ": 0 messages were checked, with 0 findings"},
		{"index", syscall.SIGINT, ": 0 mails were indexed" + goOn},
	}
	for _, test := range tests {
		if signal.Ignored(test.signal) { // by who started this, as nohup does
			test.signal = syscall.SIGTERM
		}
		status, out, stderr := interruptedBy(t, watch, dsn, test.command, test.signal)
		if want := "mailrow: interrupted" + test.done + "\n"; status != 128+int(test.signal) || stderr != want || out != "" {
			t.Errorf("%s, %v: exit status %d, %q, %q, want %q", test.command, test.signal, status, out, stderr, want)
		}
	}
}

// Work that is done in steps ends after one of them, and says how to go on.
func TestInterruptedBetweenSteps(t *testing.T) {
	dsn := deliverytest.Database(t)
	for i := range 3 {
		archivetest.Deliver(t, dsn, "ann@example.com", fmt.Sprintf("Subject: %d\n\nx\n", i))
	}
	conn, watch := archivetest.Connect(t, dsn), archivetest.Connect(t, dsn)
	if _, err := conn.Exec(t.Context(), `
		update mailrow.deliveries set received_at = now() - interval '1 year';
		update mailrow.messages set parser = 1;
		insert into mailrow.retention (older_than) values ('1 day')`); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ command, locked, out, done string }{
		{"reparse", "subject = '1'", "1 messages read again, 0 changed\n", "start again to go on"},
		{"reparse --all", "subject = '1'", "1 messages read again, 0 changed\n", "what was read again stays so; --all begins anew"},
		{"delete --yes --account ann@example.com", "subject = '0'", "", "0 mails are deleted: start again to go on"},
		{"delete --yes 1 2 3", "subject = '0'", "", "what is deleted was printed: start again with the others"},
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `select from mailrow.messages where `+test.locked+` for update`); err != nil {
			t.Fatal(err)
		}
		status, out, stderr := interruptedBy(t, watch, dsn, test.command, syscall.SIGINT)
		if want := "mailrow: interrupted: " + test.done + "\n"; status != 130 || out != test.out || stderr != want {
			t.Errorf("%s: exit status %d, %q, %q, want %q, %q", test.command, status, out, stderr, test.out, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// interruptedBy runs a command until it waits for a lock, and sends it a signal.
func interruptedBy(t *testing.T, watch *pgx.Conn, dsn, command string, signal syscall.Signal) (status int, out, stderr string) {
	t.Helper()
	cmd := exec.Command("mailrow", strings.Fields(command)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	var to, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &to, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for waiting, begun := 0, time.Now(); waiting == 0 && time.Since(begun) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if err := watch.QueryRow(t.Context(), `select count(*) from pg_locks l join pg_stat_activity a using (pid)
			where not l.granted and a.datname = current_database() and a.application_name = 'mailrow'`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var left int
	if err := watch.QueryRow(t.Context(), `select count(*) from pg_stat_activity
		where datname = current_database() and application_name = 'mailrow'`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%s: the server works on for %d: %v", command, left, err)
	}
	return cmd.ProcessState.ExitCode(), to.String(), said.String()
}

func TestInterruptedWhileItAsks(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	typed, _ := io.Pipe()
	defer typed.Close()
	p := &program{in: typed, err: io.Discard}
	stop(&interruption{signal: syscall.SIGINT})
	_, err := p.answer(ctx)
	if err = soFar(ctx, err, "nothing deleted"); exitOf(err) != 130 || err.Error() != "interrupted: nothing deleted" {
		t.Errorf("got %v, exit status %d", err, exitOf(err))
	}
}

// What failed before the signal came is told, not the signal.
func TestInterruptedAfterAFailure(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stop(&interruption{signal: syscall.SIGTERM})
	if err := interrupted(ctx, io.ErrShortWrite); err != io.ErrShortWrite || exitOf(err) != exitFailed {
		t.Errorf("got %v", err)
	}
	if err := interrupted(ctx, nil); err != nil {
		t.Errorf("got %v", err)
	}
}
