package imap_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/internal/scripttest"
	"mailrow/poller"
	"mailrow/poller/imap"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// A server that was restored from a backup may give the UIDs of mails that came after
// it to others, under the same UIDVALIDITY.
func TestUIDsOfOtherMails(t *testing.T) {
	session := func(uid int, day, rest string) string {
		return fmt.Sprintf(strings.Replace(examine, "3 EXISTS", "1 EXISTS", 1)+`
C: a FETCH 1:1
S: * 1 FETCH (UID %d FLAGS () RFC822.SIZE 14 INTERNALDATE "%s-May-2026 10:00:00 +0000")
S: a OK
`, uid, day) + rest + "silence\n"
	}
	body := func(text string) string {
		return fmt.Sprintf("C: a UID FETCH 4 \nS: * 1 FETCH (UID 4 BODY[] {14}\nS: Subject: %s\nS: \nS: )\nS: a OK\n", text)
	}
	const removed = "C: a SELECT \"INBOX\"\nS: * 1 EXISTS\nS: * OK [UIDVALIDITY 7] valid\nS: * OK [UIDNEXT 10] next\nS: a OK [READ-WRITE] opened\n" +
		"C: a UID STORE 4 +FLAGS.SILENT (\\Deleted)\nS: a OK\nC: a UID EXPUNGE 4\nS: a OK\n"
	s := scripttest.Start(t, nil,
		session(4, "01", body("a")),
		session(4, "02", body("b")), // it came later
		session(4, "02", ""),
		session(4, "03", body("c")+removed),
	)
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	p := &poller.Poller{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
		Open: func(ctx context.Context, _ source.Source, _ poller.URI) (poller.Source, error) {
			return imap.Open(ctx, at(t, s.Addr()))
		},
		Config: deliver.DefaultConfig(),
		Warn:   func(_ source.Source, err error) { t.Error(err) },
	}
	account := "ann"
	of := source.Source{URI: "imap://u1@127.0.0.1", Account: &account}
	var err error
	if of.ID, err = source.Add(t.Context(), conn, of); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{{"a"}, {"a", "b"}, {"a", "b"}, {"a", "b", "c"}} {
		// What is listed in part is not at stake here.
		if _, err := conn.Exec(t.Context(), `update mailrow.source_folders set revision = null`); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			of.URI += "?after=delete"
		}
		if _, err := p.Run(t.Context(), of); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, deliverytest.Rows(t, dsn, `select subject from mailrow.mail order by id`)); diff != "" {
			t.Errorf("run %d: %s", i+1, diff)
		}
	}
}
