package shell

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// marking has a command that fails and one that does not, and hears how it is closed.
type marking struct {
	one
	done      int
	confirmed bool
}

func (m *marking) Commands() []Command {
	return []Command{
		{Name: "fail", Run: func(context.Context, *Call) (Result, error) { return nil, errors.New("no") }},
		{Name: "do", Run: func(context.Context, *Call) (Result, error) { m.done++; return nil, nil }},
	}
}

func (m *marking) Close(_ context.Context, confirm bool) (string, error) {
	m.confirmed = confirm
	return "", nil
}

// A line is as good as several.
func TestKeepGoing(t *testing.T) {
	for _, keepGoing := range []bool{true, false} {
		var m marking
		var out bytes.Buffer
		s := Shell{Mailbox: &m, Out: &out, Err: &out, KeepGoing: keepGoing}
		lines := make(chan string, 2)
		lines <- "do; fail; do"
		lines <- "do"
		close(lines)
		if err := s.Script(t.Context(), lines); !errors.Is(err, ErrFailed) {
			t.Errorf("keep going %t: %v", keepGoing, err)
		}
		if want := map[bool]int{true: 3, false: 1}[keepGoing]; m.done != want {
			t.Errorf("keep going %t: %d commands were done, want %d", keepGoing, m.done, want)
		}
	}
}

// What waits for the end of a script does not happen when that was interrupted, also
// where there is nothing left to do.
func TestInterruptedScriptConfirmsNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	lines := make(chan string)
	close(lines)
	for range 50 {
		var m marking
		s := Shell{Mailbox: &m, Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}
		if err := s.Script(ctx, lines); !errors.Is(err, context.Canceled) || m.confirmed {
			t.Fatalf("confirmed %t, %v", m.confirmed, err)
		}
	}
}
