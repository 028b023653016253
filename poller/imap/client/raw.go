package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Raw sends a command as somebody has typed it, without its tag, and gives hear all
// that the server says until it has answered, as it came. There can be no literal
// in it, and none that goes on after a "+".
func (c *Conn) Raw(ctx context.Context, line string, hear func([]byte)) error {
	if _, has := literalLength([]byte(line)); has {
		return errors.New("a line that ends with the length of a literal: write a quoted string")
	}
	cmd := NewCommand(strings.TrimSpace(line))
	c.hear = hear
	defer func() { c.hear = nil }()
	if err := c.agree(ctx, cmd); err != nil {
		return err
	}
	if cmd.Result == nil {
		return c.fail(fmt.Errorf("%s: the server at %s waits for more than a line", cmd.Name(), c.server))
	}
	return cmd.err()
}
