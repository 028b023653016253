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
	var s selection
	var yes, dry bool
	c := &cobra.Command{
		Use:   "delete [ID...]",
		Short: "Remove mail for good",
		Long: `Removes the arrivals with these ids, each in a transaction of its own, or those
that are selected, some hundreds in a transaction. The content goes with its last
arrival in the account. There is no way back: it shows what would go and asks
first, and --dry-run only shows it.`,
		Example: `  mailrow delete 42
  mailrow delete --yes 42 43
  mailrow delete --account ann@example.com --mailbox Junk --before 90d --dry-run`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.read(c, args); err != nil {
				return err
			}
			if s.Empty() {
				return misused(c, "delete needs an ID, or a selection such as --query")
			}
			return p.within(c, s.Account, s.Mailbox, func(ctx context.Context, conn *pgx.Conn) error {
				return p.delete(ctx, conn, s, yes, dry)
			})
		},
	}
	s.flags(c)
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&dry, "dry-run", false, "list what would go, remove nothing")
	return c
}

// deleteBatch are the mails of a transaction.
const deleteBatch = 500

func (p *program) delete(ctx context.Context, conn *pgx.Conn, s selection, yes, dry bool) error {
	ids, lost, err := found(ctx, conn, s.Filter)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		if lost == nil && !dry {
			lost = p.write("deleted 0 mails\n")
		}
		return lost
	}
	if dry {
		list := func(mails []archive.Mail) error { return p.writeMails(mails, false) }
		return errors.Join(lost, archive.Pages(ctx, conn, archive.Filter{IDs: ids}, list))
	}
	if !yes {
		agreed, err := p.agreed(ctx, conn, ids)
		if err != nil || !agreed {
			return errors.Join(lost, err)
		}
	}
	if s.IDs != nil {
		return errors.Join(lost, p.deleteEach(ctx, conn, ids))
	}
	deleted := 0
	for len(ids) > 0 {
		n, err := archive.DeleteAll(ctx, conn, ids[:min(len(ids), deleteBatch)])
		if err != nil {
			err = fmt.Errorf("%w: %d are deleted", err, deleted)
			return errors.Join(lost, soFar(ctx, err, "%d mails are deleted: start again to go on", deleted))
		}
		deleted += n
		ids = ids[min(len(ids), deleteBatch):]
	}
	return p.write(fmt.Sprintf("deleted %d mails\n", deleted))
}

func (p *program) deleteEach(ctx context.Context, conn *pgx.Conn, ids []int64) error {
	var failed error
	for _, id := range ids {
		if err := archive.Delete(ctx, conn, id); err != nil {
			if ctx.Err() != nil {
				return errors.Join(failed, soFar(ctx, err, "what is deleted was printed: start again with the others"))
			}
			failed = errors.Join(failed, missing(err))
			continue
		}
		if err := p.write(fmt.Sprintf("deleted %d\n", id)); err != nil {
			return err
		}
	}
	return failed
}

// shownMails are shown by agreed; of more it tells how many they are.
const shownMails = 20

// agreed shows what would go and asks.
func (p *program) agreed(ctx context.Context, conn *pgx.Conn, ids []int64) (bool, error) {
	first, err := archive.List(ctx, conn, archive.Filter{IDs: ids, Limit: shownMails})
	if err != nil {
		return false, err
	}
	for _, m := range first {
		fmt.Fprintf(p.err, "%d: %s, from %s, %s\n", m.ID, printable(m.Account), printable(from(m)), shortened(text(m.Subject), 60))
	}
	if more := len(ids) - len(first); more > 0 {
		fmt.Fprintf(p.err, "and %d more: --dry-run lists them all\n", more)
	}
	if !isTerminal(p.in) {
		return false, errors.New("nothing deleted: there is no terminal to ask on: use --yes")
	}
	fmt.Fprintf(p.err, "Delete for good? [y/N] ")
	answer, err := p.answer(ctx)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return false, soFar(ctx, fmt.Errorf("read answer: %w", err), "nothing deleted")
	case answer == "y" || answer == "yes":
		return true, nil
	}
	return false, errors.New("nothing deleted")
}

// answer is a line that was typed, in lower case. A read knows nothing of
// signals, so the line may still be awaited when this is over.
func (p *program) answer(ctx context.Context) (string, error) {
	type typed struct {
		line string
		err  error
	}
	read := make(chan typed, 1)
	go func() {
		line, err := bufio.NewReader(p.in).ReadString('\n')
		read <- typed{strings.ToLower(strings.TrimSpace(line)), err}
	}()
	select {
	case t := <-read:
		return t.line, t.err
	case <-ctx.Done():
		fmt.Fprintln(p.err)
		return "", ctx.Err()
	}
}
