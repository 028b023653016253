package credentials_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/oauthtest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/poller/credentials"
	"mailrow/poller/oauth"
	"mailrow/poller/sasl"
	"mailrow/poller/secret"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var ctx = context.Background()

// world is a source whose owner has agreed, and the poller's way to its token.
type world struct {
	*testing.T
	*credentials.Keeper
	server *oauthtest.Server
	admin  *pgx.Conn
	source source.Source
}

func start(t *testing.T) world {
	t.Helper()
	dsn := deliverytest.Database(t)
	admin := archivetest.Connect(t, dsn)
	name := strings.ReplaceAll("poller_of_"+admin.Config().Database, "-", "_")
	if _, err := admin.Exec(ctx, "create role "+name+" login in role mailrow_poller"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(ctx, "drop role "+name); err != nil {
			t.Error(err)
		}
	})
	key := secret.KeyFile(filepath.Join(scratch.ForTest(t), "key"))
	if made, err := key.Need(); err != nil || !made {
		t.Fatal(made, err)
	}
	w := world{T: t, server: oauthtest.Start(t), admin: admin, Keeper: &credentials.Keeper{
		Key: key,
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			return pgx.Connect(ctx, strings.Replace(dsn, "postgres@", name+"@", 1))
		},
	}}
	w.source = w.add("ann")
	return w
}

func (w world) add(name string) source.Source {
	w.Helper()
	account := "ann"
	s := source.Source{Name: &name, URI: "imap+ssl://ann@imap.example.com?folder=INBOX", Account: &account}
	id, err := source.Add(ctx, w.admin, s)
	if err != nil {
		w.Fatal(err)
	}
	s.ID = id
	return s
}

func (w world) authorise() {
	w.Helper()
	p, err := oauth.Named(ctx, nil, w.server.URL, "")
	if err != nil {
		w.Fatal(err)
	}
	refresh := sasl.NewSecret(w.server.Grant())
	err = w.Authorise(ctx, w.admin, w.source, credentials.Grant{Provider: p, Refresh: &refresh,
		Client: oauth.Client{ID: oauthtest.ClientID, Secret: sasl.NewSecret(oauthtest.ClientSecret)}})
	if err != nil {
		w.Fatal(err)
	}
}

// token is what the source logs in with now.
func (w world) token() (string, error) {
	c, err := w.Of(ctx, w.source)
	if err != nil {
		return "", err
	}
	if c.Token == nil {
		return "", source.ErrNoToken
	}
	s, err := c.Token(ctx)
	return s.Reveal(), err
}

func (w world) good() string {
	w.Helper()
	token, err := w.token()
	if err != nil || !w.server.Valid(token) {
		w.Fatalf("token %q, %v", token, err)
	}
	return token
}

func (w world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.admin.Exec(ctx, sql, args...); err != nil {
		w.Fatal(err)
	}
}

func (w world) refreshes() int {
	forms, _ := w.server.Requests("refresh_token")
	return len(forms)
}

const expire = `update mailrow.source_tokens set usable_until = now() where access_token is not null`

func TestPasswords(t *testing.T) {
	w := start(t)
	if c, err := w.Of(ctx, w.source); err != nil || c.Password != nil || c.Token != nil || c.User != "ann" {
		t.Errorf("without anything: %+v, %v", c, err)
	}
	t.Setenv("MAILROW_TEST_SECRET", "hunter2")
	reference, err := secret.Parse("env:MAILROW_TEST_SECRET")
	if err != nil {
		t.Fatal(err)
	}
	text := sasl.NewSecret("hunter3")
	for want, p := range map[string]credentials.Password{"hunter2": {Reference: reference}, "hunter3": {Text: &text}, "": {}} {
		if err := w.Set(ctx, w.admin, w.source, p); err != nil {
			t.Fatal(err)
		}
		s, err := source.Find(ctx, w.admin, "ann", "ann")
		if err != nil {
			t.Fatal(err)
		}
		c, err := w.Of(ctx, s)
		if err != nil || (c.Password == nil) != (want == "") {
			t.Fatalf("%q: %+v, %v", want, c, err)
		}
		if c.Password == nil {
			continue
		}
		if got, err := c.Password(ctx); err != nil || got.Reveal() != want {
			t.Errorf("%q: got %q, %v", want, got.Reveal(), err)
		}
	}
}

