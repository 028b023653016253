package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/deliver"
	"mailrow/internal/budget"
	"mailrow/poller"
	"mailrow/store/load"
	"mailrow/store/source"
)

// destination is where the mail of a source goes.
type destination struct {
	account, mailbox, to string
}

func (d *destination) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&d.account, "account", "", "store the mail in this `account`, each folder in the mailbox of its name")
	flags.StringVar(&d.mailbox, "mailbox", "", "store the mail in this `mailbox`, whatever its folder")
	flags.StringVar(&d.to, "to", "", "store the mail with this `recipient`, whose account is found by route")
}

func (d *destination) given() bool { return *d != destination{} }

// sourceOf makes a source of a URI, which must not hold a password.
func (p *program) sourceOf(c *cobra.Command, uri string, d destination) (source.Source, error) {
	u, err := parseURI(c, uri)
	if err != nil {
		return source.Source{}, err
	}
	if !d.given() {
		return source.Source{}, misused(c, "say where its mail goes: --account NAME or --to RECIPIENT")
	}
	if d.account == "" && d.to == "" {
		return source.Source{}, misused(c, "--mailbox needs --account or --to")
	}
	if d.mailbox != "" {
		d.mailbox = deliver.MailboxName(d.mailbox)
	}
	return source.Source{URI: u.String(), Account: orNil(d.account), Mailbox: orNil(d.mailbox), Recipient: orNil(d.to)}, nil
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (p *program) pollCommand() *cobra.Command {
	var d destination
	var f passwordFlags
	var watch, asJSON bool
	var daemon pollDaemon
	var memory string
	c := &cobra.Command{
		Use:   "poll [SOURCE...]",
		Short: "Fetch mail from mailboxes elsewhere",
		Long: `Stores all mail of the sources that is not in the database yet: of those named, or
of all that are not paused. A SOURCE is a name or a URI. A URI that is no source yet
becomes one, without a name, so that the next run knows what it has: say where its
mail goes with --account or --to, and where its password is.

Mail is kept at the source unless the URI says otherwise: ?after=delete,
?archive=FOLDER or ?after=seen, which is done once the mail is committed. A mail that
cannot be fetched five times is left alone: mailrow source failed lists such mail.

With --watch it goes on until SIGTERM or SIGINT: it looks into each source when its
time has come or mail comes in, and follows table mailrow.sources. SIGHUP makes it
read that and the configuration file at once. It tells systemd how it is, and with
--metrics also a monitoring system: GET /metrics and /healthz over HTTP, on a socket
that is tcp:127.0.0.1:PORT or unix:PATH with mode and group as wanted.

The exit status is 1 when a source could not be polled to its end, or a mail not be
fetched.`,
		Example: `  mailrow poll
  mailrow poll maildir:///home/ann/Maildir --account ann@example.com
  mailrow poll --watch --metrics tcp:127.0.0.1:9187`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case daemon.atOnce < 1:
				return misused(c, "--at-once %d: it is 1 or more", daemon.atOnce)
			case daemon.idle < 0:
				return misused(c, "--idle %d: it is 0 or more", daemon.idle)
			case !watch && daemon.metrics != "":
				return misused(c, "--metrics is for --watch")
			case watch && len(args) > 0:
				return misused(c, "--watch looks into all sources: mailrow source add adds one")
			case (d.given() || f != (passwordFlags{})) && len(args) == 0:
				return misused(c, "--account, --to and the like are for a SOURCE")
			}
			o, err := p.polling(c, asJSON, memory)
			if err != nil {
				return err
			}
			if watch {
				return o.watch(c, daemon)
			}
			sources, err := p.sourcesToPoll(c, args, d, f)
			if err != nil {
				return err
			}
			return o.once(c.Context(), sources, daemon.atOnce)
		},
	}
	d.flags(c)
	f.flags(c)
	c.Flags().BoolVar(&watch, "watch", false, "go on until stopped")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a run")
	c.Flags().IntVar(&daemon.atOnce, "at-once", 4, "look into so `many` sources at the same time, each over a connection to the database")
	c.Flags().IntVar(&daemon.idle, "idle", 500, "let so `many` connections to IMAP servers wait for mail, with --watch")
	c.Flags().StringVar(&memory, "memory", "", "`size` of all mails in hand together that are larger than 4 MiB; others wait (default max_size)")
	c.Flags().StringVar(&daemon.metrics, "metrics", "", "`socket` that shows figures to a monitoring system, with --watch")
	return c
}

// sourcesToPoll finds the sources that were named, or all active ones.
func (p *program) sourcesToPoll(c *cobra.Command, args []string, d destination, f passwordFlags) (list []source.Source, err error) {
	err = p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
		if len(args) == 0 {
			list, err = source.Active(ctx, conn)
			return err
		}
		for _, arg := range args {
			s, err := p.sourceToPoll(ctx, c, conn, arg, d, f)
			if err != nil {
				return err
			}
			list = append(list, s)
		}
		return nil
	})
	return list, err
}

