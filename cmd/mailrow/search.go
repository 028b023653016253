package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/search"
)

func (p *program) searchCommand() *cobra.Command {
	var options search.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "search QUERY...",
		Short: "Search mail for words and by operators",
		Long: `Searches the mail that the connected role may read, the newest first. Put the
query in single quotes, so that the shell leaves it alone. Upper and lower case
and accents make no difference. The answer is complete, also where mailrow index
has not been yet.

  invoice paid           both words, anywhere: subject, addresses, text, file names
  "invoice paid"         these words in this order
  invoic*                words that begin so
  invoice or receipt     one of the two neighbours, or both
  -paid  -"paid in full"  without it
  (a or b) -(c d)        groups
  from:ann               in name or address of the sender; also to: cc: recipient: list:
  subject:"big sale"     in the subject
  has:attachment         also filename:report, and type:pdf, type:image,
                         type:spreadsheet, type:application/pdf
  after:2026-01-31       received that day or later; 2026-01, 2026, today, yesterday,
                         and 7d, 3w, 2m, 1y for so long ago
  before:2026-02         received before
  larger:5M smaller:10K  bytes of the mail
  in:INBOX in:Archive/*  mailbox, or all that begin so
  account:ann@x.org      account
  thread:42              the conversation of mail 42
  is:unread              also read, flagged, answered, draft

On a terminal an excerpt with the hits is below each mail; otherwise a line has
id, time, account, mailbox, sender, subject and excerpt between tabs.`,
		Example: `  mailrow search 'from:ann invoice -draft after:2026'
  mailrow search --rank 'subject:"quarterly report" or filename:report'
  mailrow search --limit 0 --json 'has:attachment larger:5M' | jq .id`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if options.Limit < 0 {
				return misused(c, "--limit %d: it is a number of mails, 0 for all", options.Limit)
			}
			return p.within(c, options.Account, "", func(ctx context.Context, conn *pgx.Conn) error {
				return p.search(ctx, conn, strings.Join(args, " "), options, asJSON)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&options.Account, "account", "", "only this `account`")
	flags.IntVar(&options.Limit, "limit", 20, "at most so `many`; 0 for all")
	flags.BoolVar(&options.Ranked, "rank", false, "the best of the newest 500 matches first, instead of the newest")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return c
}

// Hits come between these, which printable would not let through.
const hitStart, hitEnd = "\x01", "\x02"

func (p *program) search(ctx context.Context, conn *pgx.Conn, query string, options search.Options, asJSON bool) error {
	terminal := isTerminal(p.out) && !asJSON
	if terminal {
		options.Highlight = [2]string{hitStart, hitEnd}
	}
	results, err := search.Search(ctx, conn, query, options)
	if err != nil {
		return err
	}
	if asJSON {
		for _, r := range results {
			if err := p.writeJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	if !terminal {
		for _, r := range results {
			fmt.Fprintf(&b, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.ReceivedAt.Format(time.RFC3339), printable(r.Account), printable(r.Mailbox),
				printable(text(r.FromAddress)), printable(text(r.Subject)), printable(r.Excerpt))
		}
		return p.write(b.String())
	}
	width := len("ID")
	for _, r := range results {
		width = max(width, len(fmt.Sprint(r.ID)))
	}
	fmt.Fprintf(&b, "%-*s  %-16s  %-30s  %s\n", width, "ID", "RECEIVED", "FROM", "SUBJECT")
	for _, r := range results {
		fmt.Fprintf(&b, "%-*d  %-16s  %-30s  %s\n", width, r.ID, r.ReceivedAt.Local().Format("2006-01-02 15:04"),
			shortened(sender(r), 30), shortened(text(r.Subject), 60))
		if r.Excerpt != "" {
			fmt.Fprintf(&b, "%-*s  %s\n", width, "", p.highlighted(r.Excerpt))
		}
	}
	return p.write(b.String())
}

func sender(r search.Result) string {
	if name := text(r.FromName); name != "" {
		return name
	}
	return text(r.FromAddress)
}

// highlighted shows hits in bold, or without colours between quotes. Nothing
// else in the excerpt gets to the terminal but through printable.
func (p *program) highlighted(excerpt string) string {
	start, end := "\x1b[1m", "\x1b[0m"
	if p.getenv("NO_COLOR") != "" {
		start, end = "«", "»"
	}
	var b strings.Builder
	for i, piece := range strings.Split(excerpt, hitStart) {
		hit, rest, found := strings.Cut(piece, hitEnd)
		if i == 0 || !found {
			b.WriteString(printable(strings.ReplaceAll(piece, hitEnd, "")))
			continue
		}
		b.WriteString(start + printable(hit) + end + printable(strings.ReplaceAll(rest, hitEnd, "")))
	}
	return b.String()
}