// A password sealed for one row is of no use in another one, nor for a server that
// somebody has put into the row.
func TestSealedPasswordStaysWithItsRow(t *testing.T) {
	w := start(t)
	text := sasl.NewSecret("hunter2")
	if err := w.Set(ctx, w.admin, w.source, credentials.Password{Text: &text}); err != nil {
		t.Fatal(err)
	}
	w.add("mallory")
	w.exec(`update mailrow.sources set secret = (select secret from mailrow.sources where name = 'ann') where name = 'mallory'`)
	w.exec(`update mailrow.sources set uri = uri || '&after=seen' where name = 'ann'`)
	for name, want := range map[string]bool{"ann": true, "mallory": false, "moved": false} {
		if name == "moved" {
			w.exec(`update mailrow.sources set uri = 'imap+ssl://ann@imap.example.net', name = 'moved' where name = 'ann'`)
		}
		s, err := source.Find(ctx, w.admin, name, name)
		if errors.Is(err, source.ErrNotFound) {
			continue // moved already
		}
		c, err := w.Of(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Password(ctx)
		if want != (err == nil) || !want && got.Reveal() != "" {
			t.Errorf("%s: %q, %v", name, got.Reveal(), err)
		}
	}
}

func TestTokenIsKeptUntilItEnds(t *testing.T) {
	w := start(t)
	if _, err := w.token(); !errors.Is(err, source.ErrNoToken) {
		t.Errorf("before: %v", err)
	}
	w.authorise()
	first := w.good()
	if again := w.good(); again != first || w.refreshes() != 1 {
		t.Errorf("%d refreshes", w.refreshes())
	}
	for range 3 { // each with the refresh token of the one before
		w.exec(expire)
		if next := w.good(); next == first {
			t.Error("the token was not refreshed")
		}
	}
	if w.refreshes() != 4 {
		t.Errorf("%d refreshes, want 4", w.refreshes())
	}
}

func TestTokenIsRefreshedAfterAFailedRun(t *testing.T) {
	w := start(t)
	w.authorise()
	w.good()
	w.exec(`update mailrow.source_tokens set refreshed_at = now() - interval '1 hour'`)
	w.exec(`update mailrow.sources set failures = 1`)
	w.good()
	w.good()
	if w.refreshes() != 2 {
		t.Errorf("%d refreshes, want 2", w.refreshes())
	}
}

// The server ends the grant when a refresh token comes twice: that must not happen
// however many pollers there are.
func TestManyRefreshAtOnce(t *testing.T) {
	w := start(t)
	w.authorise()
	w.server.Delay = 100 * time.Millisecond
	for range 5 {
		w.exec(expire)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if token, err := w.token(); err != nil || !w.server.Valid(token) {
					t.Errorf("%q, %v", token, err)
				}
			})
		}
		all.Wait()
	}
	if w.refreshes() != 5 {
		t.Errorf("%d refreshes, want 5", w.refreshes())
	}
}

// The provider has answered, and the database has gone: the new refresh token is
// the only good one.
func TestConnectionIsLostWhileRefreshing(t *testing.T) {
	w := start(t)
	w.authorise()
	w.server.Delay = 300 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		_, err := w.token()
		done <- err
	}()
	for w.refreshes() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	w.exec(`select pg_terminate_backend(pid) from pg_stat_activity where usename like 'poller_of_%' and datname = current_database()`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.exec(expire)
	w.good()
}

// Whoever asked has gone: what the provider has given is kept all the same.
func TestCallerGoesWhileRefreshing(t *testing.T) {
	w := start(t)
	w.authorise()
	w.server.Delay = 100 * time.Millisecond
	c, err := w.Of(ctx, w.source)
	if err != nil {
		t.Fatal(err)
	}
	leaving, leave := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Token(leaving) // it may succeed or be too late
	}()
	for w.refreshes() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	<-done
	w.server.Delay = 0
	w.good()
}

func TestGrantIsRevoked(t *testing.T) {
	w := start(t)
	w.authorise()
	w.server.Revoke()
	_, err := w.token()
	var revoked *credentials.RevokedError
	if !errors.As(err, &revoked) || !strings.Contains(err.Error(), "run mailrow auth "+w.server.URL+" --source 'ann' again") {
		t.Errorf("got %v", err)
	}
	w.authorise()
	w.good()

	w.exec(expire)
	w.exec(`update mailrow.source_tokens set client_secret = 'env:MAILROW_TEST_WRONG'`)
	t.Setenv("MAILROW_TEST_WRONG", "hunter2hunter2")
	_, err = w.token()
	var refused *credentials.RefusedError
	if !errors.As(err, &refused) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong secret: %v", err)
	}
	w.exec(`update mailrow.source_tokens set client_secret = 'env:MAILROW_TEST_ABSENT'`)
	if _, err = w.token(); err == nil || !strings.Contains(err.Error(), "MAILROW_TEST_ABSENT is not set") {
		t.Errorf("no secret: %v", err)
	}
}

func TestClientCredentials(t *testing.T) {
	w := start(t)
	p, err := oauth.Named(ctx, nil, w.server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	p.Own = "https://outlook.office365.com/.default"
	client := oauth.Client{ID: oauthtest.ClientID, Secret: sasl.NewSecret(oauthtest.ClientSecret)}
	if err := w.Authorise(ctx, w.admin, w.source, credentials.Grant{Provider: p, Client: client}); err != nil {
		t.Fatal(err)
	}
	w.good()
	w.good()
	forms, _ := w.server.Requests("client_credentials")
	if len(forms) != 1 || forms[0].Get("scope") != p.Own {
		t.Errorf("asked %v", forms)
	}
}

// No row has anything in clear.
func TestRowsHaveNothingInClear(t *testing.T) {
	w := start(t)
	text := sasl.NewSecret("hunter2")
	if err := w.Set(ctx, w.admin, w.source, credentials.Password{Text: &text}); err != nil {
		t.Fatal(err)
	}
	w.authorise()
	access := w.good()
	var rows string
	err := w.admin.QueryRow(ctx, `select (select json_agg(s) from mailrow.sources s)::text || (select json_agg(t) from mailrow.source_tokens t)::text`).Scan(&rows)
	if err != nil {
		t.Fatal(err)
	}
	forms, _ := w.server.Requests("refresh_token")
	for _, clear := range []string{"hunter2", access, oauthtest.ClientSecret, forms[0].Get("refresh_token")} {
		if clear == "" || strings.Contains(rows, clear) {
			t.Errorf("%q is in %s", clear, rows)
		}
	}
	if diff := cmp.Diff(4, strings.Count(rows, `"sealed:`)); diff != "" {
		t.Errorf("sealed: %s", diff)
	}
}
