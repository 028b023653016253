package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/poller"
	"mailrow/poller/credentials"
	"mailrow/poller/secret"
)

func (p *program) sourceSecretCommand() *cobra.Command {
	var f passwordFlags
	var none bool
	c := &cobra.Command{
		Use:   "secret SOURCE",
		Short: "Show or say where the password of a source is",
		Long: `Says where the password of a source is, in place of what was said before. --seal asks for
it, or reads it from standard input if that is no terminal, and stores it encrypted
under the key file: it opens for this source and this server only. Without a flag it
shows where the password is; the password itself is never shown.

The key file is $MAILROW_KEY_FILE, systemd's credential mailrow-key, or else
/etc/mailrow/key; it is made when it is first needed.`,
		Example: `  mailrow source secret ann --password-command 'pass show mail/ann'
  mailrow source secret ann --seal`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				s, err := findSource(ctx, c, conn, args[0])
				if err != nil {
					return err
				}
				u, err := poller.ParseURI(s.URI)
				if err != nil {
					return err
				}
				found, err := p.password(c, f, u)
				if err != nil {
					return err
				}
				if found == (credentials.Password{}) && !none {
					return p.write(printable(s.String()) + ": " + printable(placeOf(s.Secret)) + "\n")
				}
				p.warnOfPassword(ctx, found.Reference)
				if err := p.storePassword(ctx, c, conn, s, found); err != nil {
					return err
				}
				if s, err = findSource(ctx, c, conn, args[0]); err != nil {
					return err
				}
				return p.write(printable(s.String()) + ": " + printable(placeOf(s.Secret)) + "\n")
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&none, "none", false, "forget where the password is")
	c.MarkFlagsMutuallyExclusive("none", "password-file", "password-env", "password-command", "credential", "seal")
	return c
}

func (p *program) sourceKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Make the key file that passwords are sealed under",
		Long: `Makes the key file: $MAILROW_KEY_FILE, or else /etc/mailrow/key. Nobody but its owner can
read it; where mailrow poll runs as another user, give it to its group:

  chgrp mailrow /etc/mailrow/key && chmod 640 /etc/mailrow/key

Without the file, what is sealed is lost. Keep a copy, but not with the backups of the
database: who has both has the passwords. A key that is there is never overwritten.`,
		Example: `  mailrow source key`,
		RunE: func(*cobra.Command, []string) error {
			err := p.keyFile().Create()
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: what is sealed under it would be lost", err)
			}
			if err != nil {
				return err
			}
			return p.write("made " + string(p.keyFile()) + "\n")
		},
	}
}

// placeOf is where a password is, for people.
func placeOf(reference *string) string {
	r, err := secret.Parse(text(reference))
	if err != nil {
		return "no password"
	}
	return r.Short()
}
