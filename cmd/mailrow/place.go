package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

// within lends a connection as with does, once it is sure that there are the
// account and the mailbox that the flags name: "" stands for all.
func (p *program) within(c *cobra.Command, account, mailbox string, use func(context.Context, *pgx.Conn) error) error {
	for _, flag := range []struct{ name, value string }{{"account", account}, {"mailbox", mailbox}} {
		if flag.value == "" && c.Flags().Changed(flag.name) {
			return misused(c, "--%s is empty: name one, or leave it out for all", flag.name)
		}
	}
	return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
		if account != "" || mailbox != "" {
			if err := archive.FindPlace(ctx, conn, account, mailbox); err != nil {
				return missing(err)
			}
		}
		return use(ctx, conn)
	})
}

// missing adds the remedy to an error about what is not there.
func missing(err error) error {
	var absent *archive.AbsentError
	switch {
	case errors.As(err, &absent):
		return fmt.Errorf("%w, or none that this role may see: %s", err,
			cmp.Or(alternatives(absent.Near), "mailrow list shows what there is"))
	case errors.Is(err, archive.ErrNotFound):
		return fmt.Errorf("%w, or none that this role may see: mailrow list shows what there is", err)
	}
	return err
}

// alternatives asks whether one of the names was meant, "" without any.
func alternatives(names []string) string {
	if len(names) == 0 {
		return ""
	}
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, strconv.Quote(name))
	}
	text, last := strings.Join(quoted[:len(quoted)-1], ", "), quoted[len(quoted)-1]
	if text != "" {
		last = " or " + last
	}
	return "did you mean " + text + last + "?"
}

// found gives the ids of those wanted that pass the filter, and an error that
// names the others.
func found(ctx context.Context, conn *pgx.Conn, filter archive.Filter) (ids []int64, lost, err error) {
	ids, err = archive.IDs(ctx, conn, filter)
	if err != nil {
		return nil, nil, err
	}
	there := map[int64]bool{}
	for _, id := range ids {
		there[id] = true
	}
	var missed []string
	for _, id := range filter.IDs {
		if !there[id] {
			missed = append(missed, strconv.FormatInt(id, 10))
		}
	}
	if len(missed) > 0 {
		lost = missing(fmt.Errorf("find mail %s: %w", strings.Join(missed, ", "), archive.ErrNotFound))
	}
	return ids, lost, nil
}
