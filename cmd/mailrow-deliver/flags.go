package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"
	"strings"

	"mailrow/deliver"
	"mailrow/message"
	"mailrow/store"
)

const usage = `usage: mailrow-deliver [flags] [--] [recipient ...]

Stores the mail on standard input in PostgreSQL. Postfix and Exim run it; what
they say in the environment and above the mail is read, and arguments win.

Envelope:
  -f SENDER                     reverse-path; '' or MAILER-DAEMON is the null one
  --original-recipient ADDRESS  recipient before aliases; once per recipient
  --extension TEXT              address extension; once per recipient
  --client-address IP           --client-helo NAME      --client-name NAME
  --client-protocol NAME        --sasl-username NAME    --queue-id ID
  --size BYTES                  what the MTA announces; only the true size counts
  --bsmtp                       standard input is a batch of SMTP commands

Where it goes:
  --account NAME                whatever the recipient (default: by route, or the
                                recipient in lower case without its extension)
  --mailbox NAME                default: by route, or INBOX
  --extension-mailbox           user+lists goes to mailbox lists
  --unknown create|reject       recipients without route or account (create)
  --recipient-delimiter CHARS   what begins an extension (+)

Limits and settings:
  --max-size SIZE               refuse larger mails with 5.3.4 (64MiB)
  --timeout DURATION            give up with 75 after this (60s)
  --config FILE                 default /etc/mailrow/mailrow.toml, if there is one
  --database URL                without password; or DATABASE_URL, or PGHOST etc.
  --socket PATH                 hand the mail to the mailrow lmtp that listens
                                there; store it ourselves while none does
  --quiet                       no output, for Exim's return_output
  --version, --help

Exit status: 0 stored; 67 unknown recipient and 69 too large, where asked for;
75 anything else: the MTA tries again. mailrow-deliver(8) has the whole table.
`

// flags are the arguments.
type flags struct {
	set                            *flag.FlagSet
	help, version, bsmtp, quiet    bool
	sender                         string
	original, extension            list
	clientAddress, helo, name      string
	protocol, sasl, queueID, size  string
	account, mailbox               string
	extensionMailbox               bool
	unknown, delimiter             string
	maxSize, timeout, file, source string
	socket                         string
	recipients                     []string
}

// list is a flag that may be given once per recipient.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// errAnswers says that a flag that only asks something stands where a mail is
// to be delivered; to one who knows psql, "-h host" comes easily.
var errAnswers = errors.New("--help (-h) and --version deliver nothing: they stand alone, and not in the command of an MTA")

// parseFlags gives what it could read of the flags also with an error.
func parseFlags(args []string) (*flags, error) {
	f := &flags{set: flag.NewFlagSet("mailrow-deliver", flag.ContinueOnError)}
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}
	f.set.StringVar(&f.sender, "f", "", "")
	f.set.Var(&f.original, "original-recipient", "")
	f.set.Var(&f.extension, "extension", "")
	f.set.StringVar(&f.clientAddress, "client-address", "", "")
	f.set.StringVar(&f.helo, "client-helo", "", "")
	f.set.StringVar(&f.name, "client-name", "", "")
	f.set.StringVar(&f.protocol, "client-protocol", "", "")
	f.set.StringVar(&f.sasl, "sasl-username", "", "")
	f.set.StringVar(&f.queueID, "queue-id", "", "")
	f.set.StringVar(&f.size, "size", "", "")
	f.set.BoolVar(&f.bsmtp, "bsmtp", false, "")
	f.set.StringVar(&f.account, "account", "", "")
	f.set.StringVar(&f.mailbox, "mailbox", "", "")
	f.set.BoolVar(&f.extensionMailbox, "extension-mailbox", false, "")
	f.set.StringVar(&f.unknown, "unknown", "", "")
	f.set.StringVar(&f.delimiter, "recipient-delimiter", "", "")
	f.set.StringVar(&f.maxSize, "max-size", "", "")
	f.set.StringVar(&f.timeout, "timeout", "", "")
	f.set.StringVar(&f.file, "config", "", "")
	f.set.StringVar(&f.source, "database", "", "")
	f.set.StringVar(&f.socket, "socket", "", "")
	f.set.BoolVar(&f.quiet, "quiet", false, "")
	f.set.BoolVar(&f.version, "version", false, "")
	err := f.set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.help = true
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.recipients = f.set.Args()
	marked := len(args) > len(f.recipients) && args[len(args)-len(f.recipients)-1] == "--"
	for _, to := range f.recipients {
		// A flag whose value pipe(8) repeated per recipient ends the flags too
		// early; the rest must not become recipients.
		if strings.HasPrefix(to, "-") && !marked {
			return f, fmt.Errorf("%q stands among the recipients: write flags as --flag=value, and -- before recipients", to)
		}
	}
	return f, nil
}

