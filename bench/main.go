// Bench measures what docs/performance.md says, against a private PostgreSQL
// with fsync on. Whatever is compared runs in turns, mail by mail or pass by
// pass, so that a busy machine slows all of it alike: the ratios are the
// result, the times only show their size.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"mailrow/bench/machine"
	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
)

// settings are the flags.
type settings struct {
	deliver string // mailrow-deliver as built
	mails   int    // in the comparisons
	passes  int    // over these mails, for each number of connections
	write   string
	only    bool // the import
}

func main() {
	var s settings
	flag.StringVar(&s.deliver, "deliver", "bin/mailrow-deliver", "the `program` to measure")
	flag.IntVar(&s.mails, "mails", 500, "how many mails the comparisons use")
	flag.IntVar(&s.passes, "passes", 12, "how often each goes over warm connections")
	flag.StringVar(&s.write, "write", "", "`file` whose figures to renew: docs/performance.md")
	flag.BoolVar(&s.only, "import", false, "measure the import and nothing else")
	flag.Parse()
	if s.only && s.write != "" {
		fmt.Fprintln(os.Stderr, "bench: -write takes the figures of a whole run")
		os.Exit(2)
	}
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	if s.deliver, err = filepath.Abs(s.deliver); err != nil {
		return err
	}
	if _, err := os.Stat(s.deliver); err != nil {
		return fmt.Errorf("%w: make build makes it", err)
	}
	set, err := mail.Read()
	if err != nil {
		return err
	}
	sample := set.Sample(s.mails)

	r := &report.Report{}
	srv, err := server.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	m, err := machine.Look(ctx, srv)
	if err != nil {
		return err
	}

	measure := measureAll
	if s.only {
		measure = measureImport
	}
	if err := measure(ctx, r, srv, s, set, sample); err != nil {
		return err
	}
	run := m.Table()
	run.Add("mails compared", set.Describe(sample))
	run.Add("mails for disk", set.Describe(set.Mails))
	r.Tables = append([]report.Table{r.Targets(), run}, r.Tables...)
	r.Print(os.Stdout)
	if s.write != "" {
		return r.ReplaceIn(s.write, "go run ./bench -write")
	}
	return nil
}

func measureAll(ctx context.Context, r *report.Report, srv *server.Server, s settings, set *mail.Set, sample [][]byte) error {
	note("one process per mail")
	if err := measureProcesses(ctx, r, srv, s, sample); err != nil {
		return err
	}
	note("peak memory")
	if err := measureMemory(ctx, r, srv, s); err != nil {
		return err
	}
	note("warm connections")
	perDelivery, err := measureWarm(ctx, r, srv, s.passes, sample)
	if err != nil {
		return err
	}
	note("parsing")
	measureParsing(r, set, perDelivery)
	note("search")
	if err := measureSearch(ctx, r, srv, s.passes, sample); err != nil {
		return err
	}
	note("disk")
	if err := measureDisk(ctx, r, srv, set); err != nil {
		return err
	}
	return measureImport(ctx, r, srv, s, set, sample)
}

func measureImport(ctx context.Context, r *report.Report, srv *server.Server, s settings, set *mail.Set, _ [][]byte) error {
	note("import")
	return measureLoading(ctx, r, srv, min(s.passes, 7), set)
}

// note tells who waits what is going on.
func note(what string) { fmt.Fprintln(os.Stderr, "bench:", what) }
