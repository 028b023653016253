package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailrow/bench/usage"
)

// wire is a mail as it goes over LMTP: lines end in CRLF, dots are doubled, and
// the end is there.
func wire(raw []byte) []byte {
	return append(lines(raw, true), ".\r\n"...)
}

// asStored is a mail as it has come over LMTP.
func asStored(raw []byte) []byte { return lines(raw, false) }

func lines(raw []byte, doubled bool) []byte {
	out := make([]byte, 0, len(raw)+len(raw)/32+5)
	for line := range bytes.Lines(raw) {
		if doubled && line[0] == '.' {
			out = append(out, '.')
		}
		out = append(append(out, bytes.TrimRight(line, "\r\n")...), "\r\n"...)
	}
	return out
}

// overLMTP hands mails over to a server at a Unix socket, as Postfix does: over
// connections that are kept, MAIL, RCPT and DATA at once, one mail at a time in
// each. It gives what it took from the first command to the last reply; connecting
// is before.
func overLMTP(ctx context.Context, servers []int, socket, recipient string, connections int, mails [][]byte) (spent, error) {
	bodies := make([][]byte, len(mails))
	for i, raw := range mails {
		bodies[i] = wire(raw)
	}
	clients := make([]*client, connections)
	for i := range clients {
		var err error
		if clients[i], err = dialLMTP(ctx, socket); err != nil {
			return spent{}, err
		}
		defer clients[i].conn.Close()
	}
	return together(servers, connections, len(mails), func(i, mail int) error { return clients[i].send(recipient, bodies[mail]) })
}

// spent is what mails took, in seconds: by the clock, and of processors.
type spent struct{ wall, cpu float64 }

// together does n jobs with so many workers, whoever is free. The processor time is
// ours and that of the servers.
func together(servers []int, workers, n int, do func(worker, job int) error) (s spent, err error) {
	var next atomic.Int64
	var wait sync.WaitGroup
	failed := make(chan error, workers)
	before, start := usage.CPU(servers...)+usage.Self(), time.Now()
	for worker := range workers {
		wait.Go(func() {
			for {
				job := int(next.Add(1)) - 1
				if job >= n {
					return
				}
				if err := do(worker, job); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wait.Wait()
	s.wall = time.Since(start).Seconds()
	s.cpu = usage.CPU(servers...) + usage.Self() - before
	select {
	case err = <-failed:
	default:
	}
	return s, err
}

// client is one connection of the load.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	size bool // the server takes SIZE
}

func dialLMTP(ctx context.Context, socket string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReader(conn)}
	err = c.expect(220)
	if err == nil {
		if _, err = fmt.Fprint(conn, "LHLO load.example.net\r\n"); err == nil {
			err = c.expect(250)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) send(recipient string, body []byte) error {
	size := ""
	if c.size {
		size = fmt.Sprintf(" SIZE=%d", len(body))
	}
	_, err := fmt.Fprintf(c.conn, "MAIL FROM:<sender@example.net>%s BODY=8BITMIME\r\nRCPT TO:<%s>\r\nDATA\r\n", size, recipient)
	for _, code := range []int{250, 250, 354} {
		if err == nil {
			err = c.expect(code)
		}
	}
	if err == nil {
		if _, err = c.conn.Write(body); err == nil {
			err = c.expect(250)
		}
	}
	return err
}

// expect reads a reply that must have this code.
func (c *client) expect(code int) error {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read LMTP reply: %w", err)
		}
		if !strings.HasPrefix(line, strconv.Itoa(code)) || len(line) < 4 {
			return fmt.Errorf("unexpected LMTP reply %q", line)
		}
		c.size = c.size || strings.HasPrefix(line[4:], "SIZE")
		if line[3] != '-' {
			return nil
		}
	}
}
