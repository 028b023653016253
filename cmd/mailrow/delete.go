package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

func (p *program) deleteCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "delete ID...",
		Short: "Remove mail for good",
		Long: `Removes these arrivals, each in a transaction of its own. The content goes with
its last arrival in the account. There is no way back.`,
		Example: `  mailrow delete 42
  mailrow delete --yes 42 43`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids := make([]int64, len(args))
			for i, arg := range args {
				var err error
				if ids[i], err = parseID(c, arg); err != nil {
					return err
				}
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				return p.delete(ctx, conn, ids, yes)
			})
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (p *program) delete(ctx context.Context, conn *pgx.Conn, ids []int64, yes bool) error {
	if !yes {
		agreed, err := p.agreed(ctx, conn, ids)
		if err != nil || !agreed {
			return err
		}
	}
	var failed error
	for _, id := range ids {
		if err := archive.Delete(ctx, conn, id); err != nil {
			failed = errors.Join(failed, missing(err))
			continue
		}
		if err := p.write(fmt.Sprintf("deleted %d\n", id)); err != nil {
			return err
		}
	}
	return failed
}

// agreed shows what would go and asks.
func (p *program) agreed(ctx context.Context, conn *pgx.Conn, ids []int64) (bool, error) {
	for _, id := range ids {
		m, err := archive.Find(ctx, conn, id)
		if err != nil {
			return false, missing(err)
		}
		fmt.Fprintf(p.err, "%d: %s, from %s, %s\n", m.ID, printable(m.Account), printable(from(m)), shortened(text(m.Subject), 60))
	}
	if !isTerminal(p.in) {
		return false, errors.New("nothing deleted: there is no terminal to ask on: use --yes")
	}
	fmt.Fprintf(p.err, "Delete for good? [y/N] ")
	answer, err := bufio.NewReader(p.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, errors.New("nothing deleted")
}
