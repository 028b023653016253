package importer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/store"
)

// Deliverer is a sink that delivers each mail by itself.
type Deliverer struct {
	config  *store.Config
	waiting func(error)
	free    chan *store.Conn // nil for one that is yet to be opened
}

// NewDeliverer makes a sink of so many connections.
func NewDeliverer(config *store.Config, connections int, waiting func(error)) *Deliverer {
	d := &Deliverer{config: config, waiting: waiting, free: make(chan *store.Conn, connections)}
	for range connections {
		d.free <- nil
	}
	return d
}

// Add stores a mail.
func (d *Deliverer) Add(ctx context.Context, mail *store.Delivery, done func(store.Outcome, error)) error {
	conn := <-d.free
	defer func() { d.free <- conn }()
	var results []store.Result
	err := insist(ctx, d.waiting, func() (err error) {
		if conn == nil {
			if conn, err = store.Connect(ctx, d.config); err != nil {
				return err
			}
			if err = conn.Prepare(ctx); err != nil {
				conn.Close(ctx)
				conn = nil
				return err
			}
		}
		results, err = conn.Deliver(ctx, mail)
		var pg *pgconn.PgError
		if err != nil && (!errors.As(err, &pg) || pg.Severity == "FATAL") {
			conn.Close(ctx)
			conn = nil
		}
		return err
	})
	switch {
	case err == nil:
		done(results[0].Outcome, nil)
	case isOfThisMail(err):
		done("", fmt.Errorf("store: %w", err))
	default:
		return err
	}
	return nil
}

// isOfThisMail says that the server had something against the mail itself.
func isOfThisMail(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && len(pg.Code) == 5 && (pg.Code[:2] == "22" || pg.Code[:2] == "54" || pg.Code[:2] == "23")
}

// Close closes the connections.
func (d *Deliverer) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for range cap(d.free) {
		if conn := <-d.free; conn != nil {
			conn.Close(ctx)
		}
	}
	return nil
}
