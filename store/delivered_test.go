package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/message"
	"mailrow/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// mails are those of testdata and, where it is there, of the corpus.
func mails(t *testing.T) (list []corpus.Mail) {
	t.Helper()
	for _, pattern := range []string{"../testdata/message/*.eml", "../testdata/demo/*.eml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal("no mail in", pattern, err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, corpus.Mail{Name: name, Raw: raw})
		}
	}
	if _, err := corpus.Find(); err != nil || testing.Short() {
		return list
	}
	return append(list, deliverytest.Corpus(t, 30, 1)...)
}

// What is in the rows is what the parser said.
func TestRowsSayWhatTheParserSaid(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for i, mail := range mails(t) {
		id := deliverTo(t, dsn, "ann@example.com", mail.Raw, i%2 == 0)
		for _, problem := range different(t, conn, id, mail.Raw) {
			t.Errorf("%s: %s", mail.Name, problem)
		}
	}
}

var conns = map[string]*store.Conn{}

// deliverTo stores a mail over a connection that is kept, prepared or not.
func deliverTo(t *testing.T, dsn, recipient string, raw []byte, prepared bool) int64 {
	t.Helper()
	ctx := context.Background()
	key := fmt.Sprint(dsn, prepared)
	conn := conns[key]
	if conn == nil {
		config, err := store.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err = store.Connect(ctx, config); err != nil {
			t.Fatal(err)
		}
		if prepared {
			if err := conn.Prepare(ctx); err != nil {
				t.Fatal(err)
			}
		}
		conns[key] = conn
		t.Cleanup(func() { delete(conns, key); conn.Close(ctx) })
	}
	results, err := conn.Deliver(ctx, &store.Delivery{
		Raw: raw, Message: message.Parse(raw),
		Envelope: &message.Envelope{Source: "pipe", Recipients: []message.Recipient{{Address: recipient}}},
		Lookups:  []store.Lookup{{Address: recipient, Base: recipient}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return results[0].ID
}

// different says by what the rows of a mail differ from what Parse says.
func different(t *testing.T, conn *pgx.Conn, id int64, raw []byte) (problems []string) {
	t.Helper()
	ctx := context.Background()
	m := message.Parse(raw)
	same := func(what string, got, want any) {
		if g, w := fmt.Sprintf("%.9000q", got), fmt.Sprintf("%.9000q", want); g != w {
			problems = append(problems, fmt.Sprintf("%s:\ngot  %s\nwant %s", what, g, w))
		}
	}
	var stored []byte
	var text, html, reply *string
	var attachments int
	err := conn.QueryRow(ctx, `select mailrow.raw(id), "text", html, reply_text, attachments from mailrow.mail where id = $1`, id).
		Scan(&stored, &text, &html, &reply, &attachments)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, raw) {
		problems = append(problems, fmt.Sprintf("%d bytes came back as %d others", len(raw), len(stored)))
	}
	same("text", orNone(text), body(m.Text, raw))
	same("html", orNone(html), body(m.HTML, raw))
	same("reply_text", orNone(reply), replyText(m, raw))

	fields := rows(t, conn, `select coalesce(name, ''), value, raw from mailrow.headers where id = $1 order by "position"`, id)
	var wantFields []string
	for i, f := range m.Fields {
		name := strings.ToLower(f.Name)
		if i < len(fields) && !isASCII(raw[f.Start:min(f.End, f.Start+len(name)+1)]) {
			name, _, _ = strings.Cut(fields[i], "|") // SQL shows it with escapes
		}
		wantFields = append(wantFields, fmt.Sprintf("%s|%s|%x", name, f.Value, raw[f.Start:f.End]))
	}
	same("fields", fields, wantFields)

	parts := rows(t, conn, `
		select section, content_type, coalesce(charset, ''), coalesce(disposition, ''), coalesce(filename, ''),
		       coalesce(content_id, ''), encoding, size::text, attachment::text, content,
		       header_start::text, body_start::text, body_end::text, case when attachment then sha256 else '' end
		from mailrow.parts where mail_id = $1 order by "position"`, id)
	var wantParts []string
	named := 0
	for i := range m.Parts {
		p := &m.Parts[i]
		content := p.Decode(raw)
		hash := []byte{}
		if p.Attachment {
			sum := sha256.Sum256(content)
			hash = sum[:]
			named++
		}
		line := fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s|%d|%v|%x|%d|%d|%d|%x", p.Section, p.Type, p.Charset, p.Disposition, p.Filename,
			p.ContentID, p.Encoding, p.Size, p.Attachment, content, p.HeaderStart, p.BodyStart, p.BodyEnd, hash)
		wantParts = append(wantParts, line)
		if int64(len(content)) != p.Size {
			problems = append(problems, fmt.Sprintf("part %s: size %d of %d bytes", p.Section, p.Size, len(content)))
		}
	}
	for i := range max(len(parts), len(wantParts)) {
		got, want := "", ""
		if i < len(parts) {
			got = parts[i]
		}
		if i < len(wantParts) {
			want = wantParts[i]
		}
		if got != want {
			same("part "+fmt.Sprint(i+1), got, want)
		}
	}
	same("attachments", attachments, named)
	files := rows(t, conn, `select section from mailrow.attachments where mail_id = $1`, id)
	same("rows of attachments", len(files), named)

	var wantAddresses []string
	for _, list := range []struct {
		field string
		of    []message.Address
	}{{"from", m.From}, {"sender", m.Sender}, {"reply-to", m.ReplyTo}, {"to", m.To}, {"cc", m.Cc}} {
		for _, a := range list.of {
			address, _ := message.Clean(strings.ToLower(a.Address)[:min(len(a.Address), 1000)])
			wantAddresses = append(wantAddresses, list.field+"|"+a.Name+"|"+address)
		}
	}
	same("addresses", rows(t, conn, `
		select field, coalesce(name, ''), address from mailrow.addresses where mail_id = $1 order by "position"`, id), wantAddresses)
	return problems
}

func rows(t *testing.T, conn *pgx.Conn, query string, args ...any) (lines []string) {
	t.Helper()
	r, err := conn.Query(context.Background(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		values, err := r.Values()
		if err != nil {
			t.Fatal(err)
		}
		columns := make([]string, len(values))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				v = fmt.Sprintf("%x", b)
			}
			columns[i] = fmt.Sprint(v)
		}
		lines = append(lines, strings.Join(columns, "|"))
	}
	if err := r.Err(); err != nil {
		t.Fatal(query, err)
	}
	return lines
}

func orNone(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}

func body(b message.Body, raw []byte) string {
	if !b.Exists {
		return "(none)"
	}
	return b.String(raw)
}

func replyText(m *message.Message, raw []byte) string {
	text := []rune(body(m.Text, raw))
	if m.Reply == nil {
		return string(text)
	}
	var ranges []string
	for _, r := range m.Reply {
		ranges = append(ranges, string(text[r.Start:r.End]))
	}
	return strings.Join(ranges, "\n")
}

func isASCII(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 })
}
