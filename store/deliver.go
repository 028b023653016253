package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"mailrow/message"
)

type ctxWatcher = ctxwatch.Handler

// SchemaVersion is the version of the delivery functions that this program
// calls: not that of the schema, which may go on without them.
const SchemaVersion = 2

// ParserVersion is stored beside what message.Parse found, so that a better
// parser knows what to read again.
const ParserVersion = 3

// errSchema says that the database answered in a form that no schema of ours has.
var errSchema = errors.New("unexpected answer of the delivery function")

// Delivery is one mail with all that its rows need.
type Delivery struct {
	Raw      []byte // stored byte for byte
	Message  *message.Message
	Envelope *message.Envelope

	// Lookups say, for each recipient of the envelope, which routes and which
	// account are its own.
	Lookups []Lookup

	Account          string // "": by route, or the recipient's own
	Mailbox          string // "": by route, or INBOX
	ExtensionMailbox bool   // a recipient's extension names the mailbox
	RejectUnknown    bool   // a recipient without route or account is refused instead of getting one

	// Identity is the SHA-256 of what stays the same when the MTA hands the
	// mail over again; nil when all of Raw does.
	Identity []byte

	// Defects are those of the envelope; those of the header are in Message.
	Defects []string

	// Origin is where a poller has the mail from, nil for what an MTA hands over.
	Origin *Origin

	bare bool // Message has no body: see withoutBody
}

// Lookup is a recipient in the forms that routes are looked up by, all in lower case.
type Lookup struct {
	Address   string // whole, with its extension
	Wildcard  string // user+*@domain; "" without an extension
	Base      string // without its extension: the account's name where no route says otherwise
	Extension string
}

// Outcome is what became of one recipient.
type Outcome string

const (
	Stored      Outcome = "stored"      // committed now
	Redelivered Outcome = "redelivered" // had been stored by an earlier attempt
	Unknown     Outcome = "unknown"     // refused: RejectUnknown, and nothing stored for it
)

// Result is the outcome for one recipient, and the id of its row in view mail.
type Result struct {
	ID      int64
	Outcome Outcome
}

// Deliver stores the mail for all its recipients in one transaction and gives
// their results in the order of the envelope. After an error nothing is known
// to be stored; calling again with the same bytes is always right.
func (c *Conn) Deliver(ctx context.Context, d *Delivery) ([]Result, error) {
	for attempt := 1; ; attempt++ {
		results, err := c.deliver(ctx, d)
		switch {
		case isUnreadable(err) && !d.bare:
			d = d.withoutBody()
		case isUnprepared(err) && c.prepared != nil:
			c.prepared = nil
		case err == nil:
			return heard(ctx, results)
		case attempt >= deliverAttempts, !isCollision(err):
			return results, err
		}
	}
}

// heard gives the results of a delivery that the server calls committed. Where it was
// canceled before it said so, it may have been waiting for a synchronous standby: then
// it ends the wait and says so all the same (with a mere notice), and if the server is
// lost so is the mail.
func heard(ctx context.Context, results []Result) ([]Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("store message: %w", err)
	}
	return results, nil
}

// withoutBody is the delivery of a mail of which the server cannot take what the
// parser said of its body: a mistake of ours that must not keep the mail out. Its
// bytes and its header are stored; reparse reads the body when it can.
func (d *Delivery) withoutBody() *Delivery {
	m := *d.Message
	m.Parts, m.Cuts, m.Text, m.HTML, m.Reply = nil, nil, message.Body{}, message.Body{}, nil
	m.Defects = append(slices.Clip(m.Defects), defectBodyNotStored)
	bare := *d
	bare.Message, bare.bare = &m, true
	return &bare
}

// defectBodyNotStored is recorded beside such a mail.
const defectBodyNotStored message.Defect = "body-not-stored"

// isUnprepared says that the server does not know a statement that was prepared, or
// knows one that was not: a pooler has given us another of its connections.
func isUnprepared(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "26000" || pg.Code == "42P05")
}

// isUnreadable says that the server could not take a value, whatever it was.
func isUnreadable(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "22", "54": // data exception, program limit exceeded
		return true
	}
	return false
}

// deliverAttempts is how often a delivery is tried that another one got in the way of.
const deliverAttempts = 3

// isCollision says that the server chose this transaction to end a deadlock, or
// because another came first: nothing is stored, and trying again helps.
func isCollision(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "40P01", "40001":
		return true
	case "23505": // another attempt at the same mail
		return pg.ConstraintName == "identities_pkey"
	case "23503": // the account was deleted meanwhile
		return pg.ConstraintName == "mailboxes_account_fkey"
	}
	return false
}

