package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

// More than a page, many of the same moment: every mail comes once, in order.
func TestPages(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	first := archivetest.Deliver(t, dsn, "a@example.org", "Subject: first\n\nfirst\n")
	if _, err := conn.Exec(ctx, `
		insert into mailrow.deliveries (account_id, message, mailbox, received_at, source, recipient)
		select account_id, message, mailbox, now() - make_interval(hours => i / 300), source, i::text
		from mailrow.deliveries, generate_series(1, 1200) i`); err != nil {
		t.Fatal(err)
	}
	all, err := archive.IDs(ctx, conn, archive.Filter{})
	if err != nil || len(all) != 1201 {
		t.Fatalf("%d ids, %v", len(all), err)
	}
	recent := archive.Filter{Since: time.Now().Add(-90 * time.Minute), Before: time.Now().Add(-30 * time.Minute)}
	some, err := archive.IDs(ctx, conn, recent)
	if err != nil || len(some) != 300 {
		t.Fatalf("%d ids, %v", len(some), err)
	}
	for _, test := range []struct {
		filter archive.Filter
		want   []int64
	}{
		{archive.Filter{}, all},
		{archive.Filter{Query: "subject:first"}, all},
		{archive.Filter{Query: "subject:second"}, nil},
		{archive.Filter{IDs: []int64{first}}, []int64{first}},
		{archive.Filter{IDs: []int64{}}, nil},
		{archive.Filter{Account: "b@example.org"}, nil},
		{recent, some},
	} {
		var got []int64
		err := archive.Pages(ctx, conn, test.filter, func(page []archive.Mail) error {
			for _, m := range page {
				got = append(got, m.ID)
			}
			return nil
		})
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%+v: %d mails, want %d: %v", test.filter, len(got), len(test.want), err)
		}
	}
	enough := errors.New("enough")
	if err := archive.Pages(ctx, conn, archive.Filter{}, func([]archive.Mail) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

// The newest mail of a mailbox is found by a few pages of 16,000 deliveries, also where
// a mailbox has five old mails, or the account next to it much more.
func TestNewestOfASmallMailbox(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	archivetest.Deliver(t, dsn, "a@example.org", "Subject: much\n\nmuch\n")
	archivetest.Deliver(t, dsn, "b@example.org", "Subject: little\n\nlittle\n")
	for _, statement := range []string{
		`insert into mailrow.mailboxes (account_id, name) select account_id, n from mailrow.accounts, unnest('{Drafts,Empty}'::text[]) n`,
		`insert into mailrow.deliveries (account_id, message, mailbox, received_at, source, recipient)
			select d.account_id, d.message, case when i % 3200 = 7 then b.mailbox_id else 0 end, now() - make_interval(mins => 10 + i), d.source, i::text
			from mailrow.deliveries d join mailrow.mailboxes b on b.account_id = d.account_id and b.name = 'Drafts'
			join mailrow.accounts a on a.account_id = d.account_id and a.name = 'a@example.org', generate_series(1, 16000) i`,
		`vacuum analyze mailrow.deliveries, mailrow.mailboxes, mailrow.accounts`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		account, mailbox string
		want             int
	}{
		{"a@example.org", "INBOX", 20}, {"a@example.org", "Drafts", 5}, {"a@example.org", "Empty", 0}, {"a@example.org", "none", 0},
		{"a@example.org", "", 20}, {"b@example.org", "INBOX", 1}, {"b@example.org", "", 1}, {"c@example.org", "", 0},
	} {
		list, err := archive.List(ctx, conn, archive.Filter{Account: test.account, Mailbox: test.mailbox, Limit: 20})
		var got []int64
		for _, m := range list {
			got = append(got, m.ID)
		}
		var want []int64
		if err == nil {
			err = conn.QueryRow(ctx, `select coalesce(array_agg(id), '{}') from (select id from mailrow.mail
				where account = $1 and ($2 = '' or mailbox = $2) order by received_at desc, id desc limit 20) s`, test.account, test.mailbox).Scan(&want)
		}
		if err != nil || len(got) != test.want || !slices.Equal(got, want) {
			t.Errorf("%s %s: %v, want %d: %v; %v", test.account, test.mailbox, got, test.want, want, err)
		}
		if pages := pagesRead(t, conn, `select id, subject from mailrow.newest($1, nullif($2, ''), 20)`, test.account, test.mailbox); pages > 300 {
			t.Errorf("%s %s: %d pages are read", test.account, test.mailbox, pages)
		}
	}
}

// pagesRead is how many pages of 8 KiB a query looks at.
func pagesRead(t *testing.T, conn *pgx.Conn, sql string, args ...any) int {
	t.Helper()
	var plan []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
	if err := conn.QueryRow(context.Background(), "explain (analyze, buffers, format json) "+sql, args...).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	return plan[0].Plan.Hit + plan[0].Plan.Read
}

func TestAttachments(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	var raw strings.Builder
	raw.WriteString("Subject: many\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n")
	for i := range 12 {
		fmt.Fprintf(&raw, "--b\nContent-Type: text/x-log; name=%d.log\n\ncontent %[1]d\n", i+1)
	}
	raw.WriteString("--b--\n")
	id := archivetest.Deliver(t, dsn, "a@example.org", raw.String())
	list, err := archive.Attachments(ctx, conn, id)
	if err != nil || len(list) != 12 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, a := range list {
		if a.Section != fmt.Sprint(i+1) || a.Filename != fmt.Sprintf("%d.log", i+1) {
			t.Errorf("number %d is %+v", i+1, a)
		}
		var content bytes.Buffer
		if err := archive.WriteAttachment(ctx, conn, id, a.Section, &content); err != nil || content.String() != fmt.Sprintf("content %d", i+1) {
			t.Errorf("number %d: %q, %v", i+1, content.String(), err)
		}
	}
	if err := archive.WriteAttachment(ctx, conn, id, "13", &bytes.Buffer{}); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestThreadAndBody(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	question := archivetest.Deliver(t, dsn, "a@example.org", "Subject: x\nMessage-ID: <1@x>\n\nreally?\n")
	answer := archivetest.Deliver(t, dsn, "a@example.org", "Subject: Re: x\nMessage-ID: <2@x>\nIn-Reply-To: <1@x>\n\nyes\n\n> really?\n")
	archivetest.Deliver(t, dsn, "b@example.org", "Subject: Re: x\nMessage-ID: <2@x>\nIn-Reply-To: <1@x>\n\nyes\n\n> really?\n")
	for _, id := range []int64{question, answer} {
		list, err := archive.Thread(ctx, conn, id)
		if err != nil || len(list) != 2 || list[0].ID != question || list[1].ID != answer {
			t.Errorf("%+v, %v", list, err)
		}
	}
	body, err := archive.ReadBody(ctx, conn, answer)
	if err != nil || *body.Text != "yes\n\n> really?\n" || strings.TrimSpace(*body.Reply) != "yes" || body.HTML != nil {
		t.Errorf("%+v, %v", body, err)
	}
	_, thread := archive.Thread(ctx, conn, 1<<40)
	_, text := archive.ReadBody(ctx, conn, 1<<40)
	for _, err := range []error{thread, text} {
		if !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
}
