package main

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

// selection is the flags that select mail.
type selection struct {
	archive.Filter
	since, before string
}

func (s *selection) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&s.Account, "account", "", "only this `account`")
	flags.StringVar(&s.Mailbox, "mailbox", "", "only this `mailbox`")
	flags.StringVar(&s.since, "since", "", "only what came since then: 90m, 24h, 7d, 3w, today, 2026-01-31 or \"2026-01-31 15:04\"")
	flags.StringVar(&s.before, "before", "", "only what came before then")
	flags.StringVar(&s.Query, "query", "", "only what mailrow search finds with these `words`")
}

// read makes a filter of the flags, and of ids.
func (s *selection) read(c *cobra.Command, ids []string) error {
	if c.Flags().Changed("query") && strings.TrimSpace(s.Query) == "" {
		return misused(c, "--query is empty, which would select all mail")
	}
	for name, limit := range map[string]struct {
		text string
		at   *time.Time
	}{"--since": {s.since, &s.Since}, "--before": {s.before, &s.Before}} {
		if limit.text == "" {
			continue
		}
		var err error
		if *limit.at, err = parseSince(limit.text, time.Now()); err != nil {
			return misused(c, "%s %w", name, err)
		}
	}
	for _, id := range ids {
		n, err := parseID(c, id)
		if err != nil {
			return err
		}
		s.IDs = append(s.IDs, n)
	}
	return nil
}

// narrow leaves the mail that there is of the ids that were given; lost names
// the others. It is an error if there is none.
func (s *selection) narrow(ctx context.Context, conn *pgx.Conn) (lost, err error) {
	if s.IDs == nil {
		return nil, nil
	}
	ids, lost, err := found(ctx, conn, s.Filter)
	if err == nil && len(ids) == 0 {
		err = lost
	}
	s.Filter = archive.Filter{IDs: ids}
	return lost, err
}
