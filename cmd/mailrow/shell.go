package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/shell"
	"mailrow/store/source"
)

// session is what mailrow shell was asked for.
type session struct {
	passwordFlags
	file, script         string
	commands             []string
	json, trace, yes     bool
	keepGoing, noHistory bool
	editor               *shell.Editor
}

func (p *program) shellCommand() *cobra.Command {
	var s session
	c := &cobra.Command{
		Use:   "shell URI|SOURCE|-f FILE",
		Short: "Look into a mailbox, on a server or in files, and change it by hand",
		Long: `Opens a session with the mailbox of a URI, of a source by its name, or of a settings file
of IMAPClient (-f FILE, or FILE:NAME for a section). At a terminal commands are typed,
with history and completion (Tab); help lists them. Elsewhere they are read from standard
input, from --script or from -c, where ";" stands between them; the first that fails ends
the session, with status 1, unless --keep-going. # begins a comment.

Mails are called by their UIDs, which fetch and search print. Looking leaves no trace: a
mail that is shown stays unread. Before something is removed it is asked for, and without
a terminal refused, unless --yes.

With --json each command prints one object: "command", "line" of a script, "ok", and
"result" or "error" with "text" and the server's "code". docs/shell.md lists the fields.
--trace writes to standard error what is said to the server and by it, without passwords,
tokens and mails.

A password is asked for where no flag says where it is. Lines that were typed are kept in
$XDG_STATE_HOME/mailrow/shell_history (~/.local/state without), which others cannot read.`,
		Example: `  mailrow shell imap+ssl://ann%40example.com@imap.example.com
  mailrow shell ann -c 'select INBOX; search UNSEEN; fetch found'
  mailrow shell -f imap.ini:bob --json -c 'status INBOX' | jq .result.unseen
  mailrow shell maildir:///home/ann/Maildir --script tidy.txt --yes`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			return p.completeSource(c, args, begun)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (s.file != "") {
				return misused(c, "shell needs a URI, a source or -f FILE")
			}
			if len(s.commands) > 0 && s.script != "" {
				return misused(c, "-c and --script do not go together")
			}
			return p.shell(c, &s, strings.Join(args, ""))
		},
	}
	s.places(c)
	flags := c.Flags()
	flags.StringVarP(&s.file, "file", "f", "", "take the mailbox from this settings `file` of IMAPClient")
	flags.StringArrayVarP(&s.commands, "command", "c", nil, "do these `commands`, and leave; may be given several times")
	flags.StringVar(&s.script, "script", "", "do the commands in this `file`, and leave")
	flags.BoolVar(&s.json, "json", false, "print one JSON object a command")
	flags.BoolVar(&s.trace, "trace", false, "write to standard error what is said to the server and by it")
	flags.BoolVar(&s.yes, "yes", false, "remove without asking")
	flags.BoolVar(&s.keepGoing, "keep-going", false, "go on after a command that fails; the status is 1 all the same")
	flags.BoolVar(&s.noHistory, "no-history", false, "keep no history")
	return c
}

// completeSource completes what a session can be with: sources and kinds of URI.
func (p *program) completeSource(c *cobra.Command, args []string, begun string) (found []string, directive cobra.ShellCompDirective) {
	directive = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, directive
	}
	for _, scheme := range []string{"imap+ssl://", "imap+tls://", "pop3+ssl://", "pop3+tls://", "maildir:///", "mbox:///", "mh:///", "mmdf:///", "babyl:///", "gmail+ssl://", "office365://"} {
		if begun != "" && strings.HasPrefix(scheme, begun) {
			found = append(found, scheme)
			directive |= cobra.ShellCompDirectiveNoSpace
		}
	}
	_ = p.with(c, func(ctx context.Context, conn *pgx.Conn) error { // without a database there are none
		list, err := source.List(ctx, conn)
		for _, s := range list {
			if s.Name != nil && strings.HasPrefix(*s.Name, begun) {
				found = append(found, *s.Name)
			}
		}
		return err
	})
	return found, directive
}

// shell runs a session, and gives its error.
func (p *program) shell(c *cobra.Command, s *session, arg string) error {
	in, typed := p.in.(*os.File)
	typed = typed && isTerminal(in)
	interactive := typed && len(s.commands) == 0 && s.script == ""
	if typed {
		s.editor = shell.NewEditor(in, p.screen(in), p.history(s, interactive))
	}
	lines, err := p.script(s)
	if err != nil {
		return err
	}
	mailbox, err := p.openMailbox(c, s, arg)
	if err != nil {
		return err
	}
	sh := &shell.Shell{
		Mailbox: mailbox, Out: p.out, Err: p.err, JSON: s.json, Yes: s.yes, KeepGoing: s.keepGoing,
		Editor: s.editor, Describe: line,
	}
	if interactive {
		ctx, stop := sessionUntil(c.Context(), sh.Interrupt)
		defer stop()
		return sh.Interact(ctx)
	}
	if err = sh.Script(c.Context(), lines); errors.Is(err, shell.ErrFailed) {
		return errReported
	}
	return err
}

// screen is where a person sees what is typed.
func (p *program) screen(in *os.File) io.Writer {
	for _, w := range []io.Writer{p.out, p.err} {
		if isTerminal(w) {
			return w
		}
	}
	return in
}

// history is what was typed before; without a place for it, that of this session.
func (p *program) history(s *session, interactive bool) *shell.History {
	dir := p.getenv("XDG_STATE_HOME")
	if dir == "" && p.getenv("HOME") != "" {
		dir = filepath.Join(p.getenv("HOME"), ".local", "state")
	}
	if s.noHistory || !interactive || !filepath.IsAbs(dir) {
		return &shell.History{}
	}
	h, err := shell.OpenHistory(filepath.Join(dir, "mailrow", "shell_history"))
	if err != nil {
		fmt.Fprintln(p.err, "mailrow: warning: "+line(err))
	}
	return h
}

// script is where commands come from that nobody types.
func (p *program) script(s *session) (<-chan string, error) {
	switch {
	case len(s.commands) > 0:
		return p.linesOf(strings.NewReader(strings.Join(s.commands, "\n"))), nil
	case s.script != "":
		text, err := os.ReadFile(s.script)
		if err != nil {
			return nil, fmt.Errorf("read script: %w", err)
		}
		return p.linesOf(strings.NewReader(string(text))), nil
	case s.editor == nil:
		return p.lines(), nil
	}
	return nil, nil
}

// sessionUntil is a context for a session at a terminal: SIGINT ends only what runs
// in it, and other signals the session.
func sessionUntil(parent context.Context, interrupt func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGINT {
					cancel(&interruption{signal: s.(syscall.Signal)})
					return
				}
				interrupt()
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
