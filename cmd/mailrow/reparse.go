package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

func (p *program) reparseCommand() *cobra.Command {
	var which archive.Reparsing
	c := &cobra.Command{
		Use:   "reparse",
		Short: "Read stored mail again with this version's parser",
		Long: `Reads every message that an older version of the parser has read again: its
header, parts, text and addresses are written anew, its bytes never change. Each
message is a transaction of its own, so it can be stopped and goes on where it
was. Run it after an upgrade whose notes say so, then mailrow index.

It prints how many messages changed, and by which columns, parts or addresses.`,
		Example: `  mailrow reparse
  mailrow reparse --account bob@example.org --all`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.within(c, which.Account, "", func(ctx context.Context, conn *pgx.Conn) error {
				return p.reparse(ctx, conn, which)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&which.Account, "account", "", "only this `account`")
	flags.BoolVar(&which.All, "all", false, "also what this version has read already")
	return c
}

func (p *program) reparse(ctx context.Context, conn *pgx.Conn, which archive.Reparsing) error {
	total, err := archive.ReparseCount(ctx, conn, which)
	if err != nil {
		return err
	}
	bar := p.progress("reparse", total)
	sum, err := archive.Reparse(ctx, conn, which, func(sum archive.Reparsed) {
		bar.at(sum.Messages + int64(len(sum.Failed)))
	})
	bar.end()
	if which.All {
		err = soFar(ctx, err, "what was read again stays so; --all begins anew")
	} else {
		err = soFar(ctx, err, "start again to go on")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages read again, %d changed\n", sum.Messages, sum.Changed)
	for _, column := range slices.Sorted(maps.Keys(sum.Columns)) {
		fmt.Fprintf(&b, "  %s: %d\n", column, sum.Columns[column])
	}
	if err := p.write(b.String()); err != nil {
		return err
	}
	for _, failed := range sum.Failed {
		fmt.Fprintln(p.err, "mailrow: "+line(failed))
	}
	if err == nil && len(sum.Failed) > 0 {
		return errReported
	}
	return err
}
