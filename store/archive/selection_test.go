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
