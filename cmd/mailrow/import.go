package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/collection"
	"mailrow/deliver"
	"mailrow/importer"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
	"mailrow/store/routing"
)

// importFlags are what import is told besides what to import.
type importFlags struct {
	account, to, mailbox string
	strip                int
	again, dryRun        bool
}

func (p *program) importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import PATH...",
		Short: "Store mail that is in folders, files and archives",
		Long: `Stores the mail at each PATH, byte for byte, in the account of --account or of
the recipient --to. Nothing is changed there. A PATH is

  a folder   a Maildir, an MH folder, or anything below which there is mail
  a file     mbox, MMDF, Babyl, .eml, .emlx, tar, zip
  -          any of these files from standard input

and all of it may be compressed by gzip, bzip2 or zstd, and inside each other.
What a file is its content says. What is no mail is left alone.

Mail goes to mailboxes of the names that its folders have there; that at the top
of a folder, and single mails, to INBOX; that of a file Sent.mbox to Sent. With
--mailbox all of them are below that one. See with --dry-run what would be.

Nothing is stored twice: however an import ended, run it again to go on. Folders
and files that were read to the end and have not changed since are not read
again, so mail that was deleted from the database meanwhile stays deleted, unless
--again is given. What should be mail and cannot be read or stored is named with
its reason, all the rest is imported, and the exit status is 1.`,
		Example: `  mailrow import --account ann@example.com --dry-run ~ann/Maildir
  mailrow import --account ann@example.com ~ann/Maildir /var/mail/ann
  mailrow import --account ann@example.com --mailbox Old mail-2019.tar.zst
  ssh old.example.com tar cz Maildir | mailrow import --to ann@example.com -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.runImport(c, f, args) },
	}
	flags := c.Flags()
	flags.StringVar(&f.account, "account", "", "store for this `account`")
	flags.StringVar(&f.to, "to", "", "store for this `recipient`; routes and its name decide about the account")
	flags.StringVar(&f.mailbox, "mailbox", "", "`mailbox` that the mail goes to, and its folders below")
	flags.IntVar(&f.strip, "strip", 0, "leave out the first `n` levels of the names of folders")
	flags.BoolVar(&f.again, "again", false, "read all of it, and bring back what was deleted from the database")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only tell which mailboxes there would be, and how much mail")
	return c
}

func (p *program) runImport(c *cobra.Command, f importFlags, paths []string) error {
	config, err := deliver.ReadConfig(p.config)
	if err != nil {
		return err
	}
	if f.account == "" && f.to == "" {
		f.account = config.Account
	}
	switch {
	case f.account == "" && f.to == "" && !f.dryRun:
		return misused(c, "whose mail is it? Name an --account, or a recipient with --to")
	case f.strip < 0:
		return misused(c, "--strip is at least 0")
	case slices.Contains(paths, "-") && isTerminal(p.in):
		return errors.New("standard input is a terminal: name a file, or use a pipe")
	}
	for _, path := range paths {
		// Before anything is stored, rather than in the midst of it.
		if _, err := os.Stat(path); path != "-" && err != nil {
			return fmt.Errorf("import: %w: nothing was imported", err)
		}
	}
	o := importer.Options{
		Mailbox: f.mailbox, Strip: f.strip, Again: f.again, MaxSize: config.MaxSize,
		RecipientDelimiter: config.RecipientDelimiter,
	}
	to := message.Recipient{Address: message.ForwardPath(f.to)}
	if f.to == "" {
		to.Address = f.account
	}
	lookup := deliver.Lookup(to, config.RecipientDelimiter)
	o.Account, o.Recipient = f.account, to.Address
	o.Owner, _ = message.SplitPath(lookup.Base)
	if f.dryRun {
		return p.importAll(c, o, paths)
	}
	if err := p.destine(c, &o, config, lookup); err != nil {
		return err
	}
	if err := p.openDatabase(c, &o); err != nil {
		return err
	}
	return p.importAll(c, o, paths)
}

// destine finds the account, and the mailbox of what has no folder.
func (p *program) destine(c *cobra.Command, o *importer.Options, config deliver.Config, lookup store.Lookup) error {
	return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
		d, err := routing.Resolve(ctx, conn, lookup, routing.Options{
			Account: o.Account, Mailbox: config.Mailbox, ExtensionMailbox: config.ExtensionMailbox,
		})
		if err != nil {
			return err
		}
		if config.RejectUnknown && !d.Exists && d.Pattern == nil {
			return fmt.Errorf("there is no account %s, and unknown is reject: add a route, or name another", d.Account)
		}
		o.Account, o.Inbox = d.Account, d.Mailbox
		return nil
	})
}

// openDatabase says where the mail is stored.
func (p *program) openDatabase(c *cobra.Command, o *importer.Options) error {
	dsn, from, err := p.address(c)
	if err != nil {
		return err
	}
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return addressError(dsn, from, err)
	}
	o.Waiting = p.waiting()
	o.Memory = func(context.Context) (*pgx.Conn, error) { return p.connect(c) }
	o.Database = config
	return nil
}

// importAll imports, and tells how it goes and what came of it.
func (p *program) importAll(c *cobra.Command, o importer.Options, paths []string) error {
	// What is bounded is the mail in hand. The collector shall not let as much
	// garbage of large mails stand about before it looks.
	debug.SetMemoryLimit(load.MemoryLimit)
	i := importer.New(o)
	bar := p.importProgress(i, paths)
	report, err := i.Run(c.Context(), paths, p.in)
	bar()
	for _, f := range report.Quarantine {
		fmt.Fprintf(p.err, "mailrow: %s: %s\n", printable(f.Path), line(f.Reason))
	}
	if more := report.Quarantined - int64(len(report.Quarantine)); more > 0 {
		fmt.Fprintf(p.err, "mailrow: and %d more\n", more)
	}
	if written := p.write(reportText(report, o.Database == nil)); written != nil {
		return written
	}
	const goOn = "what is counted above is stored: run it again to go on"
	switch {
	case err != nil && c.Context().Err() != nil:
		return soFar(c.Context(), err, goOn)
	case err != nil && report.Stored > 0:
		return fmt.Errorf("%w: %s", err, goOn)
	case err != nil:
		return err
	case report.Quarantined > 0:
		return errReported
	}
	return nil
}

// importProgress shows how far it is until the function is called that it gives.
func (p *program) importProgress(i *importer.Import, paths []string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	bar := p.progress("import", 0)
	bar.bytes = true
	var total atomic.Int64
	if !slices.Contains(paths, "-") {
		go func() { total.Store(collection.Measure(ctx, paths)) }()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				mails, bytes := i.Progress()
				bar.what, bar.total = fmt.Sprintf("import: %d mails, %.0f/s", mails, float64(mails)/time.Since(bar.start).Seconds()), total.Load()
				bar.at(bytes)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		bar.end()
	}
}

// reportText is a line per mailbox, and one for all.
func reportText(r *importer.Report, dryRun bool) string {
	var b strings.Builder
	if len(r.Mailboxes) > 0 {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, name := range slices.Sorted(maps.Keys(r.Mailboxes)) {
			m := r.Mailboxes[name]
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", printable(name), m.Mails, bytesText(m.Bytes), span(m.First, m.Last))
		}
		w.Flush()
	}
	if dryRun {
		fmt.Fprintf(&b, "%d mails would be imported", r.Stored)
	} else {
		fmt.Fprintf(&b, "%d stored, %d already there", r.Stored, r.Present)
	}
	fmt.Fprintf(&b, ", %d in quarantine", r.Quarantined)
	if r.Skipped > 0 {
		fmt.Fprintf(&b, ", %d files that are no mail", r.Skipped)
	}
	b.WriteByte('\n')
	return b.String()
}

// span is from when to when the mails came.
func span(first, last time.Time) string {
	if first.IsZero() {
		return ""
	}
	from, to := first.Format(time.DateOnly), last.Format(time.DateOnly)
	if from == to {
		return from
	}
	return from + " to " + to
}
