package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"mailrow/deliver"
	"mailrow/deliver/lmtp"
	"mailrow/internal/budget"
	"mailrow/internal/socket"
	"mailrow/internal/systemd"
	"mailrow/message"
	"mailrow/store"
)

// lmtpDaemon is what the command lmtp was asked for.
type lmtpDaemon struct {
	listen      []string
	metrics     string
	stdio       bool
	connections int
	clients     int
	memory      string
	hostname    string
	pooler      bool
	index       bool
}

const (
	commandTimeout = 10 * time.Minute // Postfix keeps a connection for 5 minutes at most
	dataTimeout    = 5 * time.Minute
	lmtpRecipients = 1000
	shutdownGrace  = 30 * time.Second
)

func (p *program) lmtpCommand() *cobra.Command {
	var d lmtpDaemon
	c := &cobra.Command{
		Use:   "lmtp",
		Short: "Take mail from Postfix or Exim over LMTP: the way for volume",
		Long: `Listens for an MTA and stores what it hands over, over connections to the database
that are kept. Each recipient gets a reply of its own: 250 when its mail is
committed, 4xx when the MTA has to try again, and 5xx only for what the
configuration says is to be refused (unknown = "reject", max_size).

A socket is unix:PATH with mode and group as wanted, or tcp:ADDRESS:PORT; LMTP has no
passwords, so let nobody else reach it. Under systemd the sockets of the socket unit
are taken, and stay open while the program is restarted. With --stdio one client is
served on standard input and output, as Exim's lmtp transport runs a command.

With --metrics it answers a monitoring system: GET /metrics and /healthz over HTTP, on
a socket of the same kinds.

SIGTERM ends the program when the mails in hand are stored, after 30 seconds at most;
the MTA hears 421 and comes again.`,
		Example: `  mailrow lmtp --listen unix:/run/mailrow/lmtp,mode=0660,group=postfix
  mailrow lmtp --listen tcp:127.0.0.1:2424 --connections 16
  mailrow lmtp --stdio`,
		RunE: func(c *cobra.Command, _ []string) error { return p.lmtp(c, &d) },
	}
	flags := c.Flags()
	flags.StringArrayVar(&d.listen, "listen", nil, "`socket` to listen on; may be repeated")
	flags.StringVar(&d.metrics, "metrics", "", "`socket` that shows figures to a monitoring system")
	flags.BoolVar(&d.stdio, "stdio", false, "serve one client on standard input and output")
	flags.IntVar(&d.connections, "connections", 8, "connections to the database, at most")
	flags.IntVar(&d.clients, "clients", 200, "clients at once; those beyond are sent away with 421")
	flags.StringVar(&d.memory, "memory", "", "`size` of all mails in hand together; those beyond get 452 (default four times max_size)")
	flags.StringVar(&d.hostname, "hostname", "", "`name` in the greeting (default that of the machine)")
	flags.BoolVar(&d.pooler, "pooler", false, "the database is behind a pooler in transaction mode: prepare no statements")
	flags.BoolVar(&d.index, "index", false, "index new mail for the search as well, as mailrow index --watch does; the role must be allowed to")
	return c
}