// config is the file with environment and arguments over it.
func (f *flags) config(getenv func(string) string) (deliver.Config, error) {
	c, err := deliver.ReadConfig(f.file)
	c.Quiet = c.Quiet || f.quiet
	if err != nil {
		return c, err
	}
	if url := getenv("DATABASE_URL"); url != "" {
		c.Database = url
	}
	override(&c.Socket, f.socket)
	if f.source != "" {
		c.Database = f.source
		if err := refusePassword(f.source); err != nil {
			return c, err
		}
	}
	override(&c.Account, f.account)
	override(&c.Mailbox, f.mailbox)
	override(&c.RecipientDelimiter, f.delimiter)
	c.ExtensionMailbox = c.ExtensionMailbox || f.extensionMailbox
	return c, errors.Join(
		parsed(&c.RejectUnknown, f.unknown, "unknown", deliver.ParseUnknown),
		parsed(&c.MaxSize, f.maxSize, "max-size", deliver.ParseSize),
		parsed(&c.Timeout, f.timeout, "timeout", deliver.ParseTimeout))
}

func override(to *string, from string) {
	if from != "" {
		*to = from
	}
}

func parsed[T any](to *T, text, flag string, parse func(string) (T, error)) error {
	if text == "" {
		return nil
	}
	value, err := parse(text)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	*to = value
	return nil
}

// refusePassword keeps passwords out of argv, which every local user can read.
func refusePassword(dsn string) error {
	if store.HasPassword(dsn) {
		return errors.New("--database holds a password, which everybody can see: put it into ~/.pgpass, the configuration file or DATABASE_URL")
	}
	return nil
}

// over puts the arguments over an envelope.
func (f *flags) over(e *message.Envelope) {
	f.set.Visit(func(given *flag.Flag) {
		if given.Name == "f" {
			sender := message.ReversePath(f.sender)
			e.Sender = &sender
		}
	})
	if len(f.recipients) > 0 {
		e.Recipients = nil
		for i, address := range f.recipients {
			to := message.Recipient{Address: address}
			if len(f.original) == len(f.recipients) {
				to.Original = message.ForwardPath(f.original[i])
			}
			if len(f.extension) == len(f.recipients) {
				to.Extension = f.extension[i]
			}
			e.Recipients = append(e.Recipients, to)
		}
	}
	if address, err := netip.ParseAddr(strings.TrimPrefix(f.clientAddress, "IPv6:")); err == nil {
		e.ClientAddress = address
	}
	override(&e.ClientHelo, f.helo)
	override(&e.ClientName, f.name)
	override(&e.ClientProtocol, f.protocol)
	override(&e.SASLUsername, f.sasl)
	override(&e.QueueID, f.queueID)
}

// versionLine names the build, and whether it can turn a crash into 75.
func versionLine() string {
	version := "(devel)"
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		version = build.Main.Version
	}
	guard := "supervised"
	if supervised == 0 {
		guard = "not supervised: build with make"
	}
	return fmt.Sprintf("mailrow-deliver %s, delivery functions %d, %s", version, store.SchemaVersion, guard)
}
