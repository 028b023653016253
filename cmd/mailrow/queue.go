package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/cmd/mailrow/worker"
	"mailrow/internal/nearest"
	"mailrow/store/queue"
)

func (p *program) queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "Hand mail to programs, each mail at least once",
		Long: `A consumer is handed every mail that the role may read, and every mail again
until it is acknowledged. Programs use the functions mailrow.claim(), ack() and
nack() in SQL; run calls a command for each mail instead. Consumers come to be
with their first claim; select mailrow.consumer(…) makes one that wants only some
of the mail.`,
		Example: `  mailrow queue run indexer -- /usr/local/bin/index-mail
  mailrow queue list
  mailrow queue dead indexer
  mailrow queue revive indexer`,
	}
	c.AddCommand(p.queueListCommand(), p.queueRunCommand(), p.queueDeadCommand(), p.queueReviveCommand(), p.queueDropCommand())
	return c
}

func (p *program) queueListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the consumers and what is before them",
		Long: `Lists view mailrow.queue_status: the consumers of the connected role, and of
roles that it is a member of. WAITING counts to some 1000.`,
		Example: `  mailrow queue list --json | jq 'select(.dead > 0)'`,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				list, err := queue.Consumers(ctx, conn)
				if err != nil {
					return err
				}
				return writeRows(p, asJSON, list, "CONSUMER\tOWNER\tACCOUNT\tMAILBOX\tWAITING\tIN HAND\tDELAYED\tDEAD", func(s queue.Status) string {
					return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d", printable(s.Consumer), printable(s.Owner),
						printable(orAll(s.Account)), printable(orAll(s.Mailbox)), s.Waiting, s.InHand, s.Delayed, s.Dead)
				})
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func orAll(name *string) string {
	if name == nil {
		return "*"
	}
	return *name
}

// writeRows writes a list: JSON, columns for a terminal, tabs for programs.
func writeRows[T any](p *program, asJSON bool, list []T, head string, row func(T) string) error {
	if asJSON {
		for _, v := range list {
			if err := p.writeJSON(v); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	if !isTerminal(p.out) {
		for _, v := range list {
			b.WriteString(row(v) + "\n")
		}
		return p.write(b.String())
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, v := range list {
		fmt.Fprintln(w, row(v))
	}
	w.Flush()
	return p.write(b.String())
}

func (p *program) queueDeadCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "dead [CONSUMER]",
		Short:   "List the mail that consumers gave up, with the reason",
		Example: `  mailrow queue dead indexer`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				list, err := queue.DeadLetters(ctx, conn, strings.Join(args, ""))
				if err == nil && len(list) == 0 && len(args) > 0 {
					err = findConsumer(ctx, conn, args[0])
				}
				if err != nil {
					return err
				}
				return writeRows(p, asJSON, list, "CONSUMER\tID\tATTEMPTS\tDIED\tACCOUNT\tREASON", func(l queue.DeadLetter) string {
					return fmt.Sprintf("%s\t%d\t%d\t%s\t%s\t%s", printable(l.Consumer), l.ID, l.Attempts,
						l.DiedAt.Format(time.RFC3339), printable(l.Account), printable(text(l.Reason)))
				})
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func (p *program) queueReviveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revive CONSUMER [ID...]",
		Short: "Hand dead letters out again: these, or all of a consumer",
		Example: `  mailrow queue revive indexer 42
  mailrow queue revive indexer`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids := []int64{}
			for _, arg := range args[1:] {
				id, err := parseID(c, arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			if len(ids) == 0 {
				ids = append(ids, 0)
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				return p.revive(ctx, conn, args[0], ids)
			})
		},
	}
}

// revive hands dead letters out again; 0 stands for all of the consumer's.
func (p *program) revive(ctx context.Context, conn *pgx.Conn, consumer string, ids []int64) error {
	revived := 0
	var lost []string
	for _, id := range ids {
		n, err := queue.Revive(ctx, conn, consumer, id)
		if err != nil {
			return err
		}
		revived += n
		if n == 0 && id != 0 {
			lost = append(lost, strconv.FormatInt(id, 10))
		}
	}
	if revived == 0 {
		if err := findConsumer(ctx, conn, consumer); err != nil {
			return err
		}
	}
	if err := p.write(fmt.Sprintf("revived %d\n", revived)); err != nil || lost == nil {
		return err
	}
	return fmt.Errorf("mail %s is no dead letter of %s: mailrow queue dead lists them", strings.Join(lost, ", "), consumer)
}

// findConsumer is an error where there is no such consumer.
func findConsumer(ctx context.Context, conn *pgx.Conn, name string) error {
	list, err := queue.Consumers(ctx, conn)
	if err != nil {
		return err
	}
	names := func(yield func(string) bool) {
		for _, s := range list {
			if !yield(s.Consumer) {
				return
			}
		}
	}
	for found := range names {
		if found == name {
			return nil
		}
	}
	return fmt.Errorf("%w %q, or none that this role may use: %s", queue.ErrNoConsumer, name,
		cmp.Or(alternatives(nearest.Names(name, names)), "mailrow queue list shows them"))
}

func (p *program) queueDropCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "drop CONSUMER",
		Short:   "Remove a consumer, with what it had in hand and gave up",
		Long:    `Removes a consumer. No mail is deleted; one of that name begins anew with the oldest.`,
		Example: `  mailrow queue drop indexer`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				err := queue.Drop(ctx, conn, args[0])
				if errors.Is(err, queue.ErrNoConsumer) {
					err = findConsumer(ctx, conn, args[0])
				}
				if err != nil {
					return err
				}
				return p.write(fmt.Sprintf("dropped %s\n", printable(args[0])))
			})
		},
	}
}

