// Package queue hands mail to consumers, each at least once, and keeps account of
// what became of it. The rules are in the database (migrations/0012_queue.sql):
// these are its functions for Go.
package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoConsumer says that there is no consumer of that name, or none that the
// connected role may use.
var ErrNoConsumer = errors.New("there is no consumer")

// Channel is where the ids of new mail are notified while somebody listens.
const Channel = "mailrow"

// Mail is one that a consumer has in hand.
type Mail struct {
	ID          int64     `json:"id"` // of view mail
	Attempt     int       `json:"attempt"`
	Account     string    `json:"account"`
	Mailbox     string    `json:"mailbox"`
	ReceivedAt  time.Time `json:"received_at"`
	Sender      *string   `json:"sender"` // "" is the null reverse-path; nil: not known
	Recipient   string    `json:"recipient"`
	FromAddress *string   `json:"from_address"`
	Subject     *string   `json:"subject"`
	LeasedUntil time.Time `json:"leased_until"`
}

// Claim takes up to n mails in hand until the lease ends. None is no error.
// After an error of the connection some may be in hand all the same: they come
// again when their lease has run out.
func Claim(ctx context.Context, conn *pgx.Conn, consumer string, n int, lease time.Duration) ([]Mail, error) {
	rows, err := conn.Query(ctx, `
		select mail_id, attempt, coalesce(account, ''), coalesce(mailbox, ''), received_at, sender, recipient,
		       from_address, subject, leased_until
		from mailrow.claim($1, $2, $3)`, consumer, n, lease)
	if err != nil {
		return nil, fmt.Errorf("claim mail: %w", err)
	}
	mails, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Mail])
	if err != nil {
		return nil, fmt.Errorf("claim mail: %w", err)
	}
	return mails, nil
}

// Ack says that mails are done with. It counts also after the lease ran out;
// done is how many of them the consumer had.
func Ack(ctx context.Context, conn *pgx.Conn, consumer string, ids ...int64) (done int, err error) {
	if err := conn.QueryRow(ctx, `select mailrow.ack_all($1, $2)`, consumer, ids).Scan(&done); err != nil {
		return 0, fmt.Errorf("acknowledge mail: %w", err)
	}
	return done, nil
}

// Nack gives a mail back: it is handed out again after the delay, or becomes a
// dead letter when this was the last attempt. False: it was not in hand.
func Nack(ctx context.Context, conn *pgx.Conn, consumer string, id int64, delay time.Duration, reason string) (bool, error) {
	var found bool
	err := conn.QueryRow(ctx, `select mailrow.nack($1, $2, $3, $4)`, consumer, id, delay, reason).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("give mail %d back: %w", id, err)
	}
	return found, nil
}

// Extend lets the lease of a mail in hand end so much later than now. False: it
// is not in hand, and somebody else may get it.
func Extend(ctx context.Context, conn *pgx.Conn, consumer string, id int64, lease time.Duration) (bool, error) {
	var found bool
	if err := conn.QueryRow(ctx, `select mailrow.extend($1, $2, $3)`, consumer, id, lease).Scan(&found); err != nil {
		return false, fmt.Errorf("extend lease of mail %d: %w", id, err)
	}
	return found, nil
}

// Release gives a mail back that was not begun: this attempt does not count.
// False: it was not in hand.
func Release(ctx context.Context, conn *pgx.Conn, consumer string, id int64) (bool, error) {
	var found bool
	if err := conn.QueryRow(ctx, `select mailrow.release($1, $2)`, consumer, id).Scan(&found); err != nil {
		return false, fmt.Errorf("release mail %d: %w", id, err)
	}
	return found, nil
}

// Revive hands a dead letter out again, or with id 0 all of the consumer's.
func Revive(ctx context.Context, conn *pgx.Conn, consumer string, id int64) (revived int, err error) {
	if err := conn.QueryRow(ctx, `select mailrow.revive($1, nullif($2::bigint, 0))`, consumer, id).Scan(&revived); err != nil {
		return 0, fmt.Errorf("revive dead letters: %w", err)
	}
	return revived, nil
}

// Drop removes a consumer, or says ErrNoConsumer.
func Drop(ctx context.Context, conn *pgx.Conn, consumer string) error {
	var found bool
	err := conn.QueryRow(ctx, `select mailrow.drop_consumer($1)`, consumer).Scan(&found)
	if err == nil && !found {
		err = ErrNoConsumer
	}
	if err != nil {
		return fmt.Errorf("drop consumer %s: %w", consumer, err)
	}
	return nil
}

// Status is one row of view queue_status: a consumer and what is before it.
type Status struct {
	Consumer    string     `json:"consumer"`
	Owner       string     `json:"owner"` // role
	Account     *string    `json:"account"`
	Mailbox     *string    `json:"mailbox"`
	Waiting     int64      `json:"waiting"` // counted to some 1000
	InHand      int64      `json:"in_hand"`
	Delayed     int64      `json:"delayed"`
	Dead        int64      `json:"dead"`
	MaxAttempts int        `json:"max_attempts"`
	LastClaimAt *time.Time `json:"last_claim_at"`
	CreatedAt   time.Time  `json:"created_at"`
}

// Consumers gives the consumers that the connected role may use.
func Consumers(ctx context.Context, conn *pgx.Conn) ([]Status, error) {
	rows, err := conn.Query(ctx, `
		select consumer, owner, account, mailbox, waiting, in_hand, delayed, dead, max_attempts, last_claim_at, created_at
		from mailrow.queue_status order by consumer, owner`)
	if err != nil {
		return nil, fmt.Errorf("list consumers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Status])
	if err != nil {
		return nil, fmt.Errorf("list consumers: %w", err)
	}
	return list, nil
}

// DeadLetter is one row of view dead_letters: a mail that a consumer gave up.
type DeadLetter struct {
	Consumer    string    `json:"consumer"`
	ID          int64     `json:"id"` // of view mail
	Attempts    int       `json:"attempts"`
	Reason      *string   `json:"reason"`
	DiedAt      time.Time `json:"died_at"`
	Account     string    `json:"account"`
	Recipient   string    `json:"recipient"`
	FromAddress *string   `json:"from_address"`
	Subject     *string   `json:"subject"`
}

// DeadLetters gives those of one consumer, or with "" of all, the newest first.
func DeadLetters(ctx context.Context, conn *pgx.Conn, consumer string) ([]DeadLetter, error) {
	rows, err := conn.Query(ctx, `
		select consumer, mail_id, attempts, reason, died_at, coalesce(account, ''), recipient, from_address, subject
		from mailrow.dead_letters where $1 = '' or consumer = $1
		order by died_at desc, mail_id desc`, consumer)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeadLetter])
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}

// Listen lets the connection hear of new mail for d, a day at most: a
// hint, so whoever hears nothing still asks now and then.
func Listen(ctx context.Context, conn *pgx.Conn, d time.Duration) error {
	if _, err := conn.Exec(ctx, `select mailrow.listen($1)`, d); err != nil {
		return fmt.Errorf("listen for mail: %w", err)
	}
	return nil
}
