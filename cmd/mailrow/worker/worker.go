// Package worker runs a command for each mail of a consumer of the queue.
//
// A mail is acknowledged when its command has succeeded and not before, whatever
// happens to this program or to the connection: else it is handed out again.
package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"mailrow/store/archive"
	"mailrow/store/queue"
)

// Worker is a command and the consumer whose mail it gets.
type Worker struct {
	Connect    func() (*pgx.Conn, error)
	Consumer   string
	Command    []string
	Batch      int // mails claimed at once
	Lease      time.Duration
	UntilEmpty bool // end when there is no mail

	Stdout, Stderr io.Writer
	Log            zerolog.Logger
	Warn           func(error) // of what another try may mend

	conn     *pgx.Conn
	listened time.Time
}

const (
	pollEvery    = 5 * time.Second
	listenFor    = time.Hour
	endingLimit  = 10 * time.Second // for what is still to be said when told to stop
	firstDelay   = time.Minute
	longestDelay = time.Hour
)

// Run works until ctx is done and the mail in hand is finished. An error is one
// that another try does not mend; the mail in hand is handed out again.
func (w *Worker) Run(ctx context.Context) error {
	var err error
	if w.conn, err = w.Connect(); err != nil {
		return err
	}
	defer w.disconnect()
	for ctx.Err() == nil {
		var mails []queue.Mail
		err := w.insist(ctx, func(ctx context.Context) error {
			var err error
			mails, err = queue.Claim(ctx, w.conn, w.Consumer, w.Batch, w.Lease)
			return err
		})
		if err != nil {
			return err
		}
		if len(mails) == 0 {
			if w.UntilEmpty {
				return nil
			}
			w.wait(ctx)
		}
		for i, m := range mails {
			if ctx.Err() != nil {
				return w.release(ctx, mails[i:])
			}
			if err := w.handle(ctx, m); err != nil {
				return errors.Join(err, w.release(ctx, mails[i:]))
			}
		}
	}
	return nil
}

// insist repeats what only a lost connection can have kept from succeeding.
// Once ctx is done it gives up soon: leases run out.
func (w *Worker) insist(ctx context.Context, do func(context.Context) error) error {
	for delay := time.Second; ; delay = min(2*delay, 30*time.Second) {
		var err error
		if w.conn == nil || w.conn.IsClosed() {
			w.disconnect()
			w.conn, err = w.Connect()
			w.listened = time.Time{}
		}
		if err == nil {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			if ctx.Err() != nil {
				cancel()
				limited, cancel = context.WithTimeout(context.WithoutCancel(ctx), endingLimit)
			}
			err = do(limited)
			cancel()
			if err == nil || w.conn != nil && !w.conn.IsClosed() {
				return err
			}
		}
		w.Warn(fmt.Errorf("%w: trying again in %v", err, delay))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
	}
}

func (w *Worker) disconnect() {
	if w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.conn.Close(ctx)
		w.conn = nil
	}
}

