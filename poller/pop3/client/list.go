package client

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
)

// Scan asks for the sizes of all mails and for their unique-ids, in one round trip
// where the server can. Lines that say nothing are left out. hasIDs is false where
// the server has no UIDL. Both functions get what is valid until they return; an
// error of theirs ends the connection.
func (c *Conn) Scan(ctx context.Context, size func(number uint32, octets int64) error, id func(number uint32, id []byte) error) (hasIDs bool, err error) {
	defer c.guard(ctx)()
	hasIDs, err = c.scan(
		func(line []byte) error {
			number, rest, ok := numbered(line)
			octets, err := strconv.ParseInt(string(rest), 10, 64)
			if !ok || err != nil {
				return nil
			}
			return size(number, octets)
		},
		func(line []byte) error {
			number, rest, ok := numbered(line)
			if !ok || len(rest) == 0 {
				return nil
			}
			return id(number, rest)
		})
	return hasIDs, c.told(ctx, err)
}

func (c *Conn) scan(size, id func(line []byte) error) (hasIDs bool, err error) {
	if err := c.settle(); err != nil {
		return false, err
	}
	together := c.Has("PIPELINING")
	if together {
		err = c.send("LIST", "UIDL")
	} else {
		err = c.send("LIST")
	}
	if err != nil {
		return false, err
	}
	sizes := c.answerLines("LIST", size)
	if c.err != nil {
		return false, sizes
	}
	if !together {
		if sizes != nil {
			return false, c.unlessEmpty(sizes)
		}
		if err := c.send("UIDL"); err != nil {
			return false, err
		}
	}
	ids := c.answerLines("UIDL", id)
	switch {
	case c.err != nil:
		return false, ids
	case sizes != nil:
		return false, c.unlessEmpty(sizes)
	case ids != nil && c.hasUIDL(ids):
		return false, ids
	}
	return ids == nil, nil
}

// hasUIDL says whether a server that refuses UIDL has it, and only trouble.
func (c *Conn) hasUIDL(err error) bool {
	var refused *RefusedError
	return c.Has("UIDL") || errors.As(err, &refused) && refused.Code != ""
}

// unlessEmpty: some servers refuse to list nothing.
func (c *Conn) unlessEmpty(refusal error) error {
	text, err := c.do("STAT")
	if c.err != nil {
		return err
	}
	if words := strings.Fields(text); err == nil && len(words) > 0 && words[0] == "0" {
		return nil
	}
	return refusal
}

// numbered takes the number of a mail off a line, and gives the word after it.
func numbered(line []byte) (number uint32, word []byte, ok bool) {
	first, rest, _ := bytes.Cut(line, []byte(" "))
	n, err := strconv.ParseUint(string(first), 10, 32)
	if err != nil || n == 0 {
		return 0, nil, false
	}
	word, _, _ = bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	return uint32(n), word, true
}

// together is how many commands are sent before their answers are read: both fit
// into what any network holds.
const together = 100

// Delete marks mails for removal, which Quit confirms. It gives the first refusal,
// and goes on after one.
func (c *Conn) Delete(ctx context.Context, numbers []uint32) (refused *RefusedError, err error) {
	defer c.guard(ctx)()
	refused, err = c.delete(numbers)
	return refused, c.told(ctx, err)
}

func (c *Conn) delete(numbers []uint32) (first *RefusedError, err error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	step := 1
	if c.Has("PIPELINING") {
		step = together
	}
	for len(numbers) > 0 {
		var commands []string
		for _, n := range numbers[:min(step, len(numbers))] {
			commands = append(commands, "DELE "+strconv.FormatUint(uint64(n), 10))
		}
		if err := c.send(commands...); err != nil {
			return first, err
		}
		for _, command := range commands {
			_, err := c.answer(command)
			var refused *RefusedError
			if err != nil && !errors.As(err, &refused) {
				return first, err
			}
			if first == nil {
				first = refused
			}
		}
		numbers = numbers[len(commands):]
	}
	return first, nil
}
