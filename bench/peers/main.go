// Peers measures mailrow beside what people would use instead, on the same machine,
// with the same mails, in turns, with fsync on for all; see docs/performance.md.
//
// A peer that is not installed has a row that says so: scripts/install-peers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// settings are the flags.
type settings struct {
	only  string // one of measures, "" for all
	write string
	quick bool
}

// measures are what is compared, in this order.
var measures = []struct {
	name string
	run  func(context.Context, *lab) error
}{
	{"process", measureProcesses},
	{"lmtp", measureLMTP},
	{"remote", measureRemote},
	{"import", measureImport},
}

// size is how much is measured.
type size struct {
	processMails                         int // each by every program
	lmtpMails, lmtpPasses                int
	remoteMails, slowMails, remoteRounds int // slow are those that would take minutes
	importMails, importRounds            int
}

var (
	full  = size{processMails: 100, lmtpMails: 1000, lmtpPasses: 3, remoteMails: 5000, slowMails: 300, remoteRounds: 2, importMails: 4000, importRounds: 2}
	quick = size{processMails: 3, lmtpMails: 40, lmtpPasses: 1, remoteMails: 20, slowMails: 10, remoteRounds: 1, importMails: 20, importRounds: 1}
)

func main() {
	var s settings
	flag.StringVar(&s.only, "only", "", "measure nothing but `this`: process, lmtp, remote or import")
	flag.StringVar(&s.write, "write", "", "`file` whose figures to renew: docs/performance.md")
	flag.BoolVar(&s.quick, "quick", false, "few mails, to see that everything works; the figures mean nothing")
	flag.Parse()
	if err := s.check(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(2)
	}
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func (s settings) check() error {
	names := map[string]bool{"": true}
	for _, m := range measures {
		names[m.name] = true
	}
	switch {
	case !names[s.only]:
		return fmt.Errorf("-only %s: it is one of%s", s.only, strings.Join(slices.Sorted(maps.Keys(names)), " "))
	case s.write != "" && (s.only != "" || s.quick):
		return errors.New("-write takes the figures of a whole run")
	}
	return nil
}

func run(ctx context.Context, s settings) (err error) {
	l, err := newLab(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	for _, m := range measures {
		if s.only == "" || s.only == m.name {
			fmt.Fprintln(os.Stderr, "peers:", m.name)
			if err := m.run(ctx, l); err != nil {
				return fmt.Errorf("measure %s: %w", m.name, err)
			}
		}
	}
	return l.conclude(s.write)
}
