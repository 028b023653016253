package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

func (p *program) listCommand() *cobra.Command {
	var filter archive.Filter
	var since string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List stored mail, the newest first",
		Long: `Lists what view mailrow.mail shows to the connected role. On a terminal the
columns are aligned and the subject ends the line; otherwise a line has id,
time, account, mailbox, sender, size and subject between tabs.`,
		Example: `  mailrow list --account bob@example.org --since 24h
  mailrow list --since 2026-01-31 --limit 0 --json | jq .subject`,
		RunE: func(c *cobra.Command, _ []string) error {
			if filter.Limit < 0 {
				return misused(c, "--limit %d: it is a number of mails, 0 for all", filter.Limit)
			}
			if since != "" {
				var err error
				if filter.Since, err = parseSince(since, time.Now()); err != nil {
					return misused(c, "--since %w", err)
				}
			}
			return p.within(c, filter.Account, filter.Mailbox, func(ctx context.Context, conn *pgx.Conn) error {
				return p.list(ctx, conn, filter, asJSON)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&filter.Account, "account", "", "only this `account`")
	flags.StringVar(&filter.Mailbox, "mailbox", "", "only this `mailbox`")
	flags.StringVar(&since, "since", "", "only what came since then: 90m, 24h, 7d, 3w, today, 2026-01-31 or \"2026-01-31 15:04\"")
	flags.IntVar(&filter.Limit, "limit", 50, "at most so `many`; 0 for all")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

func (p *program) list(ctx context.Context, conn *pgx.Conn, filter archive.Filter, asJSON bool) error {
	mails, err := archive.List(ctx, conn, filter)
	if err != nil {
		return err
	}
	return p.writeMails(mails, asJSON)
}

// writeMails prints a line for each mail.
func (p *program) writeMails(mails []archive.Mail, asJSON bool) error {
	if asJSON {
		for _, m := range mails {
			if err := p.writeJSON(m); err != nil {
				return err
			}
		}
		return nil
	}
	if !isTerminal(p.out) {
		var b strings.Builder
		for _, m := range mails {
			fmt.Fprintf(&b, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n", m.ID, m.ReceivedAt.Format(time.RFC3339),
				printable(m.Account), printable(m.Mailbox), printable(from(m)), m.Size, printable(text(m.Subject)))
		}
		return p.write(b.String())
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tRECEIVED\tACCOUNT\tMAILBOX\tFROM\tSIZE\tSUBJECT")
	for _, m := range mails {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.ReceivedAt.Local().Format("2006-01-02 15:04"),
			shortened(m.Account, 30), shortened(m.Mailbox, 20), shortened(from(m), 30), bytesText(m.Size), shortened(text(m.Subject), 60))
	}
	w.Flush()
	return p.write(b.String())
}

// from is who a mail is from: what its header says, else the reverse-path.
func from(m archive.Mail) string {
	switch {
	case m.FromAddress != nil:
		return *m.FromAddress
	case m.Sender == nil:
		return ""
	case *m.Sender == "":
		return "<>"
	}
	return *m.Sender
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// shortened fits text of a mail into a column.
func shortened(s string, width int) string {
	r := []rune(printable(s))
	if len(r) > width {
		r = append(r[:width-1], '…')
	}
	return string(r)
}

func bytesText(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// maxAge in days is older than all mail, and not before the first day that
// PostgreSQL knows.
const maxAge = 1_000_000

// parseSince reads a duration before now, or a date in the local zone.
func parseSince(s string, now time.Time) (time.Time, error) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch s {
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	for unit, length := range map[string]int{"d": 1, "w": 7} {
		count, ok := strings.CutSuffix(s, unit)
		if n, err := strconv.Atoi(count); ok && err == nil && n >= 0 && n <= maxAge/length {
			return now.AddDate(0, 0, -n*length), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither so long ago as 24h, 7d or 3w nor a date such as 2026-01-31, today or yesterday", s)
}
