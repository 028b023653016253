package search

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// How many messages are indexed in one transaction: few where deliveries go on beside it.
// Each looks for the next ones behind all that have been indexed since the last vacuum.
const (
	batch      = 500
	watchBatch = 200
)

// ErrNoAccount says that there is no account of a name.
var ErrNoAccount = errors.New("there is no account")

// ErrNoLanguage says that the database has no text search configuration of a name.
var ErrNoLanguage = errors.New("there is no text search configuration")

// Index adds to the index what the deliveries left, and gives how many messages
// that were. It calls progress after each transaction with their number so far.
// Several may run at once; what one has in hand the others leave to it. After an
// error, as when ctx ends, what was done stays done.
func Index(ctx context.Context, conn *pgx.Conn, progress func(done int64)) (int64, error) {
	return index(ctx, conn, batch, 0, progress)
}

// index rests after each transaction for as many times as long as that took.
func index(ctx context.Context, conn *pgx.Conn, mails, rest int, progress func(done int64)) (int64, error) {
	var done int64
	analyzed := int64(mails)
	for {
		start := time.Now()
		n, err := indexBatch(ctx, conn, mails)
		if err != nil {
			return done, fmt.Errorf("index mail: %w", err)
		}
		if n == 0 {
			return done, nil
		}
		done += n
		progress(done)
		if done >= 2*analyzed {
			if err := analyze(ctx, conn); err != nil {
				return done, err
			}
			analyzed = done
		}
		if rest > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(rest) * time.Since(start)):
			}
		}
	}
}

// analyze lets the planner know how much is indexed: while words are aside it would take
// the index of fields to be the better one for all that was not indexed when it looked.
// Vacuum does as well: it is not waited for.
func analyze(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `analyze (skip_locked) mailrow.messages (language)`); err != nil {
		return fmt.Errorf("analyze messages: %w", err)
	}
	return nil
}

func indexBatch(ctx context.Context, conn *pgx.Conn, mails int) (n int64, err error) {
	// Whatever the role's default: index_mail() insists on it.
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select mailrow.index_mail($1)`, mails).Scan(&n)
	})
	return n, err
}

// Pauses of Watch.
const (
	shortPause = time.Second
	longPause  = 10 * time.Second

	// watchRest leaves most of a processor to the deliveries: searches are
	// complete meanwhile, and a fifth of its time is hundreds of mails a second.
	watchRest = 4
)

// Watch indexes whenever there is something to index, until ctx ends; then it
// gives nil. Where nothing comes it looks less often, up to every ten seconds.
// When the database goes away it connects again; trouble hears why. Only the
// first connection must succeed.
func Watch(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), progress func(done int64), trouble func(error)) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer func() { hangUp(conn) }()
	var total int64
	pause := shortPause
	for {
		n, err := index(ctx, conn, watchBatch, watchRest, func(done int64) { progress(total + done) })
		total += n
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && n > 0:
			pause = shortPause
		case err == nil:
			pause = min(pause*3/2, longPause)
		case !conn.IsClosed() && !passing(err):
			return err
		default:
			trouble(err)
			pause = min(pause*2, longPause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if conn.IsClosed() {
			if again, err := connect(ctx); err != nil {
				trouble(err)
			} else {
				conn = again
			}
		}
	}
}

// passing tells whether an error that left the connection open may go away by
// itself: a lock, a full disk, a standby.
func passing(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) < 2 {
		return false
	}
	switch pg.Code[:2] {
	case "40", "53", "55", "57", "25", "58":
		return true
	}
	return false
}

func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx)
}

// SetLanguage makes a text search configuration, such as english, the one of an
// account, and indexes its mail anew. It is ErrNoAccount or ErrNoLanguage where
// there is none of that name.
func SetLanguage(ctx context.Context, conn *pgx.Conn, account, language string) error {
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select mailrow.set_language($1, $2)`, account, language)
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "P0002":
			return ErrNoAccount
		case "42704", "42602", "3F000": // no such object, no name, no such schema
			return ErrNoLanguage
		}
	}
	if err != nil {
		return fmt.Errorf("set language of %s: %w", account, err)
	}
	return nil
}
