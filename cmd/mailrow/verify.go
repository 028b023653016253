package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/verify"
)

func (p *program) verifyCommand() *cobra.Command {
	var o verify.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that everything stored is still what it was when it came",
		Long: `Puts every mail together and compares it with the SHA-256 of what was received,
likewise the content of each attachment, and the tables with each other. What is
wrong is printed: kind, account, message and mails, what, remedy; between tabs
where nobody looks at it. The exit status is 1 then. It only reads, and what is
delivered or deleted meanwhile disturbs it as little as it disturbs that.

Kinds that begin with stray are leftovers: rows that belong to nothing any more.
Nothing is missing then, and --repair removes them. It also reads mail again
whose parts, addresses or thread are not what its columns say.`,
		Example: `  mailrow verify
  mailrow verify --quick --account ann@example.com
  mailrow verify --repair`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.within(c, o.Account, "", func(ctx context.Context, conn *pgx.Conn) error {
				return p.verify(ctx, conn, o, asJSON)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.Account, "account", "", "only this `account`")
	flags.BoolVar(&o.Quick, "quick", false, "only sizes and what belongs together, without reading the mails")
	flags.BoolVar(&o.Repair, "repair", false, "remove leftovers, and make rows anew that the mail itself gives")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func (p *program) verify(ctx context.Context, conn *pgx.Conn, o verify.Options, asJSON bool) error {
	line := p.progress("verify", 0)
	defer line.end()
	found := func(f verify.Finding) error {
		line.end()
		if asJSON {
			return p.writeJSON(f)
		}
		return p.write(finding(f, isTerminal(p.out)))
	}
	count, err := verify.Run(ctx, conn, o, found, func(n verify.Count) {
		line.at(n.Messages)
	})
	if err != nil {
		line.end()
		return soFar(ctx, err, "%d messages were checked, with %d findings", count.Messages, count.Findings)
	}
	line.end()
	left := count.Findings - count.Repaired
	if left > 0 {
		return fmt.Errorf("%d findings in %d accounts with %d messages, %d repaired: each says its remedy",
			count.Findings, count.Accounts, count.Messages, count.Repaired)
	}
	if asJSON {
		return nil
	}
	repaired := ""
	if count.Repaired > 0 {
		repaired = fmt.Sprintf(", %d findings repaired", count.Repaired)
	}
	return p.write(fmt.Sprintf("all is well: %d accounts, %d messages, %d contents of attachments, %d bytes%s\n",
		count.Accounts, count.Messages, count.Contents, count.Bytes, repaired))
}

// finding is a line for programs, or a paragraph for people.
func finding(f verify.Finding, people bool) string {
	mails := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(f.Mails)), ","), "[]")
	message := ""
	if f.Message != 0 {
		message = fmt.Sprint(f.Message)
	}
	remedy := f.Remedy
	switch {
	case f.Repaired && strings.HasPrefix(string(f.Kind), "stray"):
		remedy = "removed"
	case f.Repaired:
		remedy = "read again"
	}
	if !people {
		return strings.Join([]string{string(f.Kind), printable(f.Account), message, mails, printable(f.What), remedy}, "\t") + "\n"
	}
	where := printable(f.Account)
	if message != "" {
		where += ", message " + message
	}
	if mails != "" {
		where += ", mail " + mails
	}
	return fmt.Sprintf("%s: %s: %s\n    %s\n", f.Kind, where, printable(f.What), remedy)
}
