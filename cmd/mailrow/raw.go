package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

func (p *program) rawCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "raw ID",
		Short: "Write a mail, byte for byte as it was received",
		Long: `Writes the exact bytes to standard output. It refuses a terminal, which would
obey what is in them. After an error the output is not the mail: its end is
missing, or its SHA-256 is not that of what was received.`,
		Example: `  mailrow raw 42 > 42.eml
  mailrow raw 42 | less`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(c, args[0])
			if err != nil {
				return err
			}
			return p.raw(c, id)
		},
	}
}

func (p *program) raw(c *cobra.Command, id int64) error {
	if isTerminal(p.out) {
		return fmt.Errorf("mail %d is not for a terminal, which would obey its control characters: mailrow raw %[1]d | less", id)
	}
	return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
		return missing(archive.WriteRaw(ctx, conn, id, p.out))
	})
}
