package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interruption is the signal that ended a command, and what that command says
// of its work so far.
type interruption struct {
	signal syscall.Signal
	done   string
}

func (i *interruption) Error() string {
	if i.done == "" {
		return "interrupted"
	}
	return "interrupted: " + i.done
}

// interruptible is a context that ends with the first signal to stop; the
// second one ends the program at once. What nohup has ignored stays so.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, wanted...)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(&interruption{signal: s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// interrupted gives the interruption where that is why a command failed: what
// it was about when the signal came is of no interest.
func interrupted(ctx context.Context, err error) error {
	return soFar(ctx, err, "")
}

// soFar adds to an interruption what was done before it, and how to go on.
func soFar(ctx context.Context, err error, format string, args ...any) error {
	var said, stop *interruption
	switch {
	case errors.As(err, &said) && said.done != "":
		return err
	case said != nil:
		return &interruption{said.signal, fmt.Sprintf(format, args...)}
	case errors.Is(err, context.Canceled):
		if errors.As(context.Cause(ctx), &stop) {
			return &interruption{stop.signal, fmt.Sprintf(format, args...)}
		}
	}
	return err
}