func (p *program) sourceToPoll(ctx context.Context, c *cobra.Command, conn *pgx.Conn, arg string, d destination, f passwordFlags) (source.Source, error) {
	found, err := findSource(ctx, c, conn, arg)
	switch {
	case errors.Is(err, source.ErrNotFound) && isURI(arg):
		s, err := p.sourceOf(c, arg, d)
		if err != nil {
			return s, err
		}
		return p.adopt(ctx, c, conn, s, f)
	case err != nil:
		return found, err
	case f != (passwordFlags{}):
		return found, misused(c, "the row of source %s says where its password is: mailrow source secret changes that", found)
	case found.Paused:
		return found, fmt.Errorf("source %s is paused: mailrow source resume lets it go on", found)
	case d.given() && (text(found.Account) != d.account || text(found.Mailbox) != d.mailbox || text(found.Recipient) != d.to):
		return found, fmt.Errorf("the mail of source %s goes elsewhere: leave --account, --mailbox and --to out, or add another source with mailrow source add --name", found)
	}
	return found, nil
}

// adopt makes a source of a URI, with where its password is, for the next run needs
// it too.
func (p *program) adopt(ctx context.Context, c *cobra.Command, conn *pgx.Conn, s source.Source, f passwordFlags) (source.Source, error) {
	u, err := poller.ParseURI(s.URI)
	if err != nil {
		return s, err
	}
	password, err := p.password(c, f, u)
	if err != nil {
		return s, err
	}
	err = pgx.BeginFunc(ctx, conn, func(pgx.Tx) (err error) {
		if s.ID, err = source.Adopt(ctx, conn, s); err != nil || f == (passwordFlags{}) {
			return err
		}
		return p.storePassword(ctx, c, conn, s, password)
	})
	if err != nil {
		return s, err
	}
	return findSource(ctx, c, conn, s.URI)
}

// polling is a poller, and how it tells what it does.
type polling struct {
	*program
	poller.Poller
	json bool
	bar  *progress
	mu   sync.Mutex // output comes from several runs
}

func (p *program) polling(c *cobra.Command, asJSON bool, memory string) (*polling, error) {
	config, err := deliver.ReadConfig(p.config)
	if err != nil {
		return nil, err
	}
	room := config.MaxSize
	if memory != "" {
		if room, err = deliver.ParseSize(memory); err != nil {
			return nil, misused(c, "--memory: %v", err)
		}
	}
	if room < config.MaxSize {
		return nil, misused(c, "--memory %d is less than max_size, which is %d", room, config.MaxSize)
	}
	// The collector shall not let the garbage of large mails stand about.
	debug.SetMemoryLimit(load.MemoryLimit)
	o := &polling{program: p, json: asJSON}
	opener := p.opener(c)
	opener.Warn = o.warn
	o.Poller = poller.Poller{
		Connect: p.connector(c),
		Open:    opener.Open,
		Memory:  budget.New(room),
		Config:  config,
		Warn:    o.warn,
	}
	return o, nil
}

// warn writes of what goes on all the same.
func (o *polling) warn(s source.Source, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		o.bar.end()
	}
	name := ""
	if s.URI != "" {
		name = printable(s.String()) + ": "
	}
	fmt.Fprintln(o.err, "mailrow: "+name+line(err))
}

// once looks into each source once.
func (o *polling) once(ctx context.Context, sources []source.Source, atOnce int) error {
	if len(sources) == 1 && isTerminal(o.err) {
		o.bar = o.progress("poll "+printable(sources[0].String()), 0)
		o.Tell = func(_ source.Source, count source.Count) { o.bar.at(count.Seen) }
	}
	var failed error
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for _, s := range sources {
		room <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			count, err := o.Run(ctx, s)
			<-room
			if err != nil {
				o.warn(s, err)
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			if err != nil || count.Failed > 0 {
				failed = errReported
			}
			if err := o.summary(s, count); err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return soFar(ctx, err, "what was fetched is stored, and the next run goes on")
	}
	return failed
}

// summary writes what a run did.
func (o *polling) summary(s source.Source, c source.Count) error {
	if o.bar != nil {
		o.bar.end()
	}
	if o.json {
		return o.writeJSON(struct {
			Source string    `json:"source"`
			At     time.Time `json:"at"`
			source.Count
		}{s.String(), time.Now(), c})
	}
	return o.write(fmt.Sprintf("%s: seen %d, stored %d, already there %d, failed %d, done at the source %d, %d bytes\n",
		printable(s.String()), c.Seen, c.Stored, c.Duplicate, c.Failed, c.Done, c.Bytes))
}
