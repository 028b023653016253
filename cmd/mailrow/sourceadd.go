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
	"mailrow/poller/credentials"
	"mailrow/poller/settings"
	"mailrow/store/source"
)

// addition is a source to be added, and what it logs in with.
type addition struct {
	destination
	passwordFlags
	name, file string
	every      time.Duration

	uri      poller.URI
	password credentials.Password
	grant    *credentials.Grant
}

func (p *program) sourceAddCommand() *cobra.Command {
	var a addition
	c := &cobra.Command{
		Use:   "add URI|-f FILE",
		Short: "Add a source",
		Long: `Adds a source. --account or --to says where its mail goes: with --account each folder
to the mailbox of its name, with --to as mail for that recipient would be delivered.
Account and mailbox are made by their first mail.

A password never stands on the command line, nor in a row: a flag says where it is, or
--seal asks for it. mailrow source secret changes that; mailrow auth logs in with OAuth2.

-f takes the mailbox from a settings file of IMAPClient: FILE is its DEFAULT, FILE:NAME
a section. The password or token that is found there is stored encrypted.`,
		Example: `  mailrow source add maildir:///home/ann/Maildir --name ann --account ann@example.com
  mailrow source add 'mbox:///var/mail/info?after=delete' --to info@example.com --every 1m
  mailrow source add 'maildir:///home/ann/Maildir?folder=Lists/*&archive=Done' --account ann@example.com
  mailrow source add imap+ssl://ann%40example.com@imap.example.com --account ann@example.com --seal
  mailrow source add -f imap.ini:bob --name bob --account bob@example.com`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (a.file != "") {
				return misused(c, "add needs a URI or -f FILE")
			}
			if len(args) == 1 {
				return p.add(c, &a, args[0])
			}
			uri, err := p.readSettings(c, &a)
			if err != nil {
				return err
			}
			return p.add(c, &a, uri)
		},
	}
	a.destination.flags(c)
	a.passwordFlags.flags(c)
	flags := c.Flags()
	flags.StringVarP(&a.file, "file", "f", "", "take the mailbox from this settings `file` of IMAPClient")
	flags.StringVar(&a.name, "name", "", "what to call it (default its URI)")
	flags.DurationVar(&a.every, "every", 0, "how `long` after a run mailrow poll --watch looks again (default 5m)")
	return c
}

// readSettings takes the mailbox from a settings file.
func (p *program) readSettings(c *cobra.Command, a *addition) (uri string, err error) {
	found, err := p.settings(c, a.file, a.passwordFlags)
	if err != nil {
		return "", err
	}
	a.password.Text = found.Password
	if o := found.OAuth; o != nil {
		a.grant = &credentials.Grant{Provider: o.Provider, Client: o.Client, Refresh: &o.Refresh}
	}
	return found.URI, nil
}

// settings reads FILE or FILE:NAME, and says what is odd in it.
func (p *program) settings(c *cobra.Command, path string, given passwordFlags) (settings.Settings, error) {
	section := ""
	if colon := strings.LastIndexByte(path, ':'); colon > 0 && !exists(path) {
		path, section = path[:colon], path[colon+1:]
	}
	found, err := settings.Read(path, section, p.getenv)
	if err != nil {
		return found, err
	}
	for _, warning := range found.Warnings {
		fmt.Fprintln(p.err, "mailrow: warning: "+printable(warning))
	}
	if (found.Password != nil || found.OAuth != nil) && given != (passwordFlags{}) {
		return found, misused(c, "the password is in %s: leave the other flag out, or take it out there", path)
	}
	return found, nil
}

// add adds the source of a URI.
func (p *program) add(c *cobra.Command, a *addition, uri string) error {
	s, err := p.sourceOf(c, uri, a.destination)
	if err != nil {
		return err
	}
	if c.Flag("every").Changed && a.every < time.Second {
		return misused(c, "--every %v: it is a second or more", a.every)
	}
	s.Name, s.Every = orNil(a.name), a.every
	if a.uri, err = parseURI(c, uri); err != nil {
		return err
	}
	if a.password == (credentials.Password{}) {
		if a.password, err = p.password(c, a.passwordFlags, a.uri); err != nil {
			return err
		}
	}
	p.warnOfPassword(c.Context(), a.password.Reference)
	if a.uri.Local() {
		p.warnOf(c, a.uri)
	}
	return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
		err := pgx.BeginFunc(ctx, conn, func(pgx.Tx) error { return p.insert(ctx, c, conn, s, a) })
		var bad *source.ValueError
		switch {
		case errors.Is(err, source.ErrExists):
			return fmt.Errorf("%w: give this one a --name of its own", err)
		case errors.As(err, &bad) && bad.Constraint == "sources_name_is_no_uri":
			return misused(c, "--name %q: a name has no ://", a.name)
		case err != nil:
			return err
		}
		return p.write(fmt.Sprintf("%s: %s\n", printable(s.String()), fate(a.uri)))
	})
}

// insert stores a source and what it logs in with, which is sealed for its row.
func (p *program) insert(ctx context.Context, c *cobra.Command, conn *pgx.Conn, s source.Source, a *addition) (err error) {
	if s.ID, err = source.Add(ctx, conn, s); err != nil {
		return err
	}
	if a.password != (credentials.Password{}) {
		if err := p.storePassword(ctx, c, conn, s, a.password); err != nil {
			return err
		}
	}
	if a.grant == nil {
		return nil
	}
	if err := p.needKey(); err != nil {
		return err
	}
	return p.keeper(c).Authorise(ctx, conn, s, *a.grant)
}
