package archive_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/store/access"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

func TestFindPlace(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	archivetest.Deliver(t, dsn, "ann@example.com", "Subject: x\n\nx\n")
	archivetest.Deliver(t, dsn, "carol@example.org", "Subject: x\n\nx\n")
	// A reader of one account: the other is not there. Its mailbox Empty is.
	if _, err := conn.Exec(ctx, `insert into mailrow.mailboxes (account_id, name)
		select account_id, unnest(case name when 'ann@example.com' then '{Empty,Archive/2026}' else '{Private}' end::text[]) from mailrow.accounts;
		create role place_reader login`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := conn.Exec(ctx, `drop owned by place_reader; drop role place_reader`); err != nil {
			t.Error(err)
		}
	})
	ann := "ann@example.com"
	if err := access.Allow(ctx, conn, "place_reader", &ann); err != nil {
		t.Fatal(err)
	}
	reader := archivetest.Connect(t, strings.Replace(dsn, "postgres@", "place_reader@", 1))
	tests := []struct {
		account, mailbox string
		want, forReader  *archive.AbsentError
	}{
		{"", "", nil, nil},
		{ann, "", nil, nil},
		{ann, "Empty", nil, nil},
		{"", "INBOX", nil, nil},
		{"carol@example.org", "", nil, &archive.AbsentError{What: "account", Name: "carol@example.org"}},
		{"carol@example.com", "",
			&archive.AbsentError{What: "account", Name: "carol@example.com", Near: []string{"carol@example.org"}},
			&archive.AbsentError{What: "account", Name: "carol@example.com"}},
		{"", "Private", nil, &archive.AbsentError{What: "mailbox", Name: "Private"}},
		{ann, "Private", &archive.AbsentError{What: "mailbox", Name: "Private", Account: ann}, &archive.AbsentError{What: "mailbox", Name: "Private", Account: ann}},
		{"ann", "INBOX",
			&archive.AbsentError{What: "account", Name: "ann", Near: []string{ann}},
			&archive.AbsentError{What: "account", Name: "ann", Near: []string{ann}}},
		{"", "inbox",
			&archive.AbsentError{What: "mailbox", Name: "inbox", Near: []string{"INBOX"}},
			&archive.AbsentError{What: "mailbox", Name: "inbox", Near: []string{"INBOX"}}},
		{ann, "Spam", &archive.AbsentError{What: "mailbox", Name: "Spam", Account: ann}, &archive.AbsentError{What: "mailbox", Name: "Spam", Account: ann}},
	}
	for _, test := range tests {
		for _, as := range []struct {
			name string
			conn *pgx.Conn
			want *archive.AbsentError
		}{{"superuser", conn, test.want}, {"reader", reader, test.forReader}} {
			var got *archive.AbsentError
			err := archive.FindPlace(ctx, as.conn, test.account, test.mailbox)
			if err != nil && !errors.As(err, &got) {
				t.Errorf("%s, %q %q: %v", as.name, test.account, test.mailbox, err)
			}
			if diff := cmp.Diff(as.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %q %q: %s", as.name, test.account, test.mailbox, diff)
			}
		}
	}
}
