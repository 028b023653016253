package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/access"
	"mailrow/store/archive"
)

func (p *program) grantCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "grant ROLE ACCOUNT|--all",
		Short: "Let a database role read an account",
		Long: `Makes the role a member of mailrow_reader and lets it see one account, or with
--all every account, also those to come. A grant to a group role holds for its
members. The role must exist; mailrow makes none.`,
		Example: `  psql -c 'create role alice login'
  mailrow grant alice alice@example.org
  mailrow grant auditors --all
  mailrow grant list`,
		Args: roleAndAccount(&all),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				account := accountOf(args)
				if err := access.Allow(ctx, conn, args[0], account); err != nil {
					return absent(ctx, conn, err, args[0], account)
				}
				return p.write(fmt.Sprintf("%s may read %s\n", printable(args[0]), accountText(account)))
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every account, also those to come")
	c.AddCommand(p.grantListCommand())
	return c
}

func (p *program) revokeCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "revoke ROLE ACCOUNT|--all",
		Short: "Take back what grant gave",
		Long: `Takes back one grant. --all takes back a grant of --all, not those of single
accounts beside it. Sessions that are open see the change at their next query.`,
		Example: `  mailrow revoke alice alice@example.org
  mailrow revoke auditors --all`,
		Args: roleAndAccount(&all),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				account := accountOf(args)
				found, err := access.Withdraw(ctx, conn, args[0], account)
				if err != nil {
					return absent(ctx, conn, err, args[0], account)
				}
				if !found {
					return fmt.Errorf("%s was not granted %s: mailrow grant list shows what was", args[0], accountText(account))
				}
				return p.write(fmt.Sprintf("%s may no longer read %s\n", printable(args[0]), accountText(account)))
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "the grant of every account")
	return c
}

// roleAndAccount wants ROLE ACCOUNT, or ROLE with --all.
func roleAndAccount(all *bool) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if slices.Contains(args, "") {
			return errors.New("an empty name")
		}
		if *all {
			return cobra.ExactArgs(1)(c, args)
		}
		return cobra.ExactArgs(2)(c, args)
	}
}

func accountOf(args []string) *string {
	if len(args) < 2 {
		return nil
	}
	return &args[1]
}

func accountText(account *string) string {
	if account == nil {
		return "every account"
	}
	return printable(*account)
}

func absent(ctx context.Context, conn *pgx.Conn, err error, role string, account *string) error {
	switch {
	case errors.Is(err, access.ErrNoRole):
		return fmt.Errorf("%w as %s: make it with: create role %s login", err, role, pgx.Identifier{role}.Sanitize())
	case errors.Is(err, access.ErrNoAccount):
		return missing(cmp.Or(archive.FindPlace(ctx, conn, text(account), ""), err))
	}
	return err
}

func (p *program) grantListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List what was granted",
		Example: `  mailrow grant list`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				grants, err := access.List(ctx, conn)
				if err != nil {
					return err
				}
				if asJSON {
					for _, g := range grants {
						if err := p.writeJSON(g); err != nil {
							return err
						}
					}
					return nil
				}
				var b strings.Builder
				w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
				for _, g := range grants {
					fmt.Fprintf(w, "%s\t%s\n", printable(g.Role), accountText(g.Account))
				}
				w.Flush()
				return p.write(b.String())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}
