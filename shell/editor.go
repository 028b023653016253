package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Editor reads lines at a terminal, which is as other programs want it while no line
// is read.
type Editor struct {
	in       *os.File
	out      io.Writer
	terminal *term.Terminal
	history  *History

	// Of the session: what a line may be completed to, and which go into the history.
	complete func(ctx context.Context, line string, pos int) (string, int, []string)
	keep     func(line string) bool
}

// NewEditor reads lines from a terminal and shows them on out, which is one too.
func NewEditor(in *os.File, out io.Writer, history *History) *Editor {
	e := &Editor{in: in, out: out, history: history}
	e.terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keys{in}, out}, "")
	return e
}

// keys is a keyboard whose Ctrl-C drops the line, as shells have it; it would end
// the input otherwise.
type keys struct{ io.Reader }

const (
	ctrlC    = "\x03"
	dropLine = "\x05\x15\r" // to its end, all of it away, and another
)

func (k keys) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p[:max(1, len(p)/len(dropLine))])
	return copy(p, bytes.ReplaceAll(p[:n], []byte(ctrlC), []byte(dropLine))), err
}

// Line reads a command. Its error is io.EOF after Ctrl-D, or that of ctx.
func (e *Editor) Line(ctx context.Context, prompt string) (string, error) {
	e.terminal.History = kept{e.history, e.keep}
	e.terminal.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || e.complete == nil {
			return "", 0, false
		}
		line, pos, choice := e.complete(ctx, line, pos)
		if len(choice) > 0 {
			_, _ = e.terminal.Write(columns(choice)) // the line is shown anew below
		}
		return line, pos, true
	}
	return e.read(ctx, func() (string, error) {
		e.terminal.SetPrompt(prompt)
		return e.terminal.ReadLine()
	})
}

// Ask reads an answer, which goes into no history.
func (e *Editor) Ask(ctx context.Context, question string) (string, error) {
	e.terminal.History, e.terminal.AutoCompleteCallback = kept{}, nil
	return e.read(ctx, func() (string, error) {
		e.terminal.SetPrompt(question)
		answer, err := e.terminal.ReadLine()
		if errors.Is(err, io.EOF) {
			_, _ = io.WriteString(e.out, "\r\n") // it is only for the eye
			return "", ErrNo
		}
		return answer, err
	})
}

// Password reads what is not shown. Nothing is an error.
func (e *Editor) Password(ctx context.Context, prompt string) (string, error) {
	text, err := e.read(ctx, func() (string, error) { return e.terminal.ReadPassword(prompt) })
	if errors.Is(err, io.EOF) || err == nil && text == "" {
		return "", errors.New("read password: there was none")
	}
	return text, err
}

// read lends the terminal to what reads a line. What still reads when ctx has ended
// ends with the program.
func (e *Editor) read(ctx context.Context, line func() (string, error)) (string, error) {
	fd := int(e.in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("prepare the terminal: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }() // it worked a moment ago
	if width, height, err := term.GetSize(fd); err == nil && width > 0 {
		_ = e.terminal.SetSize(width, height) // else lines break elsewhere
	}
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := line()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
