// Package store is the only one that speaks PostgreSQL: it delivers mail into
// the schema mailrow and tells what kind of trouble stood in the way.
//
// It keeps to pgconn, the lowest layer of pgx, because mailrow-deliver links it
// and starts once per mail.
package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	connectAttempts = 5
	connectTimeout  = 10 * time.Second      // of one attempt, unless connect_timeout says otherwise
	firstBackOff    = 50 * time.Millisecond // doubled after each attempt
	cancelGrace     = time.Second           // how long a canceled statement may take to roll back
)

// Conn is one connection to the database. It is not safe for simultaneous use.
type Conn struct {
	pg       *pgconn.PgConn
	prepared map[string]bool // names of statements; nil: none is to be
	types    batchTypes      // once PrepareBatches has found them
}

// On delivers over a connection that is open, and remains its owner's.
func On(pg *pgconn.PgConn) *Conn { return &Conn{pg: pg} }

// Config says where the database is. Make it with ParseConfig.
type Config struct {
	pg *pgconn.Config
}

// ParseConfig reads a URL or a key=value string; what it leaves out comes from
// the PG* environment and PostgreSQL's own defaults. Its error never shows a
// password.
func ParseConfig(dsn string) (*Config, error) {
	c, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read database address: %w", err)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if _, ok := c.RuntimeParams["application_name"]; !ok {
		c.RuntimeParams["application_name"] = "mailrow"
	}
	// Else a setting of the role or the database decides how our text is read.
	c.RuntimeParams["client_encoding"] = "UTF8"
	// A canceled context must not only drop the connection: the server would
	// go on, and commit what we said we had given up.
	c.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxWatcher {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pg, DeadlineDelay: cancelGrace}
	}
	return &Config{pg: c}, nil
}

// Connect opens a connection. It tries again, a few times and with growing
// pauses, only where the server is there but has no place for us yet. Its
// error is of a kind that TroubleOf knows; it never shows a password.
func Connect(ctx context.Context, c *Config) (*Conn, error) {
	pause := firstBackOff
	for attempt := 1; ; attempt++ {
		pg, err := pgconn.ConnectConfig(ctx, c.pg)
		if err == nil {
			return &Conn{pg: pg}, nil
		}
		if attempt == connectAttempts || !worthAnotherTry(err) {
			return nil, fmt.Errorf("connect to database: %w", err)
		}
		jitter := time.Duration(rand.Int64N(int64(pause)))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to database: %w", err)
		case <-time.After(pause + jitter):
		}
		pause *= 2
	}
}

func worthAnotherTry(err error) bool {
	switch TroubleOf(err) {
	case TroubleNoSlot, TroubleStarting:
		return true
	}
	// The queue of a unix socket is full.
	return errors.Is(err, syscall.EAGAIN)
}

// Warm lets the connection prepare each statement when it is first used, and give
// that up where a pooler is in between.
func (c *Conn) Warm() {
	if c.prepared == nil {
		c.prepared = map[string]bool{}
	}
}

// Prepare readies the connection for many deliveries: the statement is parsed
// once. Not for connections through a pooler in transaction mode.
func (c *Conn) Prepare(ctx context.Context) error {
	c.prepared = map[string]bool{}
	for _, s := range []statement{deliverNextStatement, deliverStatement} {
		if err := c.prepare(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) prepare(ctx context.Context, s statement) error {
	if _, err := c.pg.Prepare(ctx, s.name, s.sql, nil); err != nil {
		return fmt.Errorf("prepare delivery: %w", err)
	}
	c.prepared[s.name] = true
	return nil
}

// Lost says whether the connection is of no use any more.
func (c *Conn) Lost() bool { return c.pg.IsClosed() }

// Close says goodbye to the server. What was committed stays so whatever it returns.
func (c *Conn) Close(ctx context.Context) error {
	if err := c.pg.Close(ctx); err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}

// placeholders gives "$1, $2, … $n".
func placeholders(n int) string { return placeholdersFrom(1, n) }

func placeholdersFrom(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		if i > first {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", i)
	}
	return b.String()
}

// HasPassword tells whether an address itself carries a password, whatever the
// environment and password files hold. In doubt, of an address that is broken,
// it says yes.
func HasPassword(dsn string) bool {
	if strings.Contains(strings.ToLower(dsn), "password") {
		return true
	}
	_, rest, isURL := strings.Cut(dsn, "://")
	if !isURL {
		return false
	}
	user, _, found := cutLast(rest, "@")
	return found && strings.Contains(user, ":")
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
