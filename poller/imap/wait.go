package imap

import (
	"context"
	"time"

	"mailrow/poller/imap/client"
)

// Wait waits by IDLE, and where a server has none or does not mean it, by asking
// now and then.
func (f *Folder) Wait(ctx context.Context) error {
	if err := f.use(ctx); err != nil {
		return err
	}
	c := f.conn
	idle := c.Has("IDLE")
	for !f.changed {
		if idle {
			err := c.Idle(ctx, f.s.conf.Idle, func() bool { return f.changed })
			switch {
			case ctx.Err() != nil && c.Err() == nil:
				return ctx.Err()
			case refused(err):
				idle = false
				continue
			case err != nil:
				return f.fault("wait for mail in", err)
			}
		} else if err := sleep(ctx, f.s.conf.Poll); err != nil {
			return err
		}
		if f.changed {
			break
		}
		// ctx may end any time, and the connection is not to end with it.
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		err := c.Do(brief, client.NewCommand("NOOP"))
		cancel()
		if err != nil {
			return f.fault("wait for mail in", err)
		}
	}
	f.changed = false
	return nil
}

// answerTime is how long the server may take to answer NOOP.
const answerTime = 30 * time.Second

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
