package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells on standard error how far long work is: on a terminal in one
// line that is written anew, elsewhere in a line a minute.
type progress struct {
	out      io.Writer
	what     string // such as "reparse"
	total    int64  // 0: not known
	bytes    bool   // what is counted
	terminal bool

	start, last time.Time
}

func (p *program) progress(what string, total int64) *progress {
	now := time.Now()
	return &progress{out: p.err, what: what, total: total, terminal: isTerminal(p.err), start: now, last: now}
}

// at says how many are done. It may be called as often as one likes.
func (g *progress) at(done int64) {
	pause := time.Minute
	if g.terminal {
		pause = 200 * time.Millisecond
	}
	if time.Since(g.last) < pause {
		return
	}
	g.last = time.Now()
	if g.terminal {
		fmt.Fprintf(g.out, "\r\x1b[K%s", g.line(done))
		return
	}
	fmt.Fprintln(g.out, g.line(done))
}

// end takes the line off the terminal.
func (g *progress) end() {
	if g.terminal {
		fmt.Fprint(g.out, "\r\x1b[K")
	}
}

func (g *progress) line(done int64) string {
	rate := float64(done) / time.Since(g.start).Seconds()
	text := func(n int64) string { return fmt.Sprint(n) }
	if g.bytes {
		text = bytesText
	}
	if g.total <= 0 {
		return fmt.Sprintf("%s: %s, %s/s", g.what, text(done), text(int64(rate)))
	}
	line := fmt.Sprintf("%s: %s of %s (%d %%), %s/s", g.what, text(done), text(g.total), 100*done/g.total, text(int64(rate)))
	if rate > 0 && done < g.total {
		left := time.Duration(float64(g.total-done) / rate * float64(time.Second))
		line += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return line
}
