package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/poller"
	"mailrow/poller/kinds"
	"mailrow/store/source"
)

func (p *program) sourceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "source",
		Short: "Say which mailboxes elsewhere mail is fetched from",
		Long: `A source is a mailbox that mailrow poll fetches mail from, written as Django Mailbox
writes it:

  maildir:///home/ann/Maildir    a Maildir
  mbox:///var/mail/ann           a file of many mails; mmdf: and babyl: likewise
  mh:///home/ann/Mail            a directory of numbered files

with parameters after a question mark, and & between them:

  folder=NAME     only this folder; * stands for anything; as often as needed
  after=keep      leave stored mail where it is: the default
  after=delete    remove it there
  archive=NAME    move it to this folder
  after=seen      mark it as seen

Sources are rows of mailrow.sources; SQL may change them too.`,
		Example: `  mailrow source add maildir:///home/ann/Maildir --name ann --account ann@example.com
  mailrow source test ann
  mailrow source list`,
	}
	c.AddCommand(p.sourceAddCommand(), p.sourceListCommand(), p.sourceTestCommand(), p.sourceFailedCommand(),
		p.sourcePauseCommand("pause", true), p.sourcePauseCommand("resume", false), p.sourceRetryCommand(), p.sourceRemoveCommand())
	return c
}

func isURI(arg string) bool { return strings.Contains(arg, "://") }

// findSource finds a source by its name or its URI.
func findSource(ctx context.Context, c *cobra.Command, conn *pgx.Conn, arg string) (source.Source, error) {
	uri := arg
	if isURI(arg) {
		u, err := poller.ParseURI(arg)
		if err != nil {
			return source.Source{}, misused(c, "%w", err)
		}
		uri = u.String()
	}
	found, err := source.Find(ctx, conn, arg, uri)
	switch {
	case errors.Is(err, source.ErrNotFound) && !isURI(arg):
		err = fmt.Errorf("%w: %s: mailrow source list lists them", err, arg)
	case errors.Is(err, source.ErrAmbiguous):
		err = fmt.Errorf("%w: call it by its name", err)
	}
	return found, err
}

func (p *program) sourceAddCommand() *cobra.Command {
	var d destination
	var name string
	var every time.Duration
	c := &cobra.Command{
		Use:   "add URI",
		Short: "Add a source",
		Long: `Adds a source. --account or --to says where its mail goes: with --account each folder
to the mailbox of its name, with --to as mail for that recipient would be delivered.
Account and mailbox are made by their first mail.`,
		Example: `  mailrow source add maildir:///home/ann/Maildir --name ann --account ann@example.com
  mailrow source add 'mbox:///var/mail/info?after=delete' --to info@example.com --every 1m
  mailrow source add 'maildir:///home/ann/Maildir?folder=Lists/*&archive=Done' --account ann@example.com`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := d.of(c, args[0])
			if err != nil {
				return err
			}
			if c.Flag("every").Changed && every < time.Second {
				return misused(c, "--every %v: it is a second or more", every)
			}
			s.Name, s.Every = orNil(name), every
			u, err := poller.ParseURI(args[0])
			if err != nil {
				return misused(c, "%w", err)
			}
			if err := p.warnOf(c, u); err != nil {
				return err
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				_, err := source.Add(ctx, conn, s)
				var bad *source.ValueError
				switch {
				case errors.Is(err, source.ErrExists):
					return fmt.Errorf("%w: give this one a --name of its own", err)
				case errors.As(err, &bad) && bad.Constraint == "sources_name_is_no_uri":
					return misused(c, "--name %q: a name has no ://", name)
				case err != nil:
					return err
				}
				return p.write(fmt.Sprintf("%s: %s\n", printable(s.String()), fate(u)))
			})
		},
	}
	d.flags(c)
	c.Flags().StringVar(&name, "name", "", "what to call it (default its URI)")
	c.Flags().DurationVar(&every, "every", 0, "how `long` after a run mailrow poll --watch looks again (default 5m)")
	return c
}

// fate is what becomes of mail at a source.
func fate(u poller.URI) string {
	switch u.After {
	case poller.AfterDelete:
		return "mail is removed there once it is stored"
	case poller.AfterArchive:
		return "mail is moved to folder " + printable(u.Archive) + " there once it is stored"
	case poller.AfterSeen:
		return "mail is marked as seen there once it is stored"
	}
	return "mail is kept there"
}

// warnOf tells of a source that cannot be opened yet. That it never can is an error.
func (p *program) warnOf(c *cobra.Command, u poller.URI) error {
	opened, err := kinds.Open(c.Context(), u)
	switch {
	case errors.Is(err, kinds.ErrNotBuilt):
		return err
	case err != nil:
		fmt.Fprintln(p.err, "mailrow: warning: "+line(err))
		return nil
	}
	return opened.Close()
}

