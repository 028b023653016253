package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// What a poller may read; and it may change none of it but by its functions.
var polled = []string{"sources", "source_folders", "source_messages", "source_runs", "source_alarms", "source_status", "alarms"}

func TestPollerMayOnlyPoll(t *testing.T) {
	d := setUp(t)
	role := d.role(t, "poller", "login in role mailrow_poller")
	conn := d.as(t, role)
	for _, relation := range d.relations(t) {
		if !slices.Contains(polled, strings.TrimPrefix(relation, "mailrow.")) {
			refused(t, conn, "select from "+relation)
		}
	}
	for _, table := range append([]string{"accounts", "mailboxes", "messages", "deliveries", "routes", "grants", "migrations"}, polled[:5]...) {
		refused(t, conn, writes("mailrow."+table)...)
	}
	refused(t, conn,
		"update mailrow.sources set uri = 'mbox:///etc/passwd'",
		"update mailrow.source_messages set state = 'stored'",
		"update mailrow.sources set secret = 'command:true'",
		"update mailrow.source_tokens set refresh_token = null",
		"select mailrow.retry_source(1)",
		"select mailrow.raise_alarm(1, 'silent', '')",
		"select mailrow.clear_alarm(1, 'silent')",
		fmt.Sprintf("select mailrow.raw(%d)", d.alice),
		fmt.Sprintf("select mailrow.delete_mail(%d)", d.alice),
		"select mailrow.grant_account(current_user, null)",
		"create table mailrow_polling.mine ()",
		"set role mailrow_owner",
		"set role mailrow_reader",
	)
	if _, err := archivetest.Store(conn.Config().ConnString(), "new@example.org", "Subject: new\n\nnew\n"); err != nil {
		t.Errorf("deliver: %v", err)
	}
	ctx := context.Background()
	account := "new@example.org"
	id, err := source.Adopt(ctx, conn, source.Source{URI: "mbox:///a", Account: &account})
	if err != nil {
		t.Fatal(err)
	}
	run, err := source.Begin(ctx, conn, id)
	if err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFolder(ctx, conn, id, "INBOX", "mbox:///a", "keep")
	if err != nil {
		t.Fatal(err)
	}
	_, known := f.Known(ctx, conn, []string{"1"})
	_, failed := f.Fail(ctx, conn, "1", errors.New("no luck"), 3)
	_, active := source.Active(ctx, conn)
	_, listed := source.List(ctx, conn)
	_, alarms := source.Alarms(ctx, conn, 0, true)
	_, health := source.HealthOf(ctx, conn)
	sealed := "sealed:" + strings.Repeat("x", 40)
	if err := source.SetToken(ctx, d.admin, id, source.Token{Provider: "google", Endpoint: "https://a/", ClientID: "1", Refresh: &sealed}); err != nil {
		t.Fatal(err)
	}
	token, read := source.ReadToken(ctx, conn, id)
	if stored, err := source.RotateToken(ctx, conn, id, token, &sealed, sealed, time.Hour); err != nil || !stored {
		t.Errorf("rotate: %v, %v", stored, err)
	}
	for _, err := range []error{known, failed, active, listed, alarms, health, read, f.Gone(ctx, conn, 0, func(string) bool { return false }),
		f.CarriedOut(ctx, conn, []string{"1"}, "delete"), f.Listed(ctx, conn, "", false), f.Listed(ctx, conn, "", true), run.End(ctx, conn, source.Count{}, nil, nil), run.Stop(ctx, conn, source.Count{})} {
		if err != nil {
			t.Error(err)
		}
	}
}

// Whoever delivers or reads does not learn where mail is polled from, and polls nothing.
func TestOthersMayNotPoll(t *testing.T) {
	d := setUp(t)
	reader := d.role(t, "reader", "login")
	d.allow(t, reader, nil)
	for _, role := range []string{reader, d.role(t, "deliverer", "login in role mailrow_deliver"), d.role(t, "stranger", "login")} {
		conn := d.as(t, role)
		for _, relation := range append([]string{"source_tokens"}, polled...) {
			refused(t, conn, "select from mailrow."+relation)
		}
		refused(t, conn,
			"select mailrow.retry_source(1)",
			"select mailrow_polling.begin_run(1, 1, '1 minute')",
			"select mailrow_polling.finish_run(1, 1, null, false)",
			"select mailrow_polling.stop_run(1, 1)",
			"select mailrow.raise_alarm(1, 'silent', '')",
			"select mailrow_polling.settle(1, 1, 'x', 1)",
			"select mailrow_polling.settle(1, 1, 'x', null, null, 1)",
			"select mailrow_polling.stamp(1, 1, 'x', null)",
			"select mailrow_polling.token(1, false)",
			"select mailrow_polling.rotate_token(1, null, null, null, 1)",
		)
	}
}
