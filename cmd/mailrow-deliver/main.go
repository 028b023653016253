// Mailrow-deliver stores the mail on its standard input in PostgreSQL. Postfix
// and Exim run it, once per mail; see mailrow-deliver(8).
//
// The law of this program: it exits with 0 when the mail is committed, with a
// rejection that the operator asked for, or with 75; never with anything else.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"mailrow/deliver"
	"mailrow/exim"
	"mailrow/message"
	"mailrow/postfix"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It answers on stdout only where it is asked something;
// why a mail was not stored goes to stderr, in one line.
func run(args []string, getenv func(string) string, stdin *os.File, stdout, stderr io.Writer) (exit int) {
	start := time.Now()
	hardenProcess()
	quiet := false
	end := func(o deliver.Outcome) int {
		if line := o.Line(); line != "" && !quiet {
			fmt.Fprintln(stderr, line) // nobody may be listening; the status says it all
		}
		return o.Exit()
	}
	defer func() {
		if p := recover(); p != nil {
			exit = end(deliver.PanicError(p))
		}
	}()

	flags, err := parseFlags(args)
	quiet = flags.quiet
	if err != nil {
		return end(deliver.UsageError(err))
	}
	switch {
	case (flags.help || flags.version) && (len(args) > 1 || underMTA(getenv)):
		// With 0 the MTA would take the mail for delivered.
		return end(deliver.UsageError(errAnswers))
	case flags.help:
		fmt.Fprint(stdout, usage)
		return 0
	case flags.version:
		fmt.Fprintln(stdout, versionLine())
		return 0
	}
	config, err := flags.config(getenv)
	quiet = config.Quiet
	if err != nil {
		return end(deliver.ConfigError(err))
	}
	return end(within(start.Add(config.Timeout), func(ctx context.Context) deliver.Outcome {
		in := deliver.Input{File: stdin, Whole: writerLives(getenv)}
		if flags.bsmtp {
			return deliver.RunBatch(ctx, config, flags.envelopeOf(getenv), in)
		}
		return deliver.Run(ctx, config, flags.envelopeOf(getenv), in)
	}))
}

// hardenProcess takes away what would end the process behind our back. Go dies
// of SIGPIPE on stdout and stderr even where Postfix had it ignored; and an
// uncaught panic exits with 2, which both MTAs bounce: a signal is deferred by
// Postfix at least. Under the supervisor any death becomes 75.
func hardenProcess() {
	signal.Ignore(syscall.SIGPIPE)
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	if supervised != 0 {
		debug.SetTraceback("none")
	} else {
		debug.SetTraceback("crash")
	}
}

// rollBack is how long a delivery that has to end may take to say so to the server.
const rollBack = 2 * time.Second

// within runs a delivery that ends at the deadline or at a signal, both with
// 75. Its reading from the MTA cannot be interrupted, so it is left behind.
func within(deadline time.Time, delivery func(context.Context) deliver.Outcome) deliver.Outcome {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan deliver.Outcome, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- deliver.PanicError(p)
			}
		}()
		done <- delivery(ctx)
	}()
	early := deliver.Outcome{Cause: deliver.CauseDeadline}
	select {
	case outcome := <-done:
		return outcome
	case <-time.After(time.Until(deadline)):
	case s := <-signals:
		early = deliver.Outcome{Cause: deliver.CauseSignal, Detail: s.String()}
	}
	cancel()
	select {
	case outcome := <-done:
		if outcome.Cause == deliver.CauseStored {
			return outcome
		}
	case <-time.After(rollBack):
	}
	return early
}

// envelopeOf gives the envelope that the MTA's environment and the mail tell,
// with the arguments over it.
func (f *flags) envelopeOf(getenv func(string) string) deliver.EnvelopeOf {
	return func(t message.Trace) message.Envelope {
		var e message.Envelope
		switch local, pipe := postfix.Detect(getenv); {
		case local:
			e = postfix.Local(getenv, t)
		case pipe:
			e = postfix.Pipe(t)
		case exim.Detect(getenv):
			e = exim.Pipe(getenv, t)
		default:
			e = fromTrace(t)
		}
		f.over(&e)
		return e
	}
}

// fromTrace is the envelope where no MTA that we know runs us: by hand, or from
// procmail, maildrop, fetchmail.
func fromTrace(t message.Trace) message.Envelope {
	e := message.Envelope{Source: "pipe", Sender: t.ReturnPath}
	switch {
	case t.DeliveredTo != "":
		e.Recipients = []message.Recipient{{Address: t.DeliveredTo, Original: t.OriginalTo}}
	case len(t.EnvelopeTo) > 0:
		for _, path := range t.EnvelopeTo {
			e.Recipients = append(e.Recipients, message.Recipient{Address: path})
		}
	}
	return e
}
