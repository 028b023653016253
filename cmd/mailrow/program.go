package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// program is what the commands share: the streams and the global flags.
type program struct {
	getenv   func(string) string
	in       io.Reader
	out, err io.Writer

	database, config string
	verbose          bool
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mailrow",
		Short: "Mail in, rows out: the operator's program",
		Long: `Mailrow stores mail in PostgreSQL. Postfix or Exim run mailrow-deliver for
each mail; users query views such as mailrow.mail and mailrow.attachments with
SQL. This program prepares, shows, searches, keeps and examines all that.

The database is, in this order: --database, DATABASE_URL, "database" in the
configuration file, and what PGHOST, PGUSER and their like say.

The exit status is 0, or 1 when something failed or is not there, 2 when the
command was not understood, and 130 or 143 when SIGINT or SIGTERM ended it.`,
		Example: `  createdb -T template0 -E UTF8 mailrow && mailrow --database postgres:///mailrow migrate
  mailrow setup postgres
  mailrow setup postfix --domain example.org
  mailrow --database 'postgres:///mailrow?user=mailrow_admin' doctor
  mailrow list --since 24h`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&p.database, "database", "", "`URL` of the database, without a password")
	flags.StringVar(&p.config, "config", "", "configuration `file` (default /etc/mailrow/mailrow.toml, if there is one)")
	flags.BoolVarP(&p.verbose, "verbose", "v", false, "log to standard error what is done")
	root.AddCommand(
		p.migrateCommand(), p.setupCommand(), p.doctorCommand(),
		p.routeCommand(), p.grantCommand(), p.revokeCommand(), p.importCommand(),
		p.listCommand(), p.showCommand(), p.rawCommand(), p.deleteCommand(), p.reparseCommand(),
		p.searchCommand(), p.indexCommand(), p.setLanguageCommand(),
		p.waitCommand(), p.queueCommand(), p.lmtpCommand(), p.sourceCommand(), p.pollCommand(), p.authCommand(), p.shellCommand(),
		p.threadCommand(), p.attachmentCommand(), p.exportCommand(), p.verifyCommand(), p.retentionCommand(),
		p.versionCommand(),
	)
	finish(root)
	return root
}

// finish makes usage errors of what cobra refuses, for all commands below.
func finish(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		// The cause is for who programs: strconv.ParseInt: parsing "x": invalid syntax.
		if cause := errors.Unwrap(err); cause != nil {
			err = errors.New(strings.TrimSuffix(err.Error(), ": "+cause.Error()))
		}
		return &usageError{c.CommandPath(), err}
	})
	validate, group := c.Args, c.Args == nil && c.HasSubCommands()
	if validate == nil {
		validate = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		switch err := validate(c, args); {
		case err == nil:
			return nil
		case group:
			return &usageError{c.CommandPath(), fmt.Errorf("unknown command %q", args[0])}
		case len(args) == 0:
			return &usageError{c.CommandPath(), fmt.Errorf("%s needs %s", below(c), operands(c))}
		default:
			return &usageError{c.CommandPath(), fmt.Errorf("%s takes %s", below(c), operands(c))}
		}
	}
	if group {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		finish(sub)
	}
}

// below is the name of a command without that of the program.
func below(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

// operands is what the usage line of a command says after its name.
func operands(c *cobra.Command) string {
	_, rest, _ := strings.Cut(c.Use, " ")
	if rest == "" {
		return "no argument"
	}
	return rest
}

// misused is a usage error that a command finds itself.
func misused(c *cobra.Command, format string, args ...any) error {
	return &usageError{c.CommandPath(), fmt.Errorf(format, args...)}
}

// log writes to standard error what is done, if that was asked for.
func (p *program) log() zerolog.Logger {
	if !p.verbose {
		return zerolog.Nop()
	}
	w := zerolog.ConsoleWriter{Out: p.err, NoColor: !isTerminal(p.err), TimeFormat: "15:04:05.000"}
	return zerolog.New(w).With().Timestamp().Logger()
}

// write puts text to standard output; an error means that it is not there.
func (p *program) write(text string) error {
	if text == "" {
		return nil
	}
	if _, err := io.WriteString(p.out, text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
