package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/source"
)

func (p *program) sourceAlarmsCommand() *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "alarms [SOURCE]",
		Short: "List what is wrong with sources for longer than one run",
		Long: `Lists view mailrow.alarms, with the remedy of each:

  authentication  the source cannot be logged into
  failing         three runs in a row did not get to their end
  quarantined     mail was given up: mailrow source failed lists it
  silent          no mail for far longer than usual

An alarm begins and ends with a run of mailrow poll. Of a paused source it stays.`,
		Example: `  mailrow source alarms
  mailrow source alarms ann --all --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				of, err := namedSource(ctx, c, conn, args)
				if err != nil {
					return err
				}
				list, err := source.Alarms(ctx, conn, of.ID, all)
				if err != nil {
					return err
				}
				return writeRows(p, asJSON, list, "SOURCE\tALARM\tSINCE\tUNTIL\tRUNS\tREASON", func(a source.Alarm) string {
					until := "now"
					if a.Until != nil {
						until = a.Until.Format(time.RFC3339)
					}
					return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", printable(a.Source), a.Kind, a.Since.Format(time.RFC3339), until, a.Runs, printable(a.Reason))
				})
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list also those of the last 90 days that are over")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

// namedSource is the source that the only argument names; zero without one.
func namedSource(ctx context.Context, c *cobra.Command, conn *pgx.Conn, args []string) (source.Source, error) {
	if len(args) == 0 {
		return source.Source{}, nil
	}
	return findSource(ctx, c, conn, args[0])
}