// wait returns when there may be mail again.
func (w *Worker) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	if time.Since(w.listened) > listenFor/2 {
		if err := queue.Listen(ctx, w.conn, listenFor); err != nil {
			// Not with every pooler. Asking now and then does as well.
			w.Warn(err)
		}
		w.listened = time.Now()
	}
	if _, err := w.conn.WaitForNotification(ctx); err != nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (w *Worker) release(ctx context.Context, mails []queue.Mail) error {
	return w.insist(ctx, func(ctx context.Context) error {
		for _, m := range mails {
			if _, err := queue.Release(ctx, w.conn, w.Consumer, m.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// handle runs the command for one mail, and says what became of it.
func (w *Worker) handle(ctx context.Context, m queue.Mail) error {
	mail, err := w.fetch(ctx, m)
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return w.settle(ctx, m, nil, "")
	case archive.IsDamage(err): // it must not keep the others from being handed out
		return w.settle(ctx, m, err, "")
	}
	if err != nil {
		return err
	}
	defer mail.Close()

	said := &lastLine{to: w.Stderr}
	cmd := exec.Command(w.Command[0], w.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = mail, w.Stdout, said
	cmd.Env = append(os.Environ(), environment(w.Consumer, m)...)
	// A Ctrl-C is for this program; the command finishes its mail.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", w.Command[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	extend := time.NewTicker(w.Lease / 3)
	defer extend.Stop()
	for {
		select {
		case err := <-ended:
			return w.settle(ctx, m, err, said.String())
		case <-extend.C:
			if err := w.extend(ctx, m); err != nil {
				w.Warn(err)
			}
		}
	}
}

// fetch puts the mail into a file that is gone when it is closed.
func (w *Worker) fetch(ctx context.Context, m queue.Mail) (*os.File, error) {
	f, err := os.CreateTemp("", "mailrow-")
	if err != nil {
		return nil, fmt.Errorf("keep mail %d: %w", m.ID, err)
	}
	err = os.Remove(f.Name())
	if err == nil {
		err = w.insist(ctx, func(ctx context.Context) error {
			if err := f.Truncate(0); err != nil {
				return err
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
			return archive.WriteRaw(ctx, w.conn, m.ID, f)
		})
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func environment(consumer string, m queue.Mail) []string {
	env := []string{
		"MAILROW_ID=" + strconv.FormatInt(m.ID, 10),
		"MAILROW_ATTEMPT=" + strconv.Itoa(m.Attempt),
		"MAILROW_CONSUMER=" + consumer,
		"MAILROW_ACCOUNT=" + m.Account,
		"MAILROW_MAILBOX=" + m.Mailbox,
		"MAILROW_RECIPIENT=" + m.Recipient,
	}
	if m.Sender != nil {
		env = append(env, "MAILROW_SENDER="+*m.Sender)
	}
	return env
}

// extend says once that the command goes on; one of the next times may do if
// the connection is lost now.
func (w *Worker) extend(ctx context.Context, m queue.Mail) error {
	if w.conn == nil || w.conn.IsClosed() {
		conn, err := w.Connect()
		if err != nil {
			return err
		}
		w.conn, w.listened = conn, time.Time{}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Lease/3)
	defer cancel()
	found, err := queue.Extend(ctx, w.conn, w.Consumer, m.ID, w.Lease)
	if err == nil && !found {
		err = fmt.Errorf("mail %d is no longer ours: another worker may have it", m.ID)
	}
	return err
}

func (w *Worker) settle(ctx context.Context, m queue.Mail, failed error, said string) error {
	if failed == nil {
		w.Log.Info().Int64("mail", m.ID).Msg("done")
		return w.insist(ctx, func(ctx context.Context) error {
			_, err := queue.Ack(ctx, w.conn, w.Consumer, m.ID)
			return err
		})
	}
	delay := backOff(m.Attempt)
	reason := failed.Error()
	if said != "" {
		reason = said
	}
	w.Log.Info().Int64("mail", m.ID).Int("attempt", m.Attempt).Str("reason", reason).Dur("delay_ms", delay).Msg("failed")
	return w.insist(ctx, func(ctx context.Context) error {
		_, err := queue.Nack(ctx, w.conn, w.Consumer, m.ID, delay, reason)
		return err
	})
}

func backOff(attempt int) time.Duration {
	return min(firstDelay<<min(attempt-1, 10), longestDelay)
}

// lastLine passes on what is written and keeps the last line that is not empty.
type lastLine struct {
	to         io.Writer
	line, next []byte
}

const lastLineLimit = 1000

func (l *lastLine) Write(p []byte) (int, error) {
	rest := p
	for {
		i := bytes.IndexByte(rest, '\n')
		piece := rest
		if i >= 0 {
			piece = rest[:i]
		}
		l.next = append(l.next, piece[:min(len(piece), lastLineLimit-len(l.next))]...)
		if i < 0 {
			return l.to.Write(p)
		}
		l.end()
		rest = rest[i+1:]
	}
}

func (l *lastLine) end() {
	if len(bytes.TrimSpace(l.next)) > 0 {
		l.line = append(l.line[:0], l.next...)
	}
	l.next = l.next[:0]
}

// String is text that the database takes.
func (l *lastLine) String() string {
	l.end()
	return strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(string(l.line)), "\uFFFD"), "\x00", "\uFFFD")
}
