package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

func (p *program) threadCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "thread ID",
		Short: "List the conversation that a mail belongs to, the oldest first",
		Long: `Lists the mails of the conversation, the given one included, in the order in
which they arrived and in the form of mailrow list.`,
		Example: `  mailrow thread 42
  mailrow thread 42 --json | jq .subject`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(c, args[0])
			if err != nil {
				return err
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				mails, err := archive.Thread(ctx, conn, id)
				if err != nil {
					return missing(err)
				}
				return p.writeMails(mails, asJSON)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}