func (c *Conn) deliver(ctx context.Context, d *Delivery) ([]Result, error) {
	again := false
	if d.common() { // one statement instead of a dozen
		result, err := c.deliverOne(ctx, d)
		if (err != nil || result != nil) && !d.isLeftToDeliver(err) {
			return result, err
		}
		again = d.Identity != nil && err != nil
	}
	if c.prepared != nil && !again { // a connection that goes on: half the work of deliver
		batch := &Batch{}
		if batch.Add(d, ThreadsOf(d.Message)) {
			results, err := c.deliverBatch(ctx, batch)
			if err == nil || ctx.Err() != nil || c.Lost() || isCollision(err) || isUnprepared(err) {
				return results, err
			}
		}
	}
	args := newArguments(deliverCount)
	args.int4(SchemaVersion)
	args.bool(d.RejectUnknown)
	args.textOrNull(d.Account)
	args.textOrNull(d.Mailbox)
	args.bool(d.ExtensionMailbox)
	n := len(d.Lookups)
	args.textArray(n, func(i int) (string, bool) { return d.Lookups[i].Address, true })
	args.textArray(n, func(i int) (string, bool) { return d.Lookups[i].Wildcard, d.Lookups[i].Wildcard != "" })
	args.textArray(n, func(i int) (string, bool) { return d.Lookups[i].Base, true })
	args.message(d)
	args.body(d.Message)
	args.structure(d.Message)
	args.threads(d.Message)
	args.contents(d)
	to := d.Envelope.Recipients
	args.text(d.Envelope.Source)
	args.textPointer(d.Envelope.Sender)
	args.textArray(n, func(i int) (string, bool) { return to[i].Address, true })
	args.textArray(n, func(i int) (string, bool) { return to[i].Original, to[i].Original != "" })
	args.textArray(n, func(i int) (string, bool) { return d.Lookups[i].Extension, d.Lookups[i].Extension != "" })
	args.client(d.Envelope)
	args.envelopeDefects(d.Defects)
	args.bytea(d.Identity)
	args.bytea(d.Raw)

	r, err := c.exec(ctx, deliverStatement, d, args)
	if err != nil {
		return nil, err
	}
	row, err := oneRow(r)
	if err != nil {
		return nil, fmt.Errorf("store message: %w", err)
	}
	return readResults(row, n)
}

// common says whether deliver_one, or deliver_next, may be all it takes.
func (d *Delivery) common() bool {
	return len(d.Lookups) == 1 && plain(d.Message) &&
		(d.Mailbox == "" || d.Mailbox == "INBOX") && (!d.ExtensionMailbox || d.Lookups[0].Extension == "")
}

