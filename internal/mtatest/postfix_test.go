package mtatest_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"mailrow/internal/mtatest"
)

func TestPostfixLocalAndAliases(t *testing.T) {
	mailbox, alias := mtatest.Capture(t), mtatest.Capture(t)
	s := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: mailbox.Path + " box",
		Aliases:        map[string]string{"list": `"|` + alias.Path + ` 'a b'"`},
	})
	s.Send(t, "s@sender.test", []string{mtatest.LocalUser + "+ext@local.test", "list@local.test"}, message)
	results := s.WaitResults(t, 2, timeout)
	for _, r := range results {
		if r.Status != "sent" || r.DSN != "2.0.0" {
			t.Errorf("got %+v", r)
		}
	}
	if runs := mailbox.Runs(t); len(runs) != 1 || runs[0].Getenv("USER") != mtatest.LocalUser || runs[0].Getenv("EXTENSION") != "ext" {
		t.Errorf("mailbox command: %+v", runs)
	}
	if runs := alias.Runs(t); len(runs) != 1 || strings.Join(runs[0].Args, "|") != "a b" || runs[0].Getenv("ORIGINAL_RECIPIENT") != "list@local.test" {
		t.Errorf("alias: %+v", runs)
	}
	s.WaitQueue(t, 0, timeout)
}

func TestPipeArgumentsKeepTheirSpaces(t *testing.T) {
	command := mtatest.Capture(t)
	s := mtatest.StartPostfix(t, mtatest.Postfix{
		Pipe:      []string{command.Path, "two words", "${recipient}", "x=${sender}"},
		PipeFlags: "q",
		PipeUser:  "games",
	})
	s.Send(t, "", []string{`"a b"@row.test`, "c@row.test"}, []byte("Subject: x\n\n..two dots\n.\nno newline at the end"))
	s.WaitResults(t, 2, timeout)
	runs := command.Runs(t)
	if len(runs) != 1 {
		t.Fatalf("runs %+v", runs)
	}
	args := strings.Join(runs[0].Args, "|")
	if !strings.HasPrefix(args, "two words|") || !strings.Contains(args, `|"a b"@row.test|`) || !strings.HasSuffix(args, "|x=MAILER-DAEMON") {
		t.Errorf("arguments %s", args)
	}
	if got := string(runs[0].Stdin); !strings.HasSuffix(got, "\n\n..two dots\n.\nno newline at the end\n") {
		t.Errorf("stdin %q", got)
	}
}

// A delivery command has a session of its own; it must not outlive the test.
func TestHangingCommandIsKilled(t *testing.T) {
	const nap = "4711.5"
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Run("server", func(t *testing.T) {
				command := mtatest.Capture(t, "/bin/sh", "-c", "exec sleep "+nap)
				s := start(t, command.Path)
				s.Send(t, "s@sender.test", []string{"bob@row.test"}, message)
				for len(command.Runs(t)) == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			})
			if out, err := exec.Command("pgrep", "-f", "sleep "+nap).Output(); err == nil {
				t.Errorf("still there: %s", out)
			}
		})
	}
}