func (p *program) queueRunCommand() *cobra.Command {
	var w worker.Worker
	c := &cobra.Command{
		Use:   "run CONSUMER -- COMMAND...",
		Short: "Run a command for each mail, until told to stop",
		Long: `Runs the command for each mail of the consumer, one after the other: the mail byte
for byte on its standard input, and in its environment MAILROW_ID, MAILROW_ATTEMPT,
MAILROW_CONSUMER, MAILROW_ACCOUNT, MAILROW_MAILBOX, MAILROW_RECIPIENT, and
MAILROW_SENDER where the sender is known.

Exit status 0 acknowledges the mail. After any other it is handed out again, a
minute later, then two, four, up to an hour, with the last line of standard error
as the reason; after the last attempt it is a dead letter. The lease is extended
while the command runs. Several of these programs share the work.

SIGTERM and SIGINT: the mail in hand is finished, then this program ends.`,
		Example: `  mailrow queue run indexer -- /usr/local/bin/index-mail
  mailrow queue run archive --until-empty -- sh -c 'cat > /archive/$MAILROW_ID.eml'`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case c.ArgsLenAtDash() != 1:
				return misused(c, "write -- between the consumer and the command")
			case args[0] == "":
				return misused(c, "the name of the consumer is empty")
			case w.Batch < 1 || w.Batch > 10000:
				return misused(c, "--batch %d: it is 1 to 10000", w.Batch)
			case w.Lease < time.Second:
				return misused(c, "--lease %v: it is a second or more", w.Lease)
			}
			w.Consumer, w.Command = args[0], args[1:]
			w.Connect = func() (*pgx.Conn, error) { return p.open(c) }
			w.Stdout, w.Stderr, w.Log = p.out, p.err, p.log()
			w.Warn = func(err error) { fmt.Fprintln(p.err, "mailrow: "+line(err)) }
			return w.Run(c.Context())
		},
	}
	flags := c.Flags()
	flags.IntVar(&w.Batch, "batch", 1, "claim up to so `many` at once")
	flags.DurationVar(&w.Lease, "lease", 5*time.Minute, "how long a mail is kept from others after this program dies")
	flags.BoolVar(&w.UntilEmpty, "until-empty", false, "end when there is no mail to hand out")
	return c
}
