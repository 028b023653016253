package client

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Ask sends a command whose answer is one line, and gives what that says. A refusal
// is a *RefusedError.
func (c *Conn) Ask(ctx context.Context, command string) (text string, err error) {
	defer c.guard(ctx)()
	if err = c.settle(); err == nil {
		text, err = c.do(command)
	}
	return text, c.told(ctx, err)
}

// AskLines sends a command whose answer is lines, and gives each to take, without
// its end and valid until take returns. An error of take ends the connection.
func (c *Conn) AskLines(ctx context.Context, command string, take func(line []byte) error) error {
	defer c.guard(ctx)()
	err := c.settle()
	if err == nil {
		err = c.lines(command, take)
	}
	return c.told(ctx, err)
}

// Capabilities are all that the server says it can do, each with its arguments;
// none where it has no CAPA.
func (c *Conn) Capabilities() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.caps)) {
		all = append(all, strings.Join(append([]string{name}, c.caps[name]...), " "))
	}
	return all
}
