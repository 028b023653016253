package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
	"mailrow/store/retention"
)

func (p *program) retentionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "retention",
		Short: "Say how long mail stays, and remove what has stayed long enough",
		Long: `Mail stays for ever unless a rule lets it go. Of the rules for a mail the most
exact one decides, and only that one:

  --account A --mailbox M   this mailbox
  --account A               this account
  --mailbox M               every mailbox of that name
                            all mail

and of two for the same place the one with --only-bulk, for bulk mail. A rule of
age never is how a mailbox is an exception from a wider rule. Rules are rows of
mailrow.retention; SQL may change them too. Nothing is removed but by mailrow
retention run, or select mailrow.apply_retention().`,
		Example: `  mailrow retention add "90 days" --mailbox Junk
  mailrow retention add never --account ann@example.com
  mailrow retention run --dry-run`,
	}
	c.AddCommand(p.retentionAddCommand(), p.retentionListCommand(), p.retentionRemoveCommand(),
		p.retentionRunCommand(), p.retentionExplainCommand())
	return c
}

func (p *program) retentionAddCommand() *cobra.Command {
	var account, mailbox, note string
	var bulk, flagged bool
	c := &cobra.Command{
		Use:   "add AGE",
		Short: "Add a rule",
		Long: `Adds a rule and prints its number. AGE is an interval as PostgreSQL reads it, such
as "90 days", "6 months" or "10 years", and never for mail that stays. Account and
mailbox need not be there yet: it says so then.`,
		Example: `  mailrow retention add "30 days" --mailbox Junk
  mailrow retention add "1 year" --only-bulk --note "newsletters"
  mailrow retention add never --account ann@example.com --mailbox Contracts`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r := retention.Rule{OnlyBulk: bulk, KeepFlagged: !flagged}
			if age := args[0]; age != "never" {
				r.OlderThan = &age
			}
			for flag, field := range map[string]**string{"account": &r.Account, "mailbox": &r.Mailbox, "note": &r.Note} {
				if value := c.Flag(flag).Value.String(); value != "" {
					*field = &value
				} else if c.Flag(flag).Changed {
					return misused(c, "--%s must not be empty", flag)
				}
			}
			if r.Mailbox != nil && strings.EqualFold(*r.Mailbox, "INBOX") {
				inbox := "INBOX"
				r.Mailbox = &inbox
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				return p.addRule(ctx, conn, c, r)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&account, "account", "", "only for this `account`")
	flags.StringVar(&mailbox, "mailbox", "", "only for mailboxes of this `name`")
	flags.BoolVar(&bulk, "only-bulk", false, "only for mailing lists and newsletters (mail.bulk)")
	flags.BoolVar(&flagged, "delete-flagged", false, "remove also what has the flag \\Flagged")
	flags.StringVar(&note, "note", "", "`why` there is this rule")
	return c
}

func (p *program) addRule(ctx context.Context, conn *pgx.Conn, c *cobra.Command, r retention.Rule) error {
	id, err := retention.Add(ctx, conn, r)
	switch {
	case errors.Is(err, retention.ErrExists):
		return fmt.Errorf("%w: mailrow retention list shows it, mailrow retention remove takes it away", err)
	case errors.Is(err, retention.ErrInterval), errors.Is(err, retention.ErrTooYoung), errors.Is(err, retention.ErrTooOld):
		return misused(c, "%w", err)
	case err != nil:
		return err
	}
	// A rule may be there before the first mail, but it may be a mistake as well.
	if err := archive.FindPlace(ctx, conn, text(r.Account), text(r.Mailbox)); err != nil {
		fmt.Fprintf(p.err, "mailrow: the rule is for later: %s\n", line(missing(err)))
	}
	return p.write(fmt.Sprintf("%d\n", id))
}

func (p *program) retentionListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the rules, the most exact first",
		Long: `Lists the rules in the order in which they are looked at: number, account,
mailbox, age, conditions and note. A * stands for every account or mailbox.`,
		Example: `  mailrow retention list`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				rules, err := retention.List(ctx, conn)
				if err != nil {
					return err
				}
				if asJSON {
					for _, r := range rules {
						if err := p.writeJSON(r); err != nil {
							return err
						}
					}
					return nil
				}
				var b strings.Builder
				w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
				for _, r := range rules {
					fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", r.ID, orStar(r.Account), orStar(r.Mailbox), age(r), conditions(r), printable(text(r.Note)))
				}
				w.Flush()
				return p.write(b.String())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func orStar(s *string) string {
	if s == nil {
		return "*"
	}
	return printable(*s)
}

func age(r retention.Rule) string {
	if r.OlderThan == nil {
		return "never"
	}
	return *r.OlderThan
}

func conditions(r retention.Rule) string {
	var list []string
	if r.OnlyBulk {
		list = append(list, "only bulk")
	}
	if !r.KeepFlagged {
		list = append(list, "flagged too")
	}
	return strings.Join(list, ", ")
}

func (p *program) retentionRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove RULE",
		Short:   "Remove a rule",
		Example: `  mailrow retention remove 3`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return misused(c, "%q is not the number of a rule: mailrow retention list shows them", args[0])
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				found, err := retention.Remove(ctx, conn, id)
				if err == nil && !found {
					err = fmt.Errorf("there is no rule %d: mailrow retention list shows them", id)
				}
				return err
			})
		},
	}
}

func (p *program) retentionExplainCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "explain ID",
		Short:   "Tell which rule decides about a mail, and when it goes",
		Example: `  mailrow retention explain 42`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(c, args[0])
			if err != nil {
				return err
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				v, err := retention.Explain(ctx, conn, id)
				if err != nil {
					return missing(err)
				}
				if asJSON {
					return p.writeJSON(v)
				}
				return p.write(verdict(id, v))
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func verdict(id int64, v retention.Verdict) string {
	rule := ""
	if r := v.Rule; r != nil {
		rule = fmt.Sprintf("rule %d decides: account %s, mailbox %s, age %s", r.ID, orStar(r.Account), orStar(r.Mailbox), age(*r))
		if c := conditions(*r); c != "" {
			rule += ", " + c
		}
		rule += "\n"
	}
	switch {
	case v.StaysBecause != "":
		return fmt.Sprintf("%smail %d stays: %s\n", rule, id, v.StaysBecause)
	case v.GoesAt.Before(time.Now()):
		return fmt.Sprintf("%smail %d goes with the next run, due since %s\n", rule, id, v.GoesAt.Local().Format(time.RFC1123Z))
	}
	return fmt.Sprintf("%smail %d goes after %s\n", rule, id, v.GoesAt.Local().Format(time.RFC1123Z))
}
