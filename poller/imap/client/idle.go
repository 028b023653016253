package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Idle lets the server tell what happens (RFC 2177), until stop says so after a
// response, until timeout, or until ctx ends; the connection lives on in all
// three. The error of ctx is returned.
func (c *Conn) Idle(ctx context.Context, timeout time.Duration, stop func() bool) error {
	if c.err != nil {
		return c.err
	}
	cmd := NewCommand("IDLE")
	if err := c.agree(ctx, cmd); err != nil {
		return err
	}
	var ended error
	for deadline := time.Now().Add(timeout); cmd.Result == nil && !stop(); {
		some, err := c.raw.Await(ctx, time.Until(deadline))
		if ended = ctx.Err(); ended != nil {
			break
		}
		if err != nil {
			return c.fail(err)
		}
		if !some {
			break
		}
		if _, err := c.next(); err != nil {
			return err
		}
	}
	if cmd.Result == nil {
		if err := c.write([]byte("DONE\r\n")); err != nil {
			return err
		}
		c.raw.Trace("C", "DONE")
	}
	// Within a short while even where ctx has ended.
	quick, cancel := context.WithTimeout(context.WithoutCancel(ctx), doneTime)
	defer cancel()
	err := c.Wait(quick, cmd)
	var refused *RefusedError
	if errors.As(err, &refused) {
		return fmt.Errorf("wait for mail: %w", err)
	}
	if err != nil {
		return err
	}
	return ended
}

// agree sends a command that the server agrees to before it goes on, or ends.
func (c *Conn) agree(ctx context.Context, cmd *Command) error {
	defer c.guard(ctx)()
	if err := c.send(cmd); err != nil {
		return c.told(ctx, err)
	}
	for cmd.Result == nil {
		r, err := c.next()
		if err != nil {
			return c.told(ctx, err)
		}
		if r.Name == "+" {
			break
		}
	}
	return nil
}

// doneTime is how long a server may take to end IDLE.
const doneTime = 30 * time.Second
