package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/store/archive"
)

// showing is what show prints of a mail.
type showing struct {
	json, headers, raw bool
	text, reply, html  bool
}

func (p *program) showCommand() *cobra.Command {
	var what showing
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show a mail: envelope, header, attachments and text",
		Long: `Shows one row of view mailrow.mail as a person reads it. ID is what mailrow list
shows. Control characters in a mail are written as \x1b and the like, so that
no mail can play with the terminal; only --text, --reply, --html and --raw, where
they go elsewhere than to a terminal, are as they are. A mail whose bytes are no
longer those that were received is shown as far as it can be, and then an error.`,
		Example: `  mailrow show 42
  mailrow show 42 --html > 42.html
  mailrow show 42 --json | jq -r '.header[] | select(.name == "received") | .value'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(c, args[0])
			if err != nil {
				return err
			}
			texts := what.text || what.reply || what.html
			if what.raw && (what.json || what.headers || texts) || what.headers && texts && !what.json {
				return misused(c, "--raw and --headers do not go with other forms")
			}
			if what.raw {
				return p.raw(c, id)
			}
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				if err := p.show(ctx, conn, id, what); err != nil {
					return err
				}
				// What there is was shown: better than nothing for who has lost the rest.
				return missing(archive.CheckRaw(ctx, conn, id))
			})
		},
	}
	flags := c.Flags()
	flags.BoolVar(&what.headers, "headers", false, "show all header fields")
	flags.BoolVar(&what.text, "text", false, "print only the text")
	flags.BoolVar(&what.reply, "reply", false, "print only the text without quotes and signature")
	flags.BoolVar(&what.html, "html", false, "print only the source of the HTML")
	flags.BoolVar(&what.raw, "raw", false, "as mailrow raw: the mail byte for byte")
	flags.BoolVar(&what.json, "json", false, "print one JSON object; with --text, --reply and --html these as well")
	return c
}

func parseID(c *cobra.Command, s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id <= 0 {
		return 0, misused(c, "%q is not an id: mailrow list shows them", s)
	}
	return id, nil
}

func (p *program) show(ctx context.Context, conn *pgx.Conn, id int64, what showing) error {
	if !what.json && (what.text || what.reply || what.html) {
		return p.showBody(ctx, conn, id, what)
	}
	m, err := archive.Find(ctx, conn, id)
	if err != nil {
		return missing(err)
	}
	header, err := archive.Header(ctx, conn, id)
	if err != nil {
		return err
	}
	attachments, err := archive.Attachments(ctx, conn, id)
	if err != nil {
		return err
	}
	body, err := archive.ReadBody(ctx, conn, id)
	if err != nil {
		return missing(err)
	}
	if what.json {
		return p.showJSON(m, header, attachments, body, what)
	}
	return p.write(rendered(m, header, attachments, body, what.headers))
}

func (p *program) showJSON(m archive.Mail, header []archive.Field, attachments []archive.Attachment, body archive.Body, what showing) error {
	object := struct {
		archive.Mail
		Files  []archive.Attachment `json:"files"`
		Header []archive.Field      `json:"header"`
		Text   *string              `json:"text,omitempty"`
		Reply  *string              `json:"reply_text,omitempty"`
		HTML   *string              `json:"html,omitempty"`
	}{Mail: m, Header: header, Files: attachments}
	if what.text {
		object.Text = body.Text
	}
	if what.reply {
		object.Reply = body.Reply
	}
	if what.html {
		object.HTML = body.HTML
	}
	return p.writeJSON(object)
}

// showBody prints texts only: as they are, but to a terminal.
func (p *program) showBody(ctx context.Context, conn *pgx.Conn, id int64, what showing) error {
	body, err := archive.ReadBody(ctx, conn, id)
	if err != nil {
		return missing(err)
	}
	for _, one := range []struct {
		wanted bool
		text   *string
		name   string
	}{{what.text, body.Text, "text"}, {what.reply, body.Reply, "text"}, {what.html, body.HTML, "HTML"}} {
		if !one.wanted {
			continue
		}
		if one.text == nil {
			return fmt.Errorf("mail %d has no %s: mailrow show %[1]d says what it has", id, one.name)
		}
		out := ended(*one.text)
		if isTerminal(p.out) {
			out = readable(out)
		}
		if err := p.write(out); err != nil {
			return err
		}
	}
	return nil
}

// rendered is a mail as a person reads it.
func rendered(m archive.Mail, header []archive.Field, attachments []archive.Attachment, body archive.Body, all bool) string {
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
		if all || slices.Contains(readFields, name) {
			fmt.Fprintf(&b, "%s: %s\n", printable(name), printable(f.Value))
		}
	}
	if len(attachments) > 0 {
		b.WriteString("\n" + attachmentTable(attachments))
	}
	if text := readable(ended(text(body.Text))); text != "" {
		b.WriteString("\n" + text)
	}
	fmt.Fprintf(&b, "\nThe mail itself, byte for byte: mailrow raw %d > %[1]d.eml\n", m.ID)
	return b.String()
}

// readFields are the header fields that a person reads.
var readFields = []string{"from", "sender", "reply-to", "to", "cc", "bcc", "date", "subject"}

// ended gives a text an LF at its end.
func ended(s string) string {
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
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
	thread := ""
	if m.Thread != nil {
		thread = strconv.FormatInt(*m.Thread, 10)
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
		{"thread", thread},
		{"defects", strings.Join(m.Defects, " ")},
	}
}
