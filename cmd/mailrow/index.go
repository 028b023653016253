package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
	"mailrow/store/search"
)

func (p *program) indexCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "index",
		Short: "Add the words of new mail to the index of the search",
		Long: `Indexes what was delivered since the last run, until nothing is left, and prints
how many mails that were. A delivery leaves it for later. Searches find new mail
also before: they read what is not indexed, so run it often, or let it --watch,
which looks every second or, when no mail comes, every ten; it outlives a restart
of the database. Several may run at once.`,
		Example: `  mailrow index
  mailrow index --watch`,
		RunE: func(c *cobra.Command, _ []string) error {
			if watch {
				return p.watch(c)
			}
			return p.with(c, p.index)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on until stopped")
	return c
}

func (p *program) index(ctx context.Context, conn *pgx.Conn) error {
	bar := p.progress("index", 0)
	done, err := search.Index(ctx, conn, bar.at)
	bar.end()
	if err != nil {
		return soFar(ctx, err, "%d mails were indexed: start again to go on", done)
	}
	return p.write(fmt.Sprintf("indexed %d\n", done))
}

func (p *program) watch(c *cobra.Command) error { return p.indexAlong(c.Context(), c) }

// indexAlong indexes what comes until ctx ends.
func (p *program) indexAlong(ctx context.Context, c *cobra.Command) error {
	log := p.log()
	return search.Watch(ctx,
		func(context.Context) (*pgx.Conn, error) { return p.open(c) },
		func(done int64) { log.Info().Int64("mails", done).Msg("indexed") },
		func(err error) {
			fmt.Fprintln(p.err, time.Now().Format(time.DateTime)+" mailrow: "+line(err))
		})
}

func (p *program) setLanguageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set-language ACCOUNT LANGUAGE",
		Short: "Set the language in which the mail of an account is searched",
		Long: `LANGUAGE is a text search configuration of PostgreSQL: simple, which takes words
as they are and is what accounts begin with, or english, german and the like,
which search for all forms of a word and leave out the most common ones. \dF in
psql lists them. All mail of the account is indexed anew, in one transaction.`,
		Example: `  mailrow set-language ann@example.com english`,
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				account, language := args[0], args[1]
				switch err := search.SetLanguage(ctx, conn, account, language); {
				case errors.Is(err, search.ErrNoAccount):
					return missing(cmp.Or(archive.FindPlace(ctx, conn, account, ""), fmt.Errorf("%w %q", err, account)))
				case errors.Is(err, search.ErrNoLanguage):
					return fmt.Errorf("%w %q: select cfgname from pg_ts_config lists them", err, language)
				case err != nil:
					return err
				}
				return p.write(fmt.Sprintf("%s is searched in %s\n", printable(account), printable(language)))
			})
		},
	}
}
