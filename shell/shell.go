// Package shell is a session with a mailbox: commands that a person types, or that a
// script has, on an IMAP or POP3 server or in the files of this machine.
//
// Its law: nothing is removed without a yes, of the person or of --yes; looking at a
// mail leaves no trace; and a mail is called by a number that stays its own as long
// as the session lives, also where the connection was lost meanwhile.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"mailrow/internal/screen"
)

// Mailbox is what a session is about.
type Mailbox interface {
	// Commands are those that make sense there.
	Commands() []Command
	// Instead says of commands that other mailboxes have why this one has not, and
	// what it has.
	Instead() map[string]string
	// Prompt says where in the mailbox we are.
	Prompt() string
	// Folders are the names of folders, as far as they are known at once or can be
	// had in a short time.
	Folders(context.Context) []string
	// Close ends the session. What waits for the end to be confirmed is confirmed
	// where confirm says so, and else undone. said is what became of it, "" where
	// there was nothing.
	Close(ctx context.Context, confirm bool) (said string, err error)
}

// Command is one of a mailbox.
type Command struct {
	Name     string
	Operands string // as help shows them: FOLDER [FLAG...]
	Short    string // in one line what it does
	Long     string // more of it, "" where that is all
	Min, Max int    // how many operands there may be; Max < 0: any number
	Complete func(operand int) Completion
	Run      func(context.Context, *Call) (Result, error)
}

// Completion is what an operand may be completed to.
type Completion int

// What operands are.
const (
	Nothing Completion = iota
	Folder
	Flag
	File
	CommandName
)

// At completes one operand.
func At(place int, what Completion) func(operand int) Completion {
	return func(n int) Completion {
		if n == place {
			return what
		}
		return Nothing
	}
}

// Result is what a command did or found. As JSON it is an object.
type Result interface {
	// Words are for people: lines, each with its end.
	Words() string
}

// Call is a command that somebody has given.
type Call struct {
	Operands []string
	Text     string // the operands as they were typed
	shell    *Shell
}

// Tell says something at once, while the command goes on. Programs get results only.
func (c *Call) Tell(format string, args ...any) {
	if !c.shell.JSON {
		_ = c.shell.write(fmt.Sprintf(format, args...) + "\n") // the result tells if that fails
	}
}

// Interactive says whether a person waits for the command to end.
func (c *Call) Interactive() bool { return c.shell.interactive }

// ErrNo says that a person was asked and did not want it.
var ErrNo = errors.New("nothing was done")

// Confirm asks before something is removed. An error says that it must not be.
func (c *Call) Confirm(ctx context.Context, format string, args ...any) error {
	s := c.shell
	what := fmt.Sprintf(format, args...)
	switch {
	case s.Yes:
		return nil
	case s.Editor == nil:
		return fmt.Errorf("%s: that is asked before, and there is no terminal to ask at: run it with --yes", what)
	}
	answer, err := s.Editor.Ask(ctx, screen.Line(what)+"? [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return ErrNo
}

// Shell is a session.
type Shell struct {
	Mailbox   Mailbox
	Out, Err  io.Writer
	JSON      bool    // print one JSON object a command
	Yes       bool    // remove without asking
	KeepGoing bool    // a script goes on after a failure
	Editor    *Editor // nil where there is no terminal
	// Describe makes one line of an error; nil: its text.
	Describe func(error) string

	interactive bool
	mu          sync.Mutex
	interrupt   context.CancelCauseFunc // of the command that runs
}

// ErrFailed says that commands failed, which was said at once.
var ErrFailed = errors.New("a command failed")

// errInterrupted ends a command.
var errInterrupted = errors.New("interrupted")

// Interrupt ends the command that runs, and not the session.
func (s *Shell) Interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.interrupt != nil {
		s.interrupt(errInterrupted)
	}
}

// Interact does what a person types, until there is no more.
func (s *Shell) Interact(ctx context.Context) error {
	s.interactive = true
	s.Editor.complete = s.complete
	s.Editor.keep = s.keeps
	for {
		line, err := s.Editor.Line(ctx, screen.Line(s.Mailbox.Prompt())+"> ")
		if errors.Is(err, io.EOF) {
			return s.end(ctx, true)
		}
		if err != nil {
			_ = s.end(context.WithoutCancel(ctx), false) // err says why
			return err
		}
		if quit, _ := s.do(ctx, line, 0); quit {
			return s.end(ctx, true)
		}
	}
}

