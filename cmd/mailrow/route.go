package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/deliver"
	"mailrow/message"
	"mailrow/store/routing"
)

func (p *program) routeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "route",
		Short: "Say which account and mailbox a recipient's mail goes to",
		Long: `Without a route a recipient's mail goes to the account of its own name, in lower
case and without extension, mailbox INBOX. A route sends it elsewhere. Patterns
are, and win in this order:

  user+lists@example.org   exactly this address
  user+*@example.org       any extension of this user
  user@example.org         this user, whatever the extension
  @example.org             any address of the domain
  *                        any address

Routes are rows of mailrow.routes; SQL may change them too. They hold from the
next mail on.`,
		Example: `  mailrow route add info@example.org office Info
  mailrow route add 'bob+*@example.org' bob@example.org 'Lists/*'
  mailrow route test bob+go@example.org`,
	}
	c.AddCommand(p.routeListCommand(), p.routeAddCommand(), p.routeRemoveCommand(), p.routeTestCommand())
	return c
}

func (p *program) routeListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the routes",
		Example: `  mailrow route list --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				routes, err := routing.List(ctx, conn)
				if err != nil {
					return err
				}
				if asJSON {
					for _, r := range routes {
						if err := p.writeJSON(r); err != nil {
							return err
						}
					}
					return nil
				}
				var b strings.Builder
				w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
				for _, r := range routes {
					fmt.Fprintf(w, "%s\t%s\t%s\n", printable(r.Pattern), printable(r.Account), printable(text(r.Mailbox)))
				}
				w.Flush()
				return p.write(b.String())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func (p *program) routeAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add PATTERN ACCOUNT [MAILBOX]",
		Short: "Add a route",
		Long: `Adds a route. A * in MAILBOX stands for the recipient's extension. The account
and the mailbox are made by their first mail.`,
		Example: `  mailrow route add @example.org everybody@example.org
  mailrow route add 'bob+*@example.org' bob@example.org 'Lists/*'`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			r := routing.Route{Pattern: args[0], Account: args[1]}
			if len(args) == 3 {
				r.Mailbox = &args[2]
			}
			if r.Account == "" || r.Mailbox != nil && *r.Mailbox == "" {
				return misused(c, "account and mailbox must not be empty")
			}
			if _, err := routing.Pattern(r.Pattern); err != nil {
				return misused(c, "%w", err)
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				err := routing.Add(ctx, conn, r)
				if errors.Is(err, routing.ErrExists) {
					return fmt.Errorf("%s: %w: mailrow route remove takes it away", args[0], err)
				}
				return err
			})
		},
	}
}

func (p *program) routeRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove PATTERN",
		Short:   "Remove a route",
		Example: `  mailrow route remove info@example.org`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				found, err := routing.Remove(ctx, conn, args[0])
				if err == nil && !found {
					err = fmt.Errorf("there is no route for %s: mailrow route list shows them", args[0])
				}
				return err
			})
		},
	}
}

func (p *program) routeTestCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "test ADDRESS",
		Short: "Tell where mail for an address would go",
		Long: `Tells which route, account and mailbox an address would get, with the
configuration file's account, mailbox, extension_mailbox, recipient_delimiter
and unknown. Arguments that the mail server gives to mailrow-deliver may differ.`,
		Example: `  mailrow route test bob+go@example.org`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := deliver.ReadConfig(p.config)
			if err != nil {
				return err
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				return p.testRoute(ctx, conn, config, args[0], asJSON)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func (p *program) testRoute(ctx context.Context, conn *pgx.Conn, config deliver.Config, address string, asJSON bool) error {
	d, err := routing.Resolve(ctx, conn, deliver.Lookup(message.Recipient{Address: message.ForwardPath(address)}, config.RecipientDelimiter), routing.Options{
		Account: config.Account, Mailbox: config.Mailbox, ExtensionMailbox: config.ExtensionMailbox,
	})
	if err != nil {
		return err
	}
	refused := config.RejectUnknown && !d.Exists && d.Pattern == nil
	if asJSON {
		return p.writeJSON(struct {
			routing.Destination
			Refused bool `json:"refused"`
		}{d, refused})
	}
	if refused {
		return p.write(fmt.Sprintf("%s is refused: no route, no account %s, and unknown is reject\n",
			printable(address), printable(d.Account)))
	}
	why := "no route"
	switch {
	case config.Account != "":
		why = "account of the configuration file"
	case d.Pattern != nil:
		why = "route " + printable(*d.Pattern)
	}
	made := ""
	if !d.Exists {
		made = " (made by its first mail)"
	}
	return p.write(fmt.Sprintf("route    %s\naccount  %s%s\nmailbox  %s\n", why, printable(d.Account), made, printable(d.Mailbox)))
}
