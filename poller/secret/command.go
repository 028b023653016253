package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"mailrow/poller/dial"
	"mailrow/poller/sasl"
)

// runCommand gives the first line that a program prints: what follows there, as in
// the entries of pass, is for people. No shell reads the command: a row cannot
// mean more than it says.
func runCommand(ctx context.Context, line string, timeout time.Duration) (sasl.Secret, error) {
	args, err := words(line)
	if err != nil {
		return sasl.Secret{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %v: nobody is there to answer what it may ask", timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	out, said := head{limit: maxSecret}, head{limit: 300}
	cmd.Stdout, cmd.Stderr = &out, &said
	// What it has started goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it left something behind that holds its output
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	first, _, _ := bytes.Cut(out.text, []byte("\n"))
	first = bytes.TrimSuffix(first, []byte("\r"))
	switch {
	case err != nil:
		words := dial.Clean(strings.TrimSpace(sasl.NewSecret(string(first)).Hide(string(said.text))))
		if words != "" {
			words = " (" + words + ")"
		}
		return sasl.Secret{}, fmt.Errorf("run %s: %w%s", args[0], err, words)
	case len(first) == 0:
		return sasl.Secret{}, fmt.Errorf("run %s: it has printed nothing, or an empty line first", args[0])
	case bytes.IndexByte(first, 0) >= 0 || len(first) >= maxSecret:
		return sasl.Secret{}, fmt.Errorf("run %s: what it has printed is no text", args[0])
	}
	return sasl.NewSecret(string(first)), nil
}

// head keeps the beginning of what is written to it.
type head struct {
	text  []byte
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), h.limit-len(h.text))]...)
	return len(p), nil
}

// words divides a command as a shell does, with quotes and backslashes. What else
// a shell would obey is refused rather than taken as it stands. The *Error shows
// nothing of the command: it may have a password in it.
func words(line string) ([]string, error) {
	const special = "|&;<>()$`"
	var list []string
	var word strings.Builder
	var quote rune
	var open, escaped bool // open: a word has begun, if only by quotes
	for _, r := range line {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune(`"\$`+"`", r) {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, open = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && strings.ContainsRune(special, r) || quote == '"' && strings.ContainsRune("$`", r):
			return nil, &Error{fmt.Sprintf("command: has a %c, but no shell reads it: put it between single quotes, or write command:sh -c '…'", r)}
		case quote == 0 && r == ' ':
			if open {
				list = append(list, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if quote != 0 || escaped {
		return nil, &Error{"command: has a quote that does not end"}
	}
	if open {
		list = append(list, word.String())
	}
	if len(list) == 0 || list[0] == "" {
		return nil, &Error{mistakes[command]}
	}
	return list, nil
}
