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
  imap+ssl://ann%40example.com@imap.example.com
                                 IMAP over TLS; imap+tls: begins TLS by a command (STARTTLS),
                                 imap: never; pop3+ssl:, pop3+tls: and pop3: likewise
  imap+exec:ssh mail.example.com /usr/lib/dovecot/imap
                                 a program that speaks IMAP

with parameters after a question mark, and & between them:

  folder=NAME     only this folder; * stands for anything; as often as needed
  after=keep      leave stored mail where it is: the default
  after=delete    remove it there
  archive=NAME    move it to this folder
  after=seen      mark it as seen

and for servers elsewhere:

  ca=FILE         the authority that has signed the server's certificate
  pin=sha256:…    the certificate's sum, whoever has signed it
  tls=insecure    any certificate will do: a warning at each run
  certificate=FILE, key=FILE
                  ours, where the server asks for one
  auth=NAME       how to log in, such as cram-md5 or external; the best without
  search=WORDS    only mail that matches, in IMAP's words: search=UNSEEN
  since=2026-01-31, since=UID
                  only mail from that day or UID on (IMAP)

Sources are rows of mailrow.sources; SQL may change them too.`,
		Example: `  mailrow source add maildir:///home/ann/Maildir --name ann --account ann@example.com
  mailrow source test ann
  mailrow source list`,
	}
	c.AddCommand(p.sourceAddCommand(), p.sourceListCommand(), p.sourceTestCommand(), p.sourceFailedCommand(), p.sourceAlarmsCommand(),
		p.sourcePauseCommand("pause", true), p.sourcePauseCommand("resume", false), p.sourceRetryCommand(), p.sourceRemoveCommand(),
		p.sourceSecretCommand(), p.sourceKeyCommand())
	return c
}

func isURI(arg string) bool {
	return strings.Contains(arg, "://") || strings.HasPrefix(strings.ToLower(arg), "imap+exec:")
}

// isPath tells what is no name of a source, but was written for a URI.
func isPath(arg string) bool { return strings.ContainsAny(arg[:min(len(arg), 1)], "/.~") }

// parseURI reads a URI from the command line, which must not hold a password.
func parseURI(c *cobra.Command, uri string) (poller.URI, error) {
	u, err := poller.ParseURI(uri)
	if err != nil {
		return u, misused(c, "%w", err)
	}
	if _, has := u.Password(); has {
		return u, misused(c, "the URI holds a password, which every user of this machine can see: leave it out, and say where it is: %s --help lists the ways", c.CommandPath())
	}
	return u, nil
}

// findSource finds a source by its name or its URI.
func findSource(ctx context.Context, c *cobra.Command, conn *pgx.Conn, arg string) (source.Source, error) {
	uri := arg
	if isURI(arg) {
		u, err := parseURI(c, arg)
		if err != nil {
			return source.Source{}, err
		}
		uri = u.String()
	}
	found, err := source.Find(ctx, conn, arg, uri)
	switch {
	case errors.Is(err, source.ErrNotFound) && !isURI(arg):
		if isPath(arg) || poller.IsURI(arg) {
			if _, wrong := parseURI(c, arg); wrong != nil {
				return found, wrong
			}
		}
		err = fmt.Errorf("%w: %s: mailrow source list lists them", err, arg)
	case errors.Is(err, source.ErrAmbiguous):
		err = fmt.Errorf("%w: call it by its name", err)
	}
	return found, err
}

// fate is what becomes of mail at a source.
func fate(u poller.URI) string {
	switch u.After {
	case poller.AfterDelete:
		if u.Delay > 0 {
			return fmt.Sprintf("mail is removed there %d hours after it was stored", u.Delay/time.Hour)
		}
		return "mail is removed there once it is stored"
	case poller.AfterArchive:
		return "mail is moved to folder " + printable(u.Archive) + " there once it is stored"
	case poller.AfterSeen:
		return "mail is marked as seen there once it is stored"
	}
	return "mail is kept there"
}

// warnOf tells of a source on this machine that cannot be opened yet.
func (p *program) warnOf(c *cobra.Command, u poller.URI) {
	opened, err := p.opener(c).Open(c.Context(), source.Source{}, u)
	if err == nil {
		err = opened.Close()
	}
	if err != nil {
		fmt.Fprintln(p.err, "mailrow: warning: "+line(err))
	}
}

func (p *program) sourceListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sources and how they do",
		Long: `Lists view mailrow.source_status. FAILED counts mail that is tried again, QUARANTINED
mail that was given up; mailrow source alarms has the reason of what ALARMS names.`,
		Example: `  mailrow source list --json | jq 'select(.quarantined > 0)'`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				list, err := source.List(ctx, conn)
				if err != nil {
					return err
				}
				return writeRows(p, asJSON, list, "SOURCE\tSTATE\tLAST RUN\tSTORED\tFAILED\tQUARANTINED\tALARMS\tURI\tERROR", func(s source.Status) string {
					last, stored := "never", int64(0)
					if s.LastRunAt != nil {
						last = s.LastRunAt.Local().Format(time.DateTime)
					}
					if s.LastStored != nil {
						stored = *s.LastStored
					}
					return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s", printable(s.String()), stateOf(s), last, stored,
						s.Failed, s.Quarantined, strings.Join(s.Alarms, ","), printable(s.URI), printable(text(s.LastError)))
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
				of, err := namedSource(ctx, c, conn, args)
				if err != nil {
					return err
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
