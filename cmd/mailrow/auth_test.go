package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/oauthtest"
	"mailrow/internal/scratch"
)

// authorising is mailrow auth with a provider and a source.
type authorising struct {
	*testing.T
	server *oauthtest.Server
	dsn    string
	env    map[string]string
	secret string // file
}

func newAuthorising(t *testing.T) *authorising {
	dir := scratch.ForTest(t)
	a := &authorising{T: t, server: oauthtest.Start(t), dsn: deliverytest.Database(t), secret: filepath.Join(dir, "client")}
	if err := os.WriteFile(a.secret, []byte(oauthtest.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.env = map[string]string{"DATABASE_URL": a.dsn, "MAILROW_KEY_FILE": filepath.Join(dir, "key")}
	a.run(0, "", "source", "add", "imap+ssl://ann%40example.com@imap.example.com", "--name", "ann", "--account", "ann")
	return a
}

// run gives both outputs.
func (a *authorising) run(exit int, stdin string, args ...string) string {
	a.Helper()
	var out bytes.Buffer
	if got := run(args, func(name string) string { return a.env[name] }, strings.NewReader(stdin), &out, &out); got != exit {
		a.Fatalf("mailrow %v: exit %d, want %d: %s", args, got, exit, &out)
	}
	if strings.Contains(out.String(), oauthtest.ClientSecret) {
		a.Errorf("mailrow %v shows the secret of the client: %s", args, &out)
	}
	return out.String()
}

func (a *authorising) has(text string, want ...string) {
	a.Helper()
	for _, want := range want {
		if !strings.Contains(text, want) {
			a.Errorf("got %q, want %q in it", text, want)
		}
	}
}

func (a *authorising) rows(query, want string) {
	a.Helper()
	if got := strings.Join(deliverytest.Rows(a, a.dsn, query), "\n"); got != want {
		a.Errorf("%s: got %q, want %q", query, got, want)
	}
}

const tokens = `select client_id, left(client_secret, 5), left(refresh_token, 7), scope from mailrow.source_tokens`

func TestAuthByDevice(t *testing.T) {
	a := newAuthorising(t)
	a.server.Answer("yes")
	args := []string{"auth", a.server.URL, "--source", "ann"}
	out := a.run(0, "", append(args, "--client-id", oauthtest.ClientID, "--client-secret-file", a.secret, "--scope", "mail offline_access")...)
	a.has(out, "Open    "+a.server.URL+"/enter\nenter   WDJB-MJHT\nand log in as ann@example.com.", "made key file", "ann: authorised")
	a.rows(tokens, oauthtest.ClientID+"|file:|sealed:|mail offline_access")

	// The command that an error tells to run again knows the rest.
	before := strings.Join(deliverytest.Rows(t, a.dsn, `select refresh_token from mailrow.source_tokens`), "")
	a.has(a.run(0, "", args...), "ann: authorised")
	a.rows(tokens, oauthtest.ClientID+"|file:|sealed:|mail offline_access")
	if after := strings.Join(deliverytest.Rows(t, a.dsn, `select refresh_token from mailrow.source_tokens`), ""); before == after {
		t.Error("no other token was stored")
	}
	a.server.Answer("access_denied")
	a.has(a.run(1, "", args...), "authorise: access was denied in the browser")
	a.rows(tokens, oauthtest.ClientID+"|file:|sealed:|mail offline_access")
}

func TestAuthByBrowser(t *testing.T) {
	a := newAuthorising(t)
	in, writer := io.Pipe()
	defer writer.Close() // a terminal where nobody types
	reader, out := io.Pipe()
	exit := make(chan int, 1)
	go func() {
		exit <- run([]string{"auth", a.server.URL, "--client-id", oauthtest.ClientID, "--client-secret-file", a.secret, "--browser"},
			func(name string) string { return a.env[name] }, in, out, io.Discard)
		out.Close()
	}()
	lines := bufio.NewScanner(reader)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if address, found := strings.CutPrefix(lines.Text(), "Open    "); found {
			go func() {
				if response, err := http.Get(address); err == nil {
					response.Body.Close()
				}
			}()
		}
	}
	if got := <-exit; got != 0 || !strings.Contains(strings.Join(said, "\n"), "ann: authorised") {
		t.Errorf("exit %d: %q", got, said)
	}
	a.rows(tokens, oauthtest.ClientID+"|file:|sealed:|offline_access")
}

func TestAuthAppOnly(t *testing.T) {
	a := newAuthorising(t)
	args := []string{"auth", a.server.URL, "--app-only", "--client-id", oauthtest.ClientID, "--client-secret-file", a.secret}
	a.has(a.run(2, "", args...), "--app-only needs --client-secret-file, for microsoft --tenant, and for others --scope")
	a.has(a.run(0, "", append(args, "--scope", "mail.read")...), "ann: authorised")
	a.rows(`select scope, refresh_token is null from mailrow.source_tokens`, "mail.read|t")
	a.has(a.run(0, "", args[:3]...), "ann: authorised")
	if err := os.WriteFile(a.secret, []byte("hunter2hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := a.run(1, "", args[:3]...)
	a.has(out, "authorise: the provider says invalid_client (not this secret: ***)")
}

func TestAuthMisused(t *testing.T) {
	a := newAuthorising(t)
	a.has(a.run(2, "", "auth", "google"), "--client-id is missing: it is the one that google gave to this installation")
	a.has(a.run(1, "", "auth", "gogle", "--client-id", "x"), `there is no provider "gogle": there are google, microsoft, yahoo`)
	a.has(a.run(1, "", "auth", "google", "--client-id", "x", "--tenant", "x"), "--tenant is for microsoft, not for google")
	a.has(a.run(2, "", "auth", "microsoft", "--client-id", "x", "--app-only", "--client-secret-file", a.secret), "--app-only needs")
	a.has(a.run(1, "", "auth", "google", "--source", "bob"), "there is no such source: bob")
	a.has(a.run(2, "", "auth"), "auth needs PROVIDER")
	// Yahoo shows the code, and none is entered.
	out := a.run(1, "", "auth", "yahoo", "--client-id", "x")
	a.has(out, "redirect_uri=oob", "Enter here the code that it shows:", "authorise: the code was not entered")
	a.run(0, "", "source", "add", "pop3://bob@pop.example.com", "--name", "bob", "--account", "bob")
	a.has(a.run(2, "", "auth", "google", "--client-id", "x"), "say which source it is for: --source NAME: 2 are on a server")
	a.run(0, "", "source", "add", "maildir://"+scratch.ForTest(t), "--name", "here", "--account", "bob")
	a.has(a.run(1, "", "auth", "google", "--source", "here"), "source here is on this machine")
	a.rows(tokens, "")
}
