package main

import (
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"mailrow/internal/dovecottest"
	"mailrow/internal/oauthtest"
	"mailrow/internal/scratch"
)

const mails = `select count(*) from mailrow.mail where account = 'ann'`

// newLogin is a Dovecot with a mail, and a source there.
func newLogin(t *testing.T) (*authorising, *dovecottest.Server) {
	dovecottest.Need(t)
	a := newAuthorising(t)
	server := dovecottest.Start(t, dovecottest.Config{})
	a.mail(server)
	a.run(0, "", "source", "remove", "ann")
	a.run(0, dovecottest.Password+"\n", "source", "add", "imap+ssl://"+url.PathEscape(dovecottest.User)+"@"+server.IMAPS+"?ca="+url.QueryEscape(server.CA()),
		"--name", "ann", "--account", "ann", "--seal")
	return a, server
}

func (a *authorising) mail(server *dovecottest.Server) {
	a.Helper()
	server.Doveadm(a, []byte("Subject: one of many\n\n"+time.Now().String()+"\n"), "save", "-u", dovecottest.User)
}

func TestPollWithSealedPassword(t *testing.T) {
	a, server := newLogin(t)
	a.has(a.run(0, "", "poll", "ann"), "seen 1, stored 1")
	// The poller has the row, but not the key.
	key := a.env["MAILROW_KEY_FILE"]
	a.env["MAILROW_KEY_FILE"] = filepath.Join(scratch.ForTest(t), "absent")
	a.has(a.run(1, "", "poll", "ann"), "absent: no such file or directory: mailrow source key makes one")
	a.env["MAILROW_KEY_FILE"] = key
	// A row that somebody has pointed at another server keeps its secret.
	a.rows(`with moved as (update mailrow.sources set uri = replace(uri, '127.0.0.1', 'localhost') returning 1) select count(*) from moved`, "1")
	a.has(a.run(1, "", "poll", "ann"), "server, user or protocol has changed since: enter it anew with mailrow source secret --seal")
	a.run(0, dovecottest.Password+"\n", "source", "secret", "ann", "--seal")
	a.mail(server)
	a.has(a.run(0, "", "poll", "ann"), "stored 1")
	a.rows(mails, "2")
}

func TestPollWithToken(t *testing.T) {
	a, server := newLogin(t)
	a.server.Mint = func() string { return server.Token(t, dovecottest.User, time.Hour) }
	a.server.Answer("yes")
	a.run(0, "", "source", "secret", "ann", "--none")
	a.run(0, "", "auth", a.server.URL, "--source", "ann", "--client-id", oauthtest.ClientID, "--client-secret-file", a.secret)
	a.has(a.run(0, "", "poll", "ann"), "seen 1, stored 1")
	a.mail(server)
	a.has(a.run(0, "", "poll", "ann"), "stored 1")
	if forms, _ := a.server.Requests("refresh_token"); len(forms) != 1 {
		t.Errorf("%d refreshes, want 1: the token is good for an hour", len(forms))
	}
	a.rows(mails, "2")

	a.server.Revoke()
	a.rows(`with ended as (update mailrow.source_tokens set usable_until = now() returning 1) select count(*) from ended`, "1")
	again := "run mailrow auth " + a.server.URL + " --source 'ann' again"
	a.has(a.run(1, "", "poll", "ann"), "the grant has expired or was revoked", again)
	a.rows(`select last_error like '%`+"run mailrow auth "+a.server.URL+`%' from mailrow.source_status`, "t")
	a.run(0, "", "auth", a.server.URL, "--source", "ann")
	a.mail(server)
	a.has(a.run(0, "", "poll", "ann"), "stored 1")
	a.rows(mails, "3")
}
