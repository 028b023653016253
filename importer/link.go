package importer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/store"
)

// link is a connection that is made anew when it was lost.
type link struct {
	open    func(context.Context) (*pgx.Conn, error)
	waiting func(error)
	conn    *pgx.Conn
}

// insist repeats what only the state of the server kept from succeeding.
func (l *link) insist(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	return insist(ctx, l.waiting, func() error {
		if l.conn == nil || l.conn.IsClosed() {
			var err error
			if l.conn, err = l.open(ctx); err != nil {
				return err
			}
		}
		return do(ctx, l.conn)
	})
}

func (l *link) close() {
	if l.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l.conn.Close(ctx)
	}
}

const longestPause = 30 * time.Second

// insist does something again while the server is away, or has no place for us or
// no room.
func insist(ctx context.Context, waiting func(error), do func() error) error {
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, longestPause) {
		err := do()
		switch store.TroubleOf(err) {
		case store.TroubleAway, store.TroubleLost, store.TroubleStarting, store.TroubleNoSlot, store.TroubleReadOnly, store.TroubleDisk:
		default:
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		if waiting != nil {
			waiting(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w", err)
		}
	}
}
