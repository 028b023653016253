// Growth measures what becomes of deliveries, listings and searches, and how much room
// mail takes, as an account grows from ten thousand mails to millions. Each size
// is a database of its own on one PostgreSQL, and whatever is measured runs in turns
// over all of them: a busy machine slows all of it alike, so the ratios are the result.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mailrow/bench/machine"
	"mailrow/bench/mail"
	"mailrow/bench/server"
)

// settings are the flags.
type settings struct {
	sizes   []int
	keep    string
	fill    bool // and nothing else
	deliver string
	rounds  int
	write   string
	name    string // of the figures
}

func main() {
	var s settings
	var sizes string
	flag.StringVar(&sizes, "sizes", "10000,100000", "`mails` of each archive")
	flag.StringVar(&s.keep, "keep", "", "`folder` where the archives stay, and are found by the next run")
	flag.BoolVar(&s.fill, "fill", false, "fill the archives and measure nothing")
	flag.StringVar(&s.deliver, "deliver", "bin/mailrow-deliver", "the `program` to measure")
	flag.IntVar(&s.rounds, "rounds", 12, "how often each archive has its turn")
	flag.StringVar(&s.write, "write", "", "`file` whose figures to renew: docs/performance.md")
	flag.StringVar(&s.name, "name", "growth", "the `name` of the figures, with which those of other sizes have their own place")
	flag.Parse()
	for text := range strings.SplitSeq(sizes, ",") {
		mails, err := strconv.Atoi(text)
		if err != nil || mails < 1000 {
			fmt.Fprintf(os.Stderr, "growth: -sizes: %q is no number of mails from 1000 on\n", text)
			os.Exit(2)
		}
		s.sizes = append(s.sizes, mails)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	if s.deliver, err = filepath.Abs(s.deliver); err != nil {
		return err
	}
	if _, err := os.Stat(s.deliver); err != nil && !s.fill {
		return fmt.Errorf("%w: make build makes it", err)
	}
	set, err := mail.Read()
	if err != nil {
		return err
	}
	p := readProse(set)
	srv, err := server.Keep(s.keep, map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"shared_buffers": "1GB", "max_wal_size": "4GB", "checkpoint_timeout": "15min", "maintenance_work_mem": "256MB",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	var archives []*archive
	for _, mails := range s.sizes {
		a, err := open(ctx, srv, mails, p)
		if err == nil {
			err = a.fill(ctx)
		}
		if err != nil {
			return err
		}
		archives = append(archives, a)
	}
	if s.fill {
		return nil
	}
	r, err := measure(ctx, srv, s, archives, p)
	if err != nil {
		return err
	}
	figures := r.report(s.name)
	figures.Print(os.Stdout)
	if s.write != "" {
		by := "go run ./bench/growth -write"
		if s.name != "growth" {
			by = "go run ./bench/growth -name " + s.name + " -write"
		}
		return figures.ReplaceIn(s.write, by)
	}
	return nil
}

func measure(ctx context.Context, srv *server.Server, s settings, archives []*archive, p *prose) (*result, error) {
	r := &result{archives: archives}
	var err error
	if r.machine, err = machine.Look(ctx, srv); err != nil {
		return nil, err
	}
	if r.disk, err = measureDisk(ctx, archives); err != nil {
		return nil, err
	}
	if r.reading, r.work, err = measureReading(ctx, archives, s.rounds, p); err != nil {
		return nil, err
	}
	r.searches = together("all searches", r.reading[len(questions):])
	r.work = append(r.work, together("all searches", r.work[len(questions):]))
	if r.deliveries, r.cold, err = measureDeliveries(ctx, archives, s.rounds); err != nil {
		return nil, err
	}
	r.process, err = measureProcesses(ctx, archives, s.rounds, s.deliver)
	return r, err
}

// note tells who waits what is going on.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "growth: "+time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}