// Script does what lines say, and stops at the first failure unless KeepGoing. Its
// error is ErrFailed where a command has failed.
func (s *Shell) Script(ctx context.Context, lines <-chan string) error {
	failed := false
	for n := 1; ; n++ {
		var line string
		var more bool
		select {
		case line, more = <-lines:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.end(context.WithoutCancel(ctx), false))
		}
		quit := !more
		if more {
			var err error
			if quit, err = s.do(ctx, line, n); err != nil {
				if !errors.Is(err, ErrFailed) {
					return errors.Join(err, s.end(context.WithoutCancel(ctx), false))
				}
				failed = true
				quit = quit || !s.KeepGoing || ctx.Err() != nil
			}
		}
		if !quit {
			continue
		}
		err := s.end(context.WithoutCancel(ctx), ctx.Err() == nil && (!failed || s.KeepGoing))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case failed:
			return ErrFailed
		}
		return err
	}
}

// end ends the session, and says what that did.
func (s *Shell) end(ctx context.Context, confirm bool) error {
	said, err := s.Mailbox.Close(ctx, confirm)
	if said == "" {
		return err
	}
	return errors.Join(s.report(report{Command: "quit", result: Say(Fields{"done": said}, "%s", said)}), err)
}

// do does the commands of a line.
func (s *Shell) do(ctx context.Context, line string, n int) (quit bool, err error) {
	commands, err := split(line)
	if err != nil {
		return false, s.fail(report{Command: "", Line: n}, err)
	}
	for _, c := range commands {
		r := report{Command: strings.ToLower(c.words[0].text), Line: n}
		if r.Command == "quit" || r.Command == "exit" {
			return true, err
		}
		if failed := s.run(ctx, c, r); failed != nil {
			if err = failed; !s.KeepGoing || ctx.Err() != nil || !errors.Is(err, ErrFailed) {
				return false, err
			}
		}
	}
	return false, err
}

// run does a command, and says what became of it.
func (s *Shell) run(ctx context.Context, c command, r report) error {
	found, ok := s.find(r.Command)
	if !ok {
		return s.fail(r, s.unknown(r.Command))
	}
	call := &Call{Text: c.text, shell: s}
	for _, w := range c.words[1:] {
		call.Operands = append(call.Operands, w.text)
	}
	if n := len(call.Operands); n < found.Min || found.Max >= 0 && n > found.Max {
		return s.fail(r, fmt.Errorf("write %s: help %s says more", found.usage(), found.Name))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.interrupt = cancel
	s.mu.Unlock()
	result, err := found.Run(ctx, call)
	s.mu.Lock()
	s.interrupt = nil
	s.mu.Unlock()
	if err != nil {
		if ctx.Err() != nil {
			err = errInterrupted
		}
		r.result = result // what was done before
		return s.fail(r, err)
	}
	r.result = result
	return s.report(r)
}

func (s *Shell) find(name string) (Command, bool) {
	for _, c := range s.commands() {
		if c.Name == name {
			return c, true
		}
	}
	return Command{}, false
}

// commands are those of the mailbox, and those of every session.
func (s *Shell) commands() []Command {
	return append(s.Mailbox.Commands(),
		Command{Name: "help", Operands: "[COMMAND]", Short: "say what there is", Max: 1, Run: s.help,
			Complete: func(int) Completion { return CommandName }},
		Command{Name: "quit", Short: "leave; so does Ctrl-D"})
}

// unknown says what there is in place of a command that there is not.
func (s *Shell) unknown(name string) error {
	if instead, ok := s.Mailbox.Instead()[name]; ok {
		return errors.New(instead)
	}
	return errors.New("there is no such command: help lists them")
}

func (s *Shell) describe(err error) string {
	if s.Describe != nil {
		return s.Describe(err)
	}
	return screen.Line(err.Error())
}

func (s *Shell) write(text string) error {
	if _, err := io.WriteString(s.Out, screen.Lines(text)); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
