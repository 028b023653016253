package poller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/store"
	"mailrow/store/source"
)

const (
	// patience is how long a run waits for a database that is away: while it does,
	// it may have the mailbox locked, so it does not wait for ever.
	patience   = time.Minute
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// databaseError is trouble with the database that the next mail would meet as well.
type databaseError struct{ err error }

func (e *databaseError) Error() string { return e.err.Error() }
func (e *databaseError) Unwrap() error { return e.err }

// insist does something with the database, and again when only a lost connection
// can have kept it from succeeding: all that a run does is the same when it is done
// twice. Once begun it is finished, whether ctx ends or not. Its error is a
// databaseError unless it may be the fault of the mail in hand.
func (r *run) insist(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	giveUp := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		again, err := r.attempt(ctx, limit, do)
		if !again {
			return err
		}
		if !passes(err) || time.Now().After(giveUp) {
			return &databaseError{err}
		}
		r.Warn(r.source, fmt.Errorf("%w: trying again", err))
		select {
		case <-ctx.Done():
			return &databaseError{err}
		case <-time.After(pause):
		}
	}
}

// attempt does something over the connection, which is made where there is none.
// again says that there was none to be had, or that it was lost.
func (r *run) attempt(ctx context.Context, limit time.Duration, do func(context.Context) error) (again bool, err error) {
	r.using.Lock()
	defer r.using.Unlock()
	if err := r.connect(ctx); err != nil {
		return true, err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	err = do(limited)
	switch {
	case err == nil || !r.conn.IsClosed():
		return false, classified(err)
	case store.TroubleOf(err) == store.TroubleTimeout:
		return false, err // the connection does not outlive a deadline
	}
	return true, err
}

// passes says whether waiting may help against trouble with a connection.
func passes(err error) bool {
	switch store.TroubleOf(err) {
	case store.TroubleConfig, store.TroubleRights, store.TroubleSchema:
		return false
	}
	return !errors.Is(err, source.ErrTakenOver)
}

// classified tells what every mail would meet from what may be the fault of one.
func classified(err error) error {
	if err == nil {
		return nil
	}
	switch store.TroubleOf(err) {
	case store.TroubleUnknown, store.TroubleTimeout, store.TroubleMemory:
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code != "23503" { // which is that the source was removed
			return err
		}
	}
	return &databaseError{err}
}

// connect makes sure that there is a connection, and that the run is still ours.
func (r *run) connect(ctx context.Context) error {
	if r.conn != nil && !r.conn.IsClosed() {
		return nil
	}
	r.disconnect()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Config.Timeout)
	defer cancel()
	conn, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	if r.row.ID != 0 {
		if err := r.row.GoOn(ctx, conn, r.count); err != nil {
			conn.Close(ctx)
			return err
		}
	}
	r.conn, r.deliverer = conn, store.On(conn.PgConn())
	r.deliverer.Warm()
	return nil
}

// connected says whether there is a connection.
func (r *run) connected() bool {
	r.using.Lock()
	defer r.using.Unlock()
	return r.conn != nil && !r.conn.IsClosed()
}

// letGo gives the connection back unless it is in use. The run makes another when it
// needs one, and goes on if nobody has taken over the source by then.
func (r *run) letGo() {
	if r.using.TryLock() {
		defer r.using.Unlock()
		r.disconnect()
	}
}

func (r *run) disconnect() {
	if r.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.conn.Close(ctx)
		r.conn = nil
	}
}
