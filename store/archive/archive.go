// Package archive reads and removes the mail that is stored. It asks only the
// views and functions that users have, so every role sees what was granted to it.
package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNotFound says that there is no such mail, or none that the connected role
// may see: the database does not tell the two apart.
var ErrNotFound = errors.New("there is no such mail")

// Mail is one row of view mail: the arrival of a mail in a mailbox.
type Mail struct {
	ID                int64      `json:"id"`
	Account           string     `json:"account"`
	Mailbox           string     `json:"mailbox"`
	ReceivedAt        time.Time  `json:"received_at"`
	Sender            *string    `json:"sender"` // "" is the null reverse-path; nil: not known
	Recipient         string     `json:"recipient"`
	OriginalRecipient *string    `json:"original_recipient"`
	Extension         *string    `json:"extension"`
	Subject           *string    `json:"subject"`
	FromName          *string    `json:"from_name"`
	FromAddress       *string    `json:"from_address"`
	ToAddresses       []string   `json:"to_addresses"`
	CcAddresses       []string   `json:"cc_addresses"`
	SentAt            *time.Time `json:"sent_at"` // in the zone that the sender wrote
	MessageID         *string    `json:"message_id"`
	InReplyTo         *string    `json:"in_reply_to"`
	ReferencesIDs     []string   `json:"references_ids"`
	Flags             []string   `json:"flags"`
	Attachments       int        `json:"attachments"`
	Thread            *int64     `json:"thread"`
	Size              int64      `json:"size"`
	SHA256            string     `json:"sha256"`
	LineEnds          string     `json:"line_ends"`
	ClientAddress     *string    `json:"client_address"`
	ClientHelo        *string    `json:"client_helo"`
	ClientName        *string    `json:"client_name"`
	ClientProtocol    *string    `json:"client_protocol"`
	SASLUsername      *string    `json:"sasl_username"`
	QueueID           *string    `json:"queue_id"`
	Source            string     `json:"source"`
	Redelivered       int        `json:"redelivered"`
	Defects           []string   `json:"defects"`
}

// columns of view mail in the order that scanMail reads them.
const columns = `
	id, coalesce(account, ''), coalesce(mailbox, ''), received_at, sender, recipient, original_recipient, extension,
	subject, from_name, from_address, to_addresses, cc_addresses, sent_at, extract(epoch from sent_offset)::integer,
	message_id, in_reply_to, references_ids, flags, attachments, thread, coalesce(size, 0), coalesce(encode(sha256, 'hex'), ''),
	coalesce(line_ends, ''), host(client_address), client_helo, client_name, client_protocol, sasl_username, queue_id,
	source, redelivered, defects`

func scanMail(row pgx.CollectableRow) (Mail, error) {
	var m Mail
	var offset *int // seconds east of UTC
	err := row.Scan(&m.ID, &m.Account, &m.Mailbox, &m.ReceivedAt, &m.Sender, &m.Recipient, &m.OriginalRecipient, &m.Extension,
		&m.Subject, &m.FromName, &m.FromAddress, &m.ToAddresses, &m.CcAddresses, &m.SentAt, &offset,
		&m.MessageID, &m.InReplyTo, &m.ReferencesIDs, &m.Flags, &m.Attachments, &m.Thread, &m.Size, &m.SHA256,
		&m.LineEnds, &m.ClientAddress, &m.ClientHelo, &m.ClientName, &m.ClientProtocol, &m.SASLUsername, &m.QueueID,
		&m.Source, &m.Redelivered, &m.Defects)
	if err == nil && m.SentAt != nil && offset != nil {
		at := m.SentAt.In(time.FixedZone("", *offset))
		m.SentAt = &at
	}
	return m, err
}

// Find gives one mail, or ErrNotFound.
func Find(ctx context.Context, conn *pgx.Conn, id int64) (Mail, error) {
	rows, err := conn.Query(ctx, `select `+columns+` from mailrow.mail where id = $1`, id)
	if err != nil {
		return Mail{}, fmt.Errorf("find mail %d: %w", id, err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMail)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Mail{}, fmt.Errorf("find mail %d: %w", id, err)
	}
	return m, nil
}

// Field is one header field; Name is nil for a line that is no field.
type Field struct {
	Name  *string `json:"name"`  // in lower case
	Value string  `json:"value"` // decoded and unfolded
}

// Header gives the header fields of a mail in their order; none where there is
// no such mail.
func Header(ctx context.Context, conn *pgx.Conn, id int64) ([]Field, error) {
	rows, err := conn.Query(ctx, `
		select name, value from mailrow.headers where id = $1 order by "position"`, id)
	if err != nil {
		return nil, fmt.Errorf("read header of mail %d: %w", id, err)
	}
	fields, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Field])
	if err != nil {
		return nil, fmt.Errorf("read header of mail %d: %w", id, err)
	}
	return fields, nil
}

// Thread gives the conversation that a mail belongs to, itself included, the
// oldest first; ErrNotFound without such a mail.
func Thread(ctx context.Context, conn *pgx.Conn, id int64) ([]Mail, error) {
	rows, err := conn.Query(ctx, `select `+columns+` from mailrow.thread($1)`, id)
	if err != nil {
		return nil, fmt.Errorf("list thread of mail %d: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, scanMail)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("list thread of mail %d: %w", id, err)
	}
	return list, nil
}

// Body is what a mail says; a text is nil where the mail has none of the kind.
type Body struct {
	Text  *string `json:"text"`
	Reply *string `json:"reply_text"` // without quotes and signature
	HTML  *string `json:"html"`       // as the sender wrote it
}

// ReadBody gives the texts of a mail, or ErrNotFound.
func ReadBody(ctx context.Context, conn *pgx.Conn, id int64) (Body, error) {
	var b Body
	err := conn.QueryRow(ctx, `select "text", reply_text, html from mailrow.mail where id = $1`, id).Scan(&b.Text, &b.Reply, &b.HTML)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Body{}, fmt.Errorf("read text of mail %d: %w", id, err)
	}
	return b, nil
}