func (p *program) lmtp(c *cobra.Command, d *lmtpDaemon) error {
	config, err := deliver.ReadConfig(p.config)
	if err != nil {
		return err
	}
	server, pool, err := p.lmtpServer(c, d, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	if d.stdio && d.metrics != "" {
		return misused(c, "--metrics is for a daemon, and --stdio serves one client")
	}
	if d.stdio {
		server.ServeConn(stdio{p.in, p.out})
		return nil
	}
	listeners, err := d.listeners(c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(c.Context())
	defer stop(nil)
	if err := serveFigures(ctx, d.metrics, lmtpFigures(server, pool), stop); err != nil {
		return err
	}
	err = p.serveLMTP(ctx, server, listeners, func(ctx context.Context) {
		if d.index {
			p.indexAlong(ctx, c)
		}
	})
	if c.Context().Err() == nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return err
}

// seldomBelow is how much memory the program may have before more of its time goes to
// collecting garbage.
const seldomBelow = 128 << 20

// lmtpServer makes the server, which delivers as the configuration says.
func (p *program) lmtpServer(c *cobra.Command, d *lmtpDaemon, config deliver.Config) (*lmtp.Server, *store.Pool, error) {
	dsn, from, err := p.address(c)
	if err != nil {
		return nil, nil, err
	}
	database, err := store.ParseConfig(dsn)
	if err != nil {
		return nil, nil, addressError(dsn, from, err)
	}
	memory := 4 * config.MaxSize
	if d.memory != "" {
		if memory, err = deliver.ParseSize(d.memory); err != nil {
			return nil, nil, misused(c, "--memory: %v", err)
		}
	}
	if memory < 2*config.MaxSize {
		return nil, nil, misused(c, "--memory %d is less than twice max_size, which is %d", memory, config.MaxSize)
	}
	if d.connections < 1 || d.clients < 1 {
		return nil, nil, misused(c, "--connections and --clients are 1 at least")
	}
	if d.hostname == "" {
		if d.hostname, err = os.Hostname(); err != nil {
			return nil, nil, fmt.Errorf("find the name of this machine: %w", err)
		}
	}
	// Mail is garbage soon, and little else is there to be looked through: seldom is enough,
	// unless large mails take the room.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(max(2*memory, seldomBelow))
	pool := store.NewPool(database, d.connections, !d.pooler)
	log := p.log()
	return &lmtp.Server{
		Deliver: func(ctx context.Context, m *lmtp.Mail) []lmtp.Reply {
			outcomes := deliver.RunEach(ctx, pool, config, m.Raw, envelopeOfLMTP(m))
			replies := make([]lmtp.Reply, len(outcomes))
			for i, o := range outcomes {
				replies[i] = replyOf(o)
				log.Info().Str("queue_id", m.Client.QueueID).Str("recipient", m.Recipients[i].Address).
					Int("size", len(m.Raw)).Int("reply", replies[i].Code).Msg(replies[i].Text)
			}
			return replies
		},
		TakeOver: func(ctx context.Context, head, mail []byte) lmtp.Reply {
			reply := replyOf(deliver.TakeOver(ctx, pool, head, mail))
			log.Info().Int("size", len(mail)).Int("reply", reply.Code).Msg(reply.Text)
			return reply
		},
		Ready: func(ctx context.Context) error {
			if err := pool.Ping(ctx); err != nil {
				log.Warn().Err(err).Msg("not ready")
				return errors.New(deliver.OutcomeOf(err).Status().Text)
			}
			return nil
		},
		Hostname: d.hostname, MaxSize: config.MaxSize, MaxRecipients: lmtpRecipients, MaxClients: d.clients,
		Memory:         budget.New(memory),
		CommandTimeout: commandTimeout, DataTimeout: dataTimeout, DeliverTimeout: config.Timeout,
	}, pool, nil
}

func replyOf(o deliver.Outcome) lmtp.Reply {
	status := o.Status()
	text := status.Text
	if o.Detail != "" {
		text += ": " + o.Detail
	}
	return lmtp.Reply{Code: status.Code(), Enhanced: status.Enhanced, Text: text}
}

// envelopeOfLMTP is what the commands say, and of the mail's own trace what they
// leave out.
func envelopeOfLMTP(m *lmtp.Mail) deliver.EnvelopeOf {
	return func(t message.Trace) message.Envelope {
		e := message.Envelope{
			Source: "lmtp", Sender: &m.Sender,
			ClientName: m.Client.Name, ClientProtocol: m.Client.Protocol,
			ClientHelo: m.Client.Helo, QueueID: m.Client.QueueID,
		}
		// "unknown", or a unix socket, is no address.
		e.ClientAddress, _ = netip.ParseAddr(m.Client.Address)
		if e.ClientHelo == "" {
			e.ClientHelo = t.Helo
		}
		if e.QueueID == "" {
			e.QueueID = t.QueueID
		}
		for _, to := range m.Recipients {
			e.Recipients = append(e.Recipients, message.Recipient{Address: to.Address, Original: to.Original, DSN: m.DSN(to)})
		}
		return e
	}
}

// listeners gives the sockets of the service manager, and those asked for.
func (d *lmtpDaemon) listeners(c *cobra.Command) ([]net.Listener, error) {
	list, err := systemd.Listeners()
	if err != nil {
		return nil, err
	}
	for _, address := range d.listen {
		l, err := socket.Listen(address)
		if err != nil {
			for _, open := range list {
				open.Close()
			}
			return nil, err
		}
		list = append(list, l)
	}
	if len(list) == 0 {
		return nil, misused(c, "nothing to listen on: give --listen unix:PATH or tcp:ADDRESS:PORT, or --stdio")
	}
	return list, nil
}

// serveLMTP answers until ctx ends, and then lets the mails in hand be stored.
func (p *program) serveLMTP(ctx context.Context, server *lmtp.Server, listeners []net.Listener, along func(context.Context)) error {
	log := p.log()
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		log.Info().Str("socket", l.Addr().String()).Msg("listening")
		go func() { failed <- server.Serve(l) }()
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	go along(working)
	go systemd.Watchdog(working, func(time.Duration) bool {
		server.Clients() // answers unless the server is stuck
		return true
	})
	if err := systemd.Notify(systemd.Ready); err != nil {
		log.Warn().Err(err).Msg("systemd")
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	systemd.Notify(systemd.Stopping) // who is told that we stop needs no answer
	for _, l := range listeners {
		l.Close()
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	return errors.Join(err, server.Shutdown(grace))
}

// stdio is the connection of Exim's lmtp transport with a command.
type stdio struct {
	io.Reader
	io.Writer
}

func (stdio) Close() error { return nil }
