package source_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

func sealed(s string) string { return "sealed:" + s + strings.Repeat("x", 40) }

// The table itself refuses a password in clear, whoever writes it.
func TestSecretIsAReference(t *testing.T) {
	conn, _ := connect(t)
	id := add(t, conn, source.Source{URI: "imap://a", Account: text("ann"), Secret: text("env:ANN")})
	for reference, ok := range map[string]bool{
		"file:/etc/mailrow/ann":    true,
		"command:pass show \u00e4": true,
		"credential:ann.1":         true,
		sealed("a"):                true,
		"hunter2":                  false,
		"":                         false,
		"env:a b":                  false,
		"file:a":                   false,
		"file:/a\nb":               false,
		"command:a\tb":             false,
		"credential:.":             false,
		"sealed:hunter2":           false,
		"xfile:/a":                 false,
	} {
		err := source.SetSecret(ctx, conn, id, &reference)
		var bad *source.ValueError
		switch {
		case ok && err != nil:
			t.Errorf("%s: %v", reference, err)
		case !ok && (!errors.As(err, &bad) || bad.Constraint != "sources_secret_is_a_reference"):
			t.Errorf("%s: %v", reference, err)
		}
	}
	if err := source.SetSecret(ctx, conn, id, text("env:ANN_2")); err != nil {
		t.Fatal(err)
	}
	if got, err := source.Find(ctx, conn, "imap://a", "imap://a"); err != nil || got.Secret == nil || *got.Secret != "env:ANN_2" {
		t.Errorf("got %v, %v", got.Secret, err)
	}
	list, err := source.List(ctx, conn)
	if err != nil || len(list) != 1 || *list[0].Secret != "env:ANN_2" {
		t.Errorf("list: %v, %v", list, err)
	}
}

func TestToken(t *testing.T) {
	conn, _ := connect(t)
	id := add(t, conn, source.Source{URI: "imap://a", Account: text("ann")})
	if _, err := source.ReadToken(ctx, conn, id); !errors.Is(err, source.ErrNoToken) {
		t.Errorf("without a token: %v", err)
	}
	want := source.Token{Provider: "google", Endpoint: "https://oauth2.example.com/token", ClientID: "me", ClientSecret: text("env:X"),
		Scope: "mail", Refresh: text(sealed("r1"))}
	read := func(when string) source.Token {
		t.Helper()
		got, err := source.ReadToken(ctx, conn, id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		return got
	}
	rotate := func(from source.Token, refresh, access string, usable time.Duration, ok bool) {
		t.Helper()
		if stored, err := source.RotateToken(ctx, conn, id, from, &refresh, access, usable); err != nil || stored != ok {
			t.Errorf("stored %v, %v; want %v", stored, err, ok)
		}
	}
	if err := source.SetToken(ctx, conn, id, want); err != nil {
		t.Fatal(err)
	}
	first := read("authorised")
	rotate(first, sealed("r2"), sealed("a2"), time.Hour, true)
	want.Refresh, want.Access = text(sealed("r2")), text(sealed("a2"))
	second := read("refreshed")
	rotate(first, sealed("r3"), sealed("a3"), time.Hour, false)
	read("after another was first")

	exec(t, conn, `update mailrow.sources set failures = 1`)
	read("refreshed this minute")
	exec(t, conn, `update mailrow.source_tokens set refreshed_at = now() - interval '2 minutes'`)
	want.Access = nil
	read("after a failed run")
	exec(t, conn, `update mailrow.sources set failures = 0`)
	rotate(second, sealed("r2"), sealed("a4"), 0, true)
	read("at its end")

	want.Refresh, want.ClientID = text(sealed("r5")), "you"
	if err := source.SetToken(ctx, conn, id, want); err != nil {
		t.Fatal(err)
	}
	read("authorised anew")
	exec(t, conn, `delete from mailrow.sources`)
	if _, err := source.ReadToken(ctx, conn, id); !errors.Is(err, source.ErrNoToken) {
		t.Errorf("after the source was removed: %v", err)
	}
}

func TestTokenIsNeverInClear(t *testing.T) {
	conn, _ := connect(t)
	id := add(t, conn, source.Source{URI: "imap://a", Account: text("ann")})
	good := source.Token{Provider: "google", Endpoint: "https://a.example.com/token", ClientID: "me", Refresh: text(sealed("r"))}
	for want, spoil := range map[string]func(*source.Token){
		"source_tokens_refresh_token_is_sealed":      func(k *source.Token) { k.Refresh = text("1//0abc") },
		"source_tokens_client_secret_is_a_reference": func(k *source.Token) { k.ClientSecret = text("GOCSPX-1") },
		"source_tokens_endpoint_is_private":          func(k *source.Token) { k.Endpoint = "http://a.example.com/token" },
		"source_tokens_can_be_refreshed":             func(k *source.Token) { k.Refresh = nil },
		"source_tokens_client_not_empty":             func(k *source.Token) { k.ClientID = "" },
		"":                                           func(k *source.Token) { k.Endpoint = "http://127.0.0.1:8080/token" },
	} {
		k := good
		spoil(&k)
		err := source.SetToken(ctx, conn, id, k)
		var bad *source.ValueError
		if errors.As(err, &bad) && bad.Constraint != want || !errors.As(err, &bad) && want != "" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// While one poller refreshes, the other waits, and then finds it done.
func TestOneRefreshesAtATime(t *testing.T) {
	conn, dsn := connect(t)
	other := archivetest.Connect(t, dsn)
	id := add(t, conn, source.Source{URI: "imap://a", Account: text("ann")})
	if err := source.SetToken(ctx, conn, id, source.Token{Provider: "google", Endpoint: "https://a/", ClientID: "me", Refresh: text(sealed("r1"))}); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	mine, err := source.LockToken(ctx, tx, id)
	if err != nil || mine.Access != nil {
		t.Fatal(mine, err)
	}
	waited := make(chan source.Token, 1)
	go func() {
		defer close(waited)
		_ = pgx.BeginFunc(ctx, other, func(tx pgx.Tx) error {
			theirs, err := source.LockToken(ctx, tx, id)
			if err != nil {
				t.Error(err)
			}
			waited <- theirs
			return err
		})
	}()
	select {
	case got := <-waited:
		t.Fatalf("it did not wait: %v", got)
	case <-time.After(200 * time.Millisecond):
	}
	if stored, err := source.RotateToken(ctx, conn, id, mine, text(sealed("r2")), sealed("a2"), time.Hour); err != nil || !stored {
		t.Fatal(stored, err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-waited; got.Access == nil || *got.Access != sealed("a2") {
		t.Errorf("after waiting: %+v", got)
	}
	<-waited // closed: its connection is free
}
