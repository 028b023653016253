package deliver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"mailrow/message"
	"mailrow/store"
)

// A daemon that runs already, mailrow lmtp, delivers faster than a process that has
// to connect first. It gets the mail over its LMTP socket, with an envelope that
// LMTP has no words for, by a command of our own:
//
//	XMAILROW <bytes of the head> <bytes of the mail>
//
// and then both. The head is a handover in JSON. Its one reply says how it ended.

// handover is the envelope and the settings of one delivery. What may be anything
// but UTF-8 is bytes, which JSON carries in base64.
type handover struct {
	Account, Mailbox                []byte `json:",omitempty"`
	ExtensionMailbox, RejectUnknown bool   `json:",omitempty"`
	RecipientDelimiter              string

	Source        string
	Sender        *[]byte `json:",omitempty"`
	Recipients    []handedRecipient
	ClientAddress netip.Addr
	ClientHelo    []byte `json:",omitempty"`
	ClientName    []byte `json:",omitempty"`
	Protocol      []byte `json:",omitempty"`
	SASLUsername  []byte `json:",omitempty"`
	QueueID       []byte `json:",omitempty"`
}

type handedRecipient struct {
	Address, Original, Extension []byte `json:",omitempty"`
}

func newHandover(c Config, e *message.Envelope) handover {
	h := handover{
		Account: []byte(c.Account), Mailbox: []byte(c.Mailbox),
		ExtensionMailbox: c.ExtensionMailbox, RejectUnknown: c.RejectUnknown, RecipientDelimiter: c.RecipientDelimiter,
		Source: e.Source, ClientAddress: e.ClientAddress, ClientHelo: []byte(e.ClientHelo), ClientName: []byte(e.ClientName),
		Protocol: []byte(e.ClientProtocol), SASLUsername: []byte(e.SASLUsername), QueueID: []byte(e.QueueID),
	}
	if e.Sender != nil {
		sender := []byte(*e.Sender)
		h.Sender = &sender
	}
	for _, to := range e.Recipients {
		h.Recipients = append(h.Recipients, handedRecipient{[]byte(to.Address), []byte(to.Original), []byte(to.Extension)})
	}
	return h
}

func (h *handover) config() Config {
	return Config{Account: string(h.Account), Mailbox: string(h.Mailbox), ExtensionMailbox: h.ExtensionMailbox,
		RejectUnknown: h.RejectUnknown, RecipientDelimiter: h.RecipientDelimiter}
}

func (h *handover) envelope() message.Envelope {
	e := message.Envelope{
		Source: h.Source, ClientAddress: h.ClientAddress, ClientHelo: string(h.ClientHelo), ClientName: string(h.ClientName),
		ClientProtocol: string(h.Protocol), SASLUsername: string(h.SASLUsername), QueueID: string(h.QueueID),
	}
	if h.Sender != nil {
		sender := string(*h.Sender)
		e.Sender = &sender
	}
	for _, to := range h.Recipients {
		e.Recipients = append(e.Recipients, message.Recipient{Address: string(to.Address), Original: string(to.Original), Extension: string(to.Extension)})
	}
	return e
}

// TakeOver delivers what another process has handed over: head is what it says of
// the mail.
func TakeOver(ctx context.Context, p *store.Pool, head, mail []byte) Outcome {
	var h handover
	if err := json.Unmarshal(head, &h); err != nil {
		return failed(CauseInput, fmt.Errorf("read what was handed over: %w", err))
	}
	delivery := newDelivery(h.config(), mail, nil, func(message.Trace) message.Envelope { return h.envelope() })
	if len(delivery.Lookups) == 0 {
		return noRecipient
	}
	results, err := p.Deliver(ctx, delivery)
	if err != nil {
		return OutcomeOf(err)
	}
	return outcomeOfResults(results, delivery.Envelope.Recipients)
}

// daemon is a connection to mailrow lmtp.
type daemon struct {
	conn  net.Conn
	in    *bufio.Reader
	ready bool // it has said that it takes mail over
}

// dialTimeout is for a daemon on the same machine: one that is slower than this is
// in trouble, and there is another way.
const dialTimeout = 2 * time.Second

// dialDaemon reaches a daemon and greets it. Its answer comes while the mail is read:
// awaitReady looks at it.
func dialDaemon(ctx context.Context, socket string) (*daemon, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reach mailrow lmtp: %w", err)
	}
	d := &daemon{conn: conn, in: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := fmt.Fprint(conn, "LHLO mailrow-deliver\r\n"); err != nil {
		d.close()
		return nil, fmt.Errorf("speak with mailrow lmtp: %w", err)
	}
	return d, nil
}

