package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/retention"
)

func (p *program) retentionRunCommand() *cobra.Command {
	var dry, asJSON bool
	var batch int
	c := &cobra.Command{
		Use:   "run",
		Short: "Remove the mail that the rules let go",
		Long: `Removes mail for good and prints how many each rule let go. It works in batches,
each a transaction of its own; SIGTERM ends it after the batch, and the next run
goes on. Several may run at once, and mail may come meanwhile. With --dry-run it
lists what would go: id, time, account, mailbox and rule, between tabs.`,
		Example: `  mailrow retention run --dry-run
  mailrow retention run`,
		RunE: func(c *cobra.Command, _ []string) error {
			if batch < 1 || batch > 100_000 {
				return misused(c, "--batch %d: it is a number of mails from 1 to 100000", batch)
			}
			if asJSON && !dry {
				return misused(c, "--json is for --dry-run")
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				if dry {
					return p.dryRun(ctx, conn, batch, asJSON)
				}
				return p.applyRules(ctx, conn, batch)
			})
		},
	}
	flags := c.Flags()
	flags.BoolVar(&dry, "dry-run", false, "list what would go, remove nothing")
	flags.IntVar(&batch, "batch", 1000, "so `many` mails in a transaction")
	flags.BoolVar(&asJSON, "json", false, "with --dry-run: print one JSON object a line")
	return c
}

func (p *program) dryRun(ctx context.Context, conn *pgx.Conn, batch int, asJSON bool) error {
	return retention.DryRun(ctx, conn, batch, func(place retention.Place, e retention.Expired) error {
		if asJSON {
			return p.writeJSON(struct {
				retention.Expired
				Account string `json:"account"`
				Mailbox string `json:"mailbox"`
			}{e, place.Account, place.Mailbox})
		}
		return p.write(fmt.Sprintf("%d\t%s\t%s\t%s\trule %d\n", e.ID, e.ReceivedAt.Format(time.RFC3339),
			printable(place.Account), printable(place.Mailbox), e.Rule))
	})
}

func (p *program) applyRules(ctx context.Context, conn *pgx.Conn, batch int) error {
	line := p.progress("remove", 0)
	defer line.end()
	removed := map[int64]int{}
	total := 0
	err := retention.Run(ctx, conn, batch, func(place retention.Place, n int) {
		removed[place.Rule] += n
		total += n
		line.at(int64(total))
	})
	line.end()
	var b strings.Builder
	for _, rule := range slices.Sorted(maps.Keys(removed)) {
		fmt.Fprintf(&b, "rule %d: %d mails removed\n", rule, removed[rule])
	}
	if total == 0 && err == nil {
		b.WriteString("no mail to remove\n")
	}
	if wrote := p.write(b.String()); wrote != nil {
		return wrote
	}
	return soFar(ctx, err, "start again to go on")
}
