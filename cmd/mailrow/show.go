package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

func (p *program) showCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show the envelope and the header of a mail",
		Long: `Shows one row of view mailrow.mail and the decoded header fields. ID is what
mailrow list shows. Control characters in a mail are written as \x1b and the
like, so that no mail can play with the terminal.`,
		Example: `  mailrow show 42
  mailrow show 42 --json | jq -r '.header[] | select(.name == "received") | .value'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(c, args[0])
			if err != nil {
				return err
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				return p.show(ctx, conn, id, asJSON)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func parseID(c *cobra.Command, s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id <= 0 {
		return 0, misused(c, "%q is not an id: mailrow list shows them", s)
	}
	return id, nil
}

func (p *program) show(ctx context.Context, conn *pgx.Conn, id int64, asJSON bool) error {
	m, err := archive.Find(ctx, conn, id)
	if err != nil {
		return missing(err)
	}
	header, err := archive.Header(ctx, conn, id)
	if err != nil {
		return err
	}
	if asJSON {
		return p.writeJSON(struct {
			archive.Mail
			Header []archive.Field `json:"header"`
		}{m, header})
	}
	var b strings.Builder
	for _, row := range envelope(m) {
		if row[1] != "" {
			fmt.Fprintf(&b, "%-18s %s\n", row[0], printable(row[1]))
		}
	}
	b.WriteString("\n")
	for _, f := range header {
		name := "(no field)"
		if f.Name != nil {
			name = *f.Name
		}
		fmt.Fprintf(&b, "%s: %s\n", printable(name), printable(f.Value))
	}
	fmt.Fprintf(&b, "\nThe mail itself, byte for byte: mailrow raw %d > %[1]d.eml\n", id)
	return p.write(b.String())
}

// missing adds the remedy to ErrNotFound.
func missing(err error) error {
	if errors.Is(err, archive.ErrNotFound) {
		return fmt.Errorf("%w, or none that this role may see: mailrow list shows what there is", err)
	}
	return err
}

// envelope is what is known of an arrival, in rows of name and text.
func envelope(m archive.Mail) [][2]string {
	sender := "<>  (null reverse-path)"
	switch {
	case m.Sender == nil:
		sender = ""
	case *m.Sender != "":
		sender = *m.Sender
	}
	client := strings.TrimSpace(text(m.ClientName) + " [" + text(m.ClientAddress) + "]")
	if m.ClientAddress == nil {
		client = text(m.ClientName)
	}
	redelivered := ""
	if m.Redelivered > 0 {
		redelivered = fmt.Sprintf("%d times, stored once", m.Redelivered)
	}
	sent := ""
	if m.SentAt != nil {
		sent = m.SentAt.Format(time.RFC1123Z)
	}
	return [][2]string{
		{"id", strconv.FormatInt(m.ID, 10)},
		{"account", m.Account},
		{"mailbox", m.Mailbox},
		{"received", m.ReceivedAt.Local().Format(time.RFC1123Z)},
		{"sent", sent},
		{"sender", sender},
		{"recipient", m.Recipient},
		{"original recipient", text(m.OriginalRecipient)},
		{"extension", text(m.Extension)},
		{"client", client},
		{"helo", text(m.ClientHelo)},
		{"protocol", text(m.ClientProtocol)},
		{"sasl username", text(m.SASLUsername)},
		{"queue id", text(m.QueueID)},
		{"source", m.Source},
		{"redelivered", redelivered},
		{"flags", strings.Join(m.Flags, " ")},
		{"size", fmt.Sprintf("%d bytes, line ends %s", m.Size, m.LineEnds)},
		{"sha256", m.SHA256},
		{"defects", strings.Join(m.Defects, " ")},
	}
}