// deliverOne tries the common case; it returns nil where only deliver can tell.
func (c *Conn) deliverOne(ctx context.Context, d *Delivery) ([]Result, error) {
	to, lookup := d.Envelope.Recipients[0], d.Lookups[0]
	args := newArguments(deliverOneCount)
	args.int4(SchemaVersion)
	args.textOrNull(d.Account)
	args.textOrNull(d.Mailbox)
	args.bool(d.ExtensionMailbox)
	args.text(lookup.Address)
	args.textOrNull(lookup.Wildcard)
	args.text(lookup.Base)
	args.message(d)
	args.body(d.Message)
	args.structure(d.Message)
	args.threads(d.Message)
	args.text(d.Envelope.Source)
	args.textPointer(d.Envelope.Sender)
	args.text(to.Address)
	args.textOrNull(to.Original)
	args.textOrNull(lookup.Extension)
	args.client(d.Envelope)
	args.envelopeDefects(d.Defects)
	args.bytea(d.Raw)

	statement := deliverOneStatement
	if c.prepared != nil || d.Origin != nil { // a connection that goes on
		statement = deliverNextStatement
	}
	if d.Identity != nil {
		statement = statement.identified()
		args.byteaArray(1, func(int) []byte { return d.Identity })
	}
	r, err := c.exec(ctx, statement, d, args)
	if err != nil {
		return nil, err
	}
	row, err := oneRow(r)
	if err != nil {
		return nil, fmt.Errorf("store message: %w", err)
	}
	if row[0] == nil {
		return nil, nil
	}
	id, err := strconv.ParseInt(string(row[0]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("store message: %w: id %q", errSchema, row[0])
	}
	return []Result{{ID: id, Outcome: Stored}}, nil
}

// message adds what the header says, p_line_ends to p_field_values.
func (a *arguments) message(d *Delivery) {
	m := d.Message
	a.text(string(m.LineEnds))
	a.int4(m.HeaderSize)
	if d.bare {
		a.int2(0) // not read: reparse will
	} else {
		a.int2(ParserVersion)
	}
	if m.Date != nil {
		_, offset := m.Date.Zone()
		a.timeOrNull(*m.Date)
		a.int2(int16(offset / 60))
	} else {
		a.add(oidTimestamptz, binaryFormat, nil)
		a.add(oidInt2, binaryFormat, nil)
	}
	a.textPointer(m.Subject)
	var from, sender message.Address
	if len(m.From) > 0 {
		from = m.From[0]
	}
	if len(m.Sender) > 0 {
		sender = m.Sender[0]
	}
	a.textOrNull(from.Name)
	a.textOrNull(from.Address)
	a.textOrNull(sender.Address)
	a.textsOrNull(addresses(m.To))
	a.textsOrNull(addresses(m.Cc))
	a.textsOrNull(addresses(m.ReplyTo))
	a.textOrNull(m.MessageID)
	if len(m.InReplyTo) > 0 {
		a.text(m.InReplyTo[0])
	} else {
		a.textOrNull("")
	}
	a.textsOrNull(m.References)
	defects := make([]string, len(m.Defects))
	for i, d := range m.Defects {
		defects[i] = string(d)
	}
	a.textsOrNull(defects)
	a.fields(m, d.Raw)
}

// fields adds p_field_starts and p_field_values, NULL where SQL finds them by itself.
func (a *arguments) fields(m *message.Message, raw []byte) {
	if fieldsByRule(m.Fields, raw[:m.HeaderSize]) {
		a.add(oidInt4Array, binaryFormat, nil)
	} else {
		a.int4Array(len(m.Fields)+1, func(i int) int {
			switch {
			case i < len(m.Fields):
				return m.Fields[i].Start
			case i > 0:
				return m.Fields[i-1].End
			}
			return 0
		})
	}
	if !slices.ContainsFunc(m.Fields, func(f message.Field) bool { return !f.Plain }) {
		a.add(oidTextArray, binaryFormat, nil)
		return
	}
	a.textArray(len(m.Fields), func(i int) (string, bool) { return m.Fields[i].Value, !m.Fields[i].Plain })
}

// fieldsByRule says whether function field_starts finds the same fields: each
// line that does not begin with a blank or tab begins one, up to the first
// empty line.
func fieldsByRule(fields []message.Field, header []byte) bool {
	if bytes.IndexByte(header, 0) >= 0 {
		return false
	}
	for start := 0; start < len(header); {
		end := start
		for end < len(header) {
			line := bytes.IndexByte(header[end:], '\n')
			if line < 0 {
				end = len(header)
				break
			}
			if end += line + 1; end == len(header) || header[end] != ' ' && header[end] != '\t' {
				break
			}
		}
		if isEmptyLine(header[start:end]) {
			break
		}
		if len(fields) == 0 || fields[0].Start != start || fields[0].End != end {
			return false
		}
		fields, start = fields[1:], end
	}
	return len(fields) == 0
}

func isEmptyLine(text []byte) bool {
	switch string(text) {
	case "\n", "\r\n", "\r":
		return true
	}
	return false
}

// client adds p_client_address to p_flags.
func (a *arguments) client(e *message.Envelope) {
	a.inetOrNull(e.ClientAddress.Unmap())
	a.textOrNull(e.ClientHelo)
	a.textOrNull(e.ClientName)
	a.textOrNull(e.ClientProtocol)
	a.textOrNull(e.SASLUsername)
	a.textOrNull(e.QueueID)
	a.timeOrNull(e.ReceivedAt)
	a.textsOrNull(e.Flags)
}

// envelopeDefects adds p_envelope_defects. It comes after every text of the
// envelope, to know whether one of them had to be cleaned.
func (a *arguments) envelopeDefects(defects []string) {
	if a.cleaned {
		defects = append(defects[:len(defects):len(defects)], defectNotText)
	}
	a.textsOrNull(defects)
}

func addresses(list []message.Address) []string {
	found := make([]string, 0, len(list))
	for _, a := range list {
		if a.Address != "" {
			found = append(found, a.Address)
		}
	}
	return found
}

// readResults takes deliver's two arrays apart. Neither holds anything that
// PostgreSQL would quote.
func readResults(row [][]byte, n int) ([]Result, error) {
	ids := strings.Split(strings.Trim(string(row[0]), "{}"), ",")
	outcomes := strings.Split(strings.Trim(string(row[1]), "{}"), ",")
	if len(ids) != n || len(outcomes) != n {
		return nil, fmt.Errorf("store message: %w: %q %q for %d recipients", errSchema, row[0], row[1], n)
	}
	results := make([]Result, n)
	for i := range results {
		results[i].Outcome = Outcome(outcomes[i])
		if results[i].Outcome == Unknown {
			continue
		}
		id, err := strconv.ParseInt(ids[i], 10, 64)
		if err != nil || (results[i].Outcome != Stored && results[i].Outcome != Redelivered) {
			return nil, fmt.Errorf("store message: %w: %q %q", errSchema, ids[i], outcomes[i])
		}
		results[i].ID = id
	}
	return results, nil
}

// isLeftToDeliver says that nothing was done because deliver has to: an older schema has
// nothing else for a mail with an identity.
func (d *Delivery) isLeftToDeliver(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "MR002" || pg.Code == "42883" && d.Identity != nil)
}

// isLost says whether the connection itself failed rather than the statement.
func isLost(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &network)
}