// awaitReady gives an error where the daemon takes no mail over, and nothing has been
// said of one.
func (d *daemon) awaitReady() error {
	if d.ready {
		return nil
	}
	d.conn.SetDeadline(time.Now().Add(dialTimeout))
	err := d.expect(220, "")
	if err == nil {
		err = d.expect(250, "XMAILROW")
	}
	if err != nil {
		return fmt.Errorf("speak with mailrow lmtp: %w", err)
	}
	d.ready = true
	return nil
}

// deliver hands one mail over. An error means that nothing is known, and that the
// other way is to be tried: what was stored all the same is found there.
func (d *daemon) deliver(ctx context.Context, c Config, raw []byte, envelopeOf EnvelopeOf) (Outcome, error) {
	mail, fromLine := message.SplitFromLine(raw)
	delivery := newDelivery(c, mail, fromLine, envelopeOf)
	if len(delivery.Lookups) == 0 {
		return noRecipient, nil
	}
	head, err := json.Marshal(newHandover(c, delivery.Envelope))
	if err != nil {
		return Outcome{}, fmt.Errorf("write envelope: %w", err)
	}
	if err := d.awaitReady(); err != nil {
		return Outcome{}, err
	}
	d.conn.SetDeadline(time.Time{})
	if deadline, ok := ctx.Deadline(); ok {
		d.conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { d.conn.SetDeadline(time.Now()) })
	defer stop()
	// One call where the kernel takes them together.
	parts := net.Buffers{fmt.Appendf(nil, "XMAILROW %d %d\r\n", len(head), len(mail)), head, mail}
	if _, err := parts.WriteTo(d.conn); err != nil {
		return Outcome{}, fmt.Errorf("hand the mail over: %w", err)
	}
	code, text, err := d.reply(nil)
	if err != nil {
		return Outcome{}, fmt.Errorf("hand the mail over: %w", err)
	}
	for _, row := range table {
		if detail, found := strings.CutPrefix(text, row.Enhanced+" "+row.Text); found && code == row.Code() {
			return Outcome{Cause: row.Cause, Detail: strings.TrimPrefix(detail, ": ")}, nil
		}
	}
	return Outcome{}, fmt.Errorf("hand the mail over: unexpected reply %d %s", code, text)
}

// reply reads one reply; each of its lines goes to see.
func (d *daemon) reply(see func(string)) (code int, text string, err error) {
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		line = strings.TrimRight(line, "\r\n")
		code, err := strconv.Atoi(line[:min(3, len(line))])
		if err != nil || len(line) < 4 {
			return 0, "", fmt.Errorf("unexpected reply %q", line)
		}
		if see != nil {
			see(line[4:])
		}
		if line[3] != '-' {
			return code, line[4:], nil
		}
	}
}

// expect reads a reply that must have this code, and a line that begins so.
func (d *daemon) expect(code int, beginning string) error {
	seen := false
	got, text, err := d.reply(func(line string) { seen = seen || strings.HasPrefix(line, beginning) })
	switch {
	case err != nil:
		return err
	case got != code:
		return fmt.Errorf("unexpected reply %d %s", got, text)
	case !seen:
		return fmt.Errorf("it does not know %s", beginning)
	}
	return nil
}

func (d *daemon) close() { d.conn.Close() }

// way is how mail of this run gets into the database: through a daemon where one is
// named and there, and else directly.
type way struct {
	config   Config
	ctx      context.Context
	daemon   *daemon
	database *database
}

func newWay(ctx context.Context, c Config) *way {
	w := &way{config: c, ctx: ctx}
	if c.Socket != "" {
		var err error
		if w.daemon, err = dialDaemon(ctx, c.Socket); err == nil {
			return w
		}
	}
	w.database = connect(ctx, c.Database)
	return w
}

func (w *way) close() {
	if w.daemon != nil {
		w.daemon.close()
	}
	if w.database != nil {
		w.database.close()
	}
}

// deliver stores one mail. It may be called again for the next.
func (w *way) deliver(raw []byte, envelopeOf EnvelopeOf) Outcome {
	if w.daemon != nil {
		outcome, err := w.daemon.deliver(w.ctx, w.config, raw, envelopeOf)
		if err == nil {
			return outcome
		}
		w.daemon.close()
		w.daemon, w.database = nil, connect(w.ctx, w.config.Database)
	}
	return w.database.deliver(w.ctx, w.config, raw, envelopeOf)
}
