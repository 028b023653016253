package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a new one: what is typed into it, and what a program reads from.
func terminal(t *testing.T) (keyboard, stdin *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	stdin, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	return keyboard, stdin
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// until waits for the terminal to show what is typed, or not to.
func until(t *testing.T, f *os.File, want bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); echoes(t, f) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("echo is never %v", want)
		}
	}
}

func TestPasswordIsNotShownWhileTyped(t *testing.T) {
	keyboard, stdin := terminal(t)
	var said bytes.Buffer
	p := &program{in: stdin, err: &said}
	got := make(chan string, 1)
	go func() {
		s, err := p.ask(context.Background(), "Password: ")
		if err != nil {
			t.Error(err)
		}
		got <- s.Reveal()
	}()
	until(t, stdin, false)
	if _, err := keyboard.WriteString("hunter2\n"); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "hunter2" || said.String() != "Password: \n" {
		t.Errorf("got %q, said %q", s, &said)
	}
	until(t, stdin, true)
	if _, err := stdin.WriteString("end"); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for b := make([]byte, 100); !strings.Contains(shown.String(), "end"); {
		n, err := keyboard.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b[:n])
	}
	if strings.Contains(shown.String(), "hunter") {
		t.Errorf("the terminal shows %q", shown.String())
	}
}

// After an interruption the terminal must show what is typed into the shell.
func TestTerminalAfterInterruption(t *testing.T) {
	_, stdin := terminal(t)
	p := &program{in: stdin, err: &bytes.Buffer{}}
	ctx, interrupt := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := p.ask(ctx, "Password: ")
		done <- err
	}()
	until(t, stdin, false)
	interrupt()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !echoes(t, stdin) {
		t.Error("the terminal stays blind")
	}
}
