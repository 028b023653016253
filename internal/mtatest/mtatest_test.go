package mtatest_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/mtatest"
)

const timeout = 10 * time.Second

var message = []byte("From: s@sender.test\nMessage-Id: <1@sender.test>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\n.dot\nbody é\n")

// mta is what both servers can do.
type mta interface {
	Send(t testing.TB, from string, to []string, msg []byte)
	SendLocal(t testing.TB, from string, to []string, msg []byte)
	Flush(t testing.TB)
	Queue(t testing.TB) int
	WaitQueue(t testing.TB, n int, timeout time.Duration)
	WaitResults(t testing.TB, n int, timeout time.Duration) []mtatest.Result
	WaitBounces(t testing.TB, n int, timeout time.Duration)
	Bounces() int
}

// servers starts each mail server with the command for row.test.
var servers = map[string]func(t testing.TB, command string) mta{
	"postfix": func(t testing.TB, command string) mta {
		return mtatest.StartPostfix(t, mtatest.Postfix{Pipe: []string{command, "-f", "${sender}", "--", "${recipient}"}, PipeFlags: "DR"})
	},
	"exim": func(t testing.TB, command string) mta {
		return mtatest.StartExim(t, mtatest.Exim{Transport: "driver = pipe\ncommand = " + command +
			"\nmessage_prefix =\nmessage_suffix =\nreturn_path_add\nenvelope_to_add"})
	},
}

func TestSent(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			command := mtatest.Capture(t)
			s := start(t, command.Path)
			s.Send(t, "s@sender.test", []string{"bob@row.test"}, message)
			s.SendLocal(t, "", []string{"ann@row.test"}, message)
			s.Send(t, "søren@sender.test", []string{"jüri@row.test"}, message)
			s.Send(t, "s@sender.test", []string{"who@elsewhere.test"}, message)
			got := map[string]string{}
			for _, r := range s.WaitResults(t, 3, timeout) {
				got[r.Recipient] = r.Status
			}
			want := map[string]string{"bob@row.test": "sent", "ann@row.test": "sent", "jüri@row.test": "sent"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			s.WaitQueue(t, 0, timeout)
			runs := command.Runs(t)
			if len(runs) != 3 {
				t.Fatalf("%d runs", len(runs))
			}
			for _, run := range runs {
				if !strings.HasSuffix(string(run.Stdin), "\n\n.dot\nbody é\n") {
					t.Errorf("stdin %q", run.Stdin)
				}
				if run.Getenv("PATH") == "" {
					t.Errorf("env %q", run.Env)
				}
			}
			if s.Bounces() != 0 {
				t.Error("bounces")
			}
		})
	}
}

// Tests send over many sessions at a time. Exim counts each until a moment after
// its end, so that a client that opens the next one has more than it knows of.
func TestManySessionsAtATime(t *testing.T) {
	const sessions = 40
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			s := start(t, mtatest.Capture(t).Path)
			var all sync.WaitGroup
			for range sessions {
				all.Go(func() { s.Send(t, "s@sender.test", []string{"bob@row.test"}, message) })
			}
			all.Wait()
			if t.Failed() {
				return
			}
			for _, r := range s.WaitResults(t, sessions, time.Minute) {
				if r.Status != "sent" {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
}

func TestDeferredUntilFlush(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			// The first run asks for another one.
			command := mtatest.Capture(t, "/bin/sh", "-c", `[ $(ls "$1" | wc -l) -gt 1 ] || exit 75`, "sh")
			runs := strings.TrimSuffix(command.Path, "capture") + "runs"
			again := mtatest.Capture(t, "/bin/sh", "-c", `exec "$0" "$1"`, command.Path, runs)
			s := start(t, again.Path)
			s.Send(t, "s@sender.test", []string{"bob@row.test"}, message)
			if got := s.WaitResults(t, 1, timeout)[0]; got.Status != "deferred" {
				t.Errorf("got %+v", got)
			}
			s.WaitQueue(t, 1, timeout)
			s.Flush(t)
			if got := s.WaitResults(t, 1, timeout)[0]; got.Status != "sent" {
				t.Errorf("got %+v", got)
			}
			s.WaitQueue(t, 0, timeout)
			if n := s.Bounces(); n != 0 {
				t.Errorf("%d bounces", n)
			}
		})
	}
}

func TestBouncesAreCountedAndThrownAway(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			s := start(t, mtatest.Capture(t, "/bin/false").Path)
			s.Send(t, "s@sender.test", []string{"bob@row.test"}, message)
			if got := s.WaitResults(t, 1, timeout)[0]; got.Status != "bounced" {
				t.Errorf("got %+v", got)
			}
			s.WaitBounces(t, 1, timeout)
			s.WaitQueue(t, 0, timeout)
			if n := s.Bounces(); n != 1 {
				t.Errorf("%d bounces", n)
			}
		})
	}
}