func (p *program) sourceListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sources and how they do",
		Long: `Lists view mailrow.source_status. FAILED counts mail that is tried again, QUARANTINED
mail that was given up.`,
		Example: `  mailrow source list --json | jq 'select(.quarantined > 0)'`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				list, err := source.List(ctx, conn)
				if err != nil {
					return err
				}
				return writeRows(p, asJSON, list, "SOURCE\tSTATE\tLAST RUN\tSTORED\tFAILED\tQUARANTINED\tURI\tERROR", func(s source.Status) string {
					last, stored := "never", int64(0)
					if s.LastRunAt != nil {
						last = s.LastRunAt.Local().Format(time.DateTime)
					}
					if s.LastStored != nil {
						stored = *s.LastStored
					}
					return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s", printable(s.String()), stateOf(s), last, stored,
						s.Failed, s.Quarantined, printable(s.URI), printable(text(s.LastError)))
				})
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func stateOf(s source.Status) string {
	switch {
	case s.Paused:
		return "paused"
	case s.Running:
		return "running"
	}
	return "active"
}

func (p *program) sourceTestCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "test URI|NAME",
		Short: "Open a source and count its mail, touching nothing",
		Long: `Opens the source, and lists the folders that it means with the number of mails and
their bytes where those are known without reading. With a URI no database is needed.`,
		Example: `  mailrow source test 'maildir:///home/ann/Maildir?folder=*'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			uri := args[0]
			if !isURI(uri) && !strings.HasPrefix(uri, "/") {
				err := p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
					found, err := findSource(ctx, c, conn, uri)
					uri = found.URI
					return err
				})
				if err != nil {
					return err
				}
			}
			u, err := poller.ParseURI(uri)
			if err != nil {
				return misused(c, "%w", err)
			}
			opened, err := kinds.Open(c.Context(), u)
			if err != nil {
				return err
			}
			defer opened.Close()
			list, err := poller.Probe(c.Context(), opened, u)
			if err != nil {
				return err
			}
			return writeRows(p, asJSON, list, "FOLDER\tMAILS\tBYTES", func(f poller.Found) string {
				return fmt.Sprintf("%s\t%d\t%d", printable(f.Folder), f.Mails, f.Bytes)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func (p *program) sourceFailedCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "failed [SOURCE]",
		Short: "List the mail that could not be fetched, with the reason",
		Long: `Lists mail that is tried again, and mail in quarantine, which is not: mailrow source
retry lets it be tried again. None of it is removed at the source.`,
		Example: `  mailrow source failed ann`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				var of source.Source
				if len(args) == 1 {
					var err error
					if of, err = findSource(ctx, c, conn, args[0]); err != nil {
						return err
					}
				}
				list, err := source.Trouble(ctx, conn, of.ID)
				if err != nil {
					return err
				}
				return writeRows(p, asJSON, list, "SOURCE\tFOLDER\tID\tSTATE\tTRIES\tSINCE\tREASON", func(f source.Troubled) string {
					state := "failed"
					if f.Quarantined {
						state = "quarantined"
					}
					return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s", printable(f.Source), printable(f.Folder), printable(f.ID), state,
						f.Tries, f.ChangedAt.Format(time.RFC3339), printable(f.Reason))
				})
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

// onSource is a command that does something with one source.
func (p *program) onSource(c *cobra.Command, do func(context.Context, *pgx.Conn, source.Source) (string, error)) *cobra.Command {
	c.Use += " SOURCE"
	c.Args = cobra.ExactArgs(1)
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
			s, err := findSource(ctx, c, conn, args[0])
			if err != nil {
				return err
			}
			said, err := do(ctx, conn, s)
			if err != nil {
				return err
			}
			return p.write(said + "\n")
		})
	}
	return c
}

func (p *program) sourcePauseCommand(verb string, pause bool) *cobra.Command {
	c := &cobra.Command{
		Use:     verb,
		Short:   "Leave a source alone until it is resumed",
		Example: "  mailrow source " + verb + " ann",
	}
	if !pause {
		c.Short = "Poll a paused source again, at once"
	}
	return p.onSource(c, func(ctx context.Context, conn *pgx.Conn, s source.Source) (string, error) {
		return verb + "d " + printable(s.String()), source.Pause(ctx, conn, s.ID, pause)
	})
}

func (p *program) sourceRetryCommand() *cobra.Command {
	return p.onSource(&cobra.Command{
		Use:   "retry",
		Short: "Try again what could not be fetched, and look at everything",
		Long: `Lets the next run look at all mail of the source, and try again what failed or is in
quarantine.`,
		Example: `  mailrow source retry ann && mailrow poll ann`,
	}, func(ctx context.Context, conn *pgx.Conn, s source.Source) (string, error) {
		mails, err := source.Retry(ctx, conn, s.ID)
		return fmt.Sprintf("%d to be tried again", mails), err
	})
}

func (p *program) sourceRemoveCommand() *cobra.Command {
	return p.onSource(&cobra.Command{
		Use:   "remove",
		Short: "Forget a source",
		Long: `Forgets a source and what is known of its mail. No mail is removed, here or there. The
same source added again finds all its mail anew: what is in the database is not stored
twice, but what was deleted from it comes again.`,
		Example: `  mailrow source remove ann`,
	}, func(ctx context.Context, conn *pgx.Conn, s source.Source) (string, error) {
		return "removed " + printable(s.String()), source.Remove(ctx, conn, s.ID)
	})
}
