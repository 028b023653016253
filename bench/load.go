package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/floor"
	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// measureLoading compares what mailrow import does with a bare COPY of the same
// mails over one connection, into one bytea column of the same compression. Each
// pass stores them in empty tables.
func measureLoading(ctx context.Context, r *report.Report, srv *server.Server, passes int, c *mail.Set) error {
	t := report.Table{Title: "Import", Columns: []string{"mails", "", "MB", "import, MB/s", "bare COPY, MB/s", "ratio of medians", "p10 of ratios"},
		Notes: "Import parses and stores mails, deliveries, parts, addresses, threads and attachments, over three connections."}
	dsn, err := srv.Migrated(ctx)
	if err != nil {
		return err
	}
	sets := []struct {
		name  string
		mails [][]byte
	}{{"all", c.Mails}, {"mailing list with attachments", c.List}, {"single mails", c.Rest}}
	for _, set := range sets {
		if len(set.mails) == 0 {
			continue
		}
		mb := float64(mail.Total(set.mails)) / 1e6
		var loads, copies, ratios report.Series
		for i := range passes + 1 {
			if err := empty(ctx, dsn); err != nil {
				return err
			}
			loaded, err := timed(func() error { return loadAll(ctx, dsn, set.mails) })
			if err != nil {
				return err
			}
			copied, err := timed(func() error { return floor.Copy(ctx, dsn, set.mails) })
			if err != nil {
				return err
			}
			if i > 0 { // the first pass fills caches
				loads, copies = append(loads, mb/loaded), append(copies, mb/copied)
				ratios = append(ratios, copied/loaded)
			}
		}
		ratio := loads.Median() / copies.Median()
		t.Add(fmt.Sprint(len(set.mails)), set.name, report.Format(mb, 0), report.Format(loads.Median(), 0), report.Format(copies.Median(), 0),
			report.Format(ratio, 2), report.Format(ratios.P10(), 2))
		r.Goals = append(r.Goals, report.Goal{What: "import ÷ bare COPY: " + set.name, Target: 0.4, AtLeast: true, Got: ratio})
	}
	r.Tables = append(r.Tables, t)
	return nil
}

// empty removes what the last pass stored, and lets no checkpoint of it slow down the next.
func empty(ctx context.Context, dsn string) error {
	return server.With(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "truncate bare.loaded, mailrow.grants, "+loadedTables+" cascade")
		if err == nil {
			_, err = conn.Exec(ctx, "checkpoint")
		}
		return err
	})
}

func timed(do func() error) (seconds float64, err error) {
	runtime.GC()
	start := time.Now()
	err = do()
	return time.Since(start).Seconds(), err
}

// loadedTables are all that a load fills.
const loadedTables = `mailrow.accounts, mailrow.mailboxes, mailrow.messages, mailrow.deliveries, mailrow.message_parts,
	mailrow.message_addresses, mailrow.blobs, mailrow.thread_ids, mailrow.identities`

func loadAll(ctx context.Context, dsn string, mails [][]byte) error {
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return err
	}
	var failed error
	l, err := load.Open(ctx, config, load.Options{Done: func(r load.Result) { failed = errors.Join(failed, r.Err) }})
	if err != nil {
		return err
	}
	const to = "import@example.org"
	for _, raw := range mails {
		err := l.Add(ctx, &store.Delivery{
			Raw: raw, Account: to,
			Envelope: &message.Envelope{Source: "import", Recipients: []message.Recipient{{Address: to}}},
			Lookups:  []store.Lookup{{Address: to, Base: to}},
		})
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return errors.Join(l.Close(), failed)
}
