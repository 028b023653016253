package main

import (
	"context"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
	"mailrow/store/queue"
)

// awaited is what mailrow wait prints of the mail.
type awaited struct {
	what string // id, text, html, raw or json
	link *regexp.Regexp
}

func (p *program) waitCommand() *cobra.Command {
	var filter queue.Filter
	var timeout, since time.Duration
	var what awaited
	var link string
	c := &cobra.Command{
		Use:   "wait",
		Short: "Wait for a mail, such as the one that a sign-up sends",
		Long: `Waits until a mail is there that matches all that is asked for, and prints its
id. Mail that came up to --since ago counts as well, the newest first, so the
mail may be faster than this command. Exit status 1 says that none came.

--to matches the envelope and the fields To and Cc. --query is in the language of
mailrow.search().`,
		Example: `  mailrow wait --to bob@example.org --subject "confirm your address"
  mailrow wait --to bob@example.org --link /confirm --timeout 1m
  mailrow wait --query 'from:shop has:attachment' --print json | jq -r .subject`,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			switch {
			case filter == queue.Filter{}:
				return misused(c, "say what mail to wait for: --to, --from, --subject or --query")
			case timeout < 0 || since < 0:
				return misused(c, "--timeout and --since are times such as 30s")
			case !strings.Contains(" id text html raw json ", " "+what.what+" "):
				return misused(c, "--print %s: it is id, text, html, raw or json", what.what)
			case link != "":
				if what.link, err = regexp.Compile(link); err != nil {
					return misused(c, "--link: %w", err)
				}
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				id, found, err := queue.Wait(ctx, conn, filter.String(), timeout, since)
				if err != nil {
					return err
				}
				if !found {
					return fmt.Errorf("no mail came in %v that matches %s", timeout, filter)
				}
				return p.showAwaited(ctx, conn, id, what)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&filter.To, "to", "", "a recipient's `address`")
	flags.StringVar(&filter.From, "from", "", "the sender's `address` or name")
	flags.StringVar(&filter.Subject, "subject", "", "`words` of the subject, one after the other")
	flags.StringVar(&filter.Query, "query", "", "what mailrow.search() is to find")
	flags.DurationVar(&timeout, "timeout", 30*time.Second, "wait no longer than this `time`")
	flags.DurationVar(&since, "since", time.Minute, "take mail that came up to this `time` ago")
	flags.StringVar(&what.what, "print", "id", "print `what`: id, text, html, raw or json")
	flags.StringVar(&link, "link", "", "print the first link that matches this `regexp` instead")
	return c
}

func (p *program) showAwaited(ctx context.Context, conn *pgx.Conn, id int64, show awaited) error {
	switch {
	case show.link != nil:
		body, err := archive.ReadBody(ctx, conn, id)
		if err != nil {
			return missing(err)
		}
		for _, link := range links(text(body.Text), text(body.HTML)) {
			if show.link.MatchString(link) {
				return p.write(printable(link) + "\n")
			}
		}
		return fmt.Errorf("mail %d has no link that matches %s", id, show.link)
	case show.what == "text" || show.what == "html":
		body, err := archive.ReadBody(ctx, conn, id)
		if err != nil {
			return missing(err)
		}
		shown := text(body.Text)
		if show.what == "html" {
			shown = text(body.HTML)
		}
		if isTerminal(p.out) {
			lines := strings.Split(shown, "\n")
			for i := range lines {
				lines[i] = printable(strings.ReplaceAll(lines[i], "\t", "    "))
			}
			shown = strings.Join(lines, "\n")
		}
		return p.write(shown)
	case show.what == "raw":
		if isTerminal(p.out) {
			return fmt.Errorf("mail %d is not for a terminal, which would obey its control characters: mailrow raw %[1]d | less", id)
		}
		return missing(archive.WriteRaw(ctx, conn, id, p.out))
	case show.what == "json":
		m, err := archive.Find(ctx, conn, id)
		if err != nil {
			return missing(err)
		}
		body, err := archive.ReadBody(ctx, conn, id)
		if err != nil {
			return missing(err)
		}
		return p.writeJSON(struct {
			archive.Mail
			archive.Body
			Links []string `json:"links"`
		}{m, body, links(text(body.Text), text(body.HTML))})
	}
	return p.write(fmt.Sprintln(id))
}

var link = regexp.MustCompile(`(?i)https?://[^\s<>"'()\[\]{}\\^` + "`" + `]+`)

// links are the links of a mail in their order, those of the text first.
func links(text, markup string) []string {
	all := []string{}
	seen := map[string]bool{}
	for _, found := range append(link.FindAllString(text, -1), link.FindAllString(html.UnescapeString(markup), -1)...) {
		// What ends a sentence is seldom part of a link.
		found = strings.TrimRight(found, ".,;:!?")
		if !seen[found] {
			seen[found] = true
			all = append(all, found)
		}
	}
	return all
}
