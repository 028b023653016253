package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/server"
	"mailrow/deliver"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
	"mailrow/store/search"
)

// archive is a database with so many mails of one account.
type archive struct {
	mails     int
	dsn       string
	made      *madeArchive
	imported  int // of mails
	delivered int // beyond them, to measure deliveries
}

// open makes the database of an archive, or finds it as an earlier run left it.
func open(ctx context.Context, s *server.Server, mails int, p *prose) (*archive, error) {
	a := &archive{mails: mails, made: &madeArchive{prose: p, mails: mails}}
	name := fmt.Sprintf("growth_%d", mails)
	var err error
	if a.dsn, err = s.Named(ctx, name); err != nil {
		return nil, err
	}
	if err := a.count(ctx); err != nil {
		return nil, err
	}
	// Earlier runs have measured so much that it is not of this size any more.
	if a.delivered > mails/2 {
		err := server.With(ctx, s.DSN, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "drop database "+name)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("remove database %s: %w", name, err)
		}
		return open(ctx, s, mails, p)
	}
	return a, nil
}

func (a *archive) count(ctx context.Context) error {
	return server.With(ctx, a.dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			select count(*) filter (where source = 'import'), count(*) filter (where source <> 'import') from mailrow.deliveries`).
			Scan(&a.imported, &a.delivered)
	})
}

const (
	fillConnections = 2
	// What was under way when an earlier run ended may lie behind what was stored.
	fillAgain = 20_000
	noteEvery = 100_000
)

// fill loads what is not there yet, as mailrow import does, and indexes it.
func (a *archive) fill(ctx context.Context) error {
	if a.imported < a.mails {
		if err := a.load(ctx); err != nil {
			return fmt.Errorf("fill an archive of %d mails: %w", a.mails, err)
		}
	}
	indexed, err := a.index(ctx)
	if err != nil {
		return err
	}
	if indexed == 0 && a.imported == a.mails {
		return nil
	}
	err = server.With(ctx, a.dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "vacuum analyze")
		return err
	})
	return errors.Join(err, a.count(ctx))
}

func (a *archive) load(ctx context.Context) error {
	config, err := store.ParseConfig(a.dsn)
	if err != nil {
		return err
	}
	start, first, done := time.Now(), max(0, a.imported-fillAgain), 0
	var failed error
	l, err := load.Open(ctx, config, load.Options{Connections: fillConnections, Done: func(r load.Result) {
		failed = errors.Join(failed, r.Err)
		if done++; done%noteEvery == 0 {
			note("%d of %d mails are stored, %.0f/s", first+done, a.mails, float64(done)/time.Since(start).Seconds())
		}
	}})
	if err != nil {
		return err
	}
	for n := first; n < a.mails; n++ {
		if err := l.Add(ctx, a.importOf(n)); err != nil {
			return errors.Join(err, l.Close(), failed)
		}
	}
	return errors.Join(l.Close(), failed)
}

// importOf is mail n as an import hands it over.
func (a *archive) importOf(n int) *store.Delivery {
	mail := a.made.mail(n)
	d := deliveryOf(n, mail)
	d.Mailbox = mail.mailbox
	d.Envelope.Source, d.Envelope.ReceivedAt, d.Envelope.Flags = "import", mail.receivedAt, mail.flags
	return d
}

// deliveryOf is mail n as a daemon hands it over, but for what is to be parsed.
func deliveryOf(n int, mail madeMail) *store.Delivery {
	sender := address(person(n))
	d := deliver.Address(deliver.Config{}, message.Envelope{
		Source: "lmtp", Sender: &sender, ClientHelo: "relay.example.net", QueueID: "4XyZ1",
		Recipients: []message.Recipient{{Address: archiveOwner}},
	})
	d.Raw = mail.raw
	return d
}

// index adds all to the index of the search, over as many connections as the load.
func (a *archive) index(ctx context.Context) (total int64, err error) {
	type result struct {
		mails int64
		err   error
	}
	ended := make(chan result, fillConnections)
	for i := range fillConnections {
		go func() {
			var r result
			r.err = server.With(ctx, a.dsn, func(conn *pgx.Conn) error {
				next, start := int64(noteEvery), time.Now()
				r.mails, r.err = search.Index(ctx, conn, func(done int64) {
					if done >= next {
						note("indexer %d of %d mails: %d mails, %.0f/s", i+1, a.mails, done, float64(done)/time.Since(start).Seconds())
						next += noteEvery
					}
				})
				return r.err
			})
			ended <- r
		}()
	}
	for range fillConnections {
		r := <-ended
		total, err = total+r.mails, errors.Join(err, r.err)
	}
	return total, err
}
