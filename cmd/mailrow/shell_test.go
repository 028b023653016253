package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/oauthtest"
	"mailrow/internal/scratch"
	"mailrow/internal/scripttest"
	"mailrow/poller/oauth"
	"mailrow/poller/sasl"
	"mailrow/poller/settings"
)

// shelled runs mailrow shell with a standard input.
func (r remote) shelled(stdin string, args ...string) (status int, out, stderr string) {
	r.Helper()
	cmd := r.command(append([]string{"shell"}, args...)...)
	var to, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &to, &said
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), to.String(), said.String()
}

// secretless wants no form of the password in what was written.
func secretless(t *testing.T, text string) {
	t.Helper()
	password := dovecottest.Password
	for _, form := range []string{
		password, strings.Trim(fmt.Sprintf("%q", password), `"`),
		base64.RawStdEncoding.EncodeToString([]byte(password)),
		base64.RawStdEncoding.EncodeToString([]byte("\x00" + dovecottest.User + "\x00" + password)),
	} {
		if strings.Contains(text, form) {
			t.Errorf("the password is in it, as %q:\n%s", form, text)
		}
	}
}

func TestShell(t *testing.T) {
	r := newRemote(t, deliverytest.Database(t))
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 3))...)
	uri := r.uri(dovecottest.User, "")
	script := filepath.Join(scratch.ForTest(t), "script")
	if err := os.WriteFile(script, []byte("# look\nselect INBOX\nfetch 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run("source", "add", uri, "--name", "box", "--account", "ann", "--password-file", r.password)
	for name, test := range map[string]struct {
		stdin    string
		args     []string
		status   int
		out, err string
	}{
		"-c":                {"", []string{uri, "--password-file", r.password, "-c", "select INBOX; search SUBJECT 2", "-c", "fetch found"}, 0, "1 mail found: 3\nUID", ""},
		"standard input":    {"select INBOX\nshow 1\n", []string{uri, "--password-file", r.password}, 0, "Subject: 0", ""},
		"folder of URI":     {"", []string{uri + "&folder=INBOX", "--password-file", r.password, "-c", "search ALL"}, 0, "3 mails found: 1:3\n", ""},
		"script of source":  {"", []string{"box", "--script", script}, 0, "folder INBOX has 3 mails\nUID", ""},
		"stops at failure":  {"select x\ncreate y\n", []string{"box"}, 1, "", `mailrow: line 1: select: there is no folder "x": list shows them, create makes one` + "\n"},
		"goes on":           {"select x\nselect INBOX\n", []string{"box", "--keep-going"}, 1, "has 3 mails\n", `there is no folder "x"`},
		"asks nobody":       {"delete INBOX\n", []string{"box"}, 1, "", "delete folder INBOX with 3 mails: that is asked before, and there is no terminal to ask at: run it with --yes\n"},
		"no password":       {"", []string{uri, "-c", "noop"}, 1, "", "there is neither a password nor a token"},
		"unknown source":    {"", []string{"nobody"}, 1, "", "mailrow source list lists them"},
		"nothing":           {"", nil, 2, "", "shell needs a URI, a source or -f FILE"},
		"-c and --script":   {"", []string{"box", "-c", "noop", "--script", script}, 2, "", "do not go together"},
		"a password in URI": {"", []string{"imap+ssl://ann:x@127.0.0.1/"}, 2, "", "every user of this machine can see"},
		"no script":         {"", []string{"box", "--script", script + "x"}, 1, "", "read script"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, stderr := r.shelled(test.stdin, test.args...)
			if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(stderr, test.err) {
				t.Errorf("status %d\n%s\n%s\nwant %d, %q, %q", status, out, stderr, test.status, test.out, test.err)
			}
			if test.err == "" && stderr != "" || test.out == "" && out != "" {
				t.Errorf("%q, %q", out, stderr)
			}
		})
	}
	status, out, stderr := r.shelled("select INBOX\nsearch ALL\nselect x\nnoop\n", "box", "--json")
	var got []string
	for line := range strings.Lines(out) {
		var one struct {
			Command string
			OK      bool
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprint(one.Command, one.OK))
	}
	if status != 1 || stderr != "" || strings.Join(got, " ") != "selecttrue searchtrue selectfalse" {
		t.Errorf("status %d, %q, %q", status, got, stderr)
	}
}

// Whatever way we log in, the trace shows it, and not the secret.
func TestShellTraceHidesSecrets(t *testing.T) {
	r := newRemote(t, "")
	imap := func(auth string) string { return r.uri(dovecottest.User, "&auth="+auth) }
	pop3 := "pop3+ssl://" + url.PathEscape(dovecottest.User) + "@" + r.server.POP3S + "?ca=" + r.server.CA() + "&auth="
	said := "se\"cr\\et " + base64.StdEncoding.EncodeToString([]byte("\x00"+dovecottest.User+"\x00"+dovecottest.Password))
	imapLogin := scripttest.Start(t, nil, "S: * OK [CAPABILITY IMAP4rev1] hi\nC: a LOGIN\nS: a OK [CAPABILITY IMAP4rev1] you said "+said+"\nC: a LIST\nS: a OK\nC: a LIST\nS: a OK\nC: a NOOP\nS: a OK\nC: bye LOGOUT\n")
	pass := scripttest.Start(t, nil, "S: +OK hi\nC: = CAPA\nS: +OK\nS: USER\nS: .\nC: = USER\nS: +OK\nC: = PASS\nS: +OK you said "+said+"\nC: = NOOP\nS: +OK\nC: = QUIT\nS: +OK\n")
	at := url.PathEscape(dovecottest.User) + "@"
	for _, test := range []struct{ uri, command, want string }{
		{imap("plain"), "noop", "C: a1 AUTHENTICATE PLAIN ***"},
		{imap("login"), "noop", "AUTHENTICATE LOGIN\nS: + "},
		{imap("cram-md5"), "noop", "AUTHENTICATE CRAM-MD5\nS: + "},
		{"imap://" + at + imapLogin.Addr(), "list; noop", `LOGIN "` + dovecottest.User + `" ***`},
		{pop3 + "plain", "noop", "C: AUTH PLAIN\n"},
		{pop3 + "apop", "noop", "C: APOP ***"},
		{"pop3://" + at + pass.Addr(), "noop", "C: PASS ***"},
	} {
		_, out, stderr := r.shelled("", test.uri, "--trace", "--password-file", r.password, "-c", test.command)
		if !strings.Contains(stderr, test.want) {
			t.Errorf("%s: no %q in %s", test.uri, test.want, stderr)
		}
		secretless(t, out+stderr)
	}
	// What somebody gives to raw goes nowhere.
	status, out, stderr := r.shelled("raw a1 LOGIN u "+dovecottest.Password+"\n", imap("plain"), "--trace", "--password-file", r.password)
	if status != 1 || !strings.Contains(stderr, "raw: LOGIN is not sent") {
		t.Errorf("%d, %s", status, stderr)
	}
	secretless(t, out+stderr)
}

func TestShellWithSettings(t *testing.T) {
	r := newRemote(t, "")
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 1))...)
	host, port, err := net.SplitHostPort(r.server.IMAPS)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(scratch.ForTest(t), "imap.ini")
	text := fmt.Sprintf("[DEFAULT]\nhost = %s\nport = %s\nusername = %s\nssl_ca_file = %s\npassword = wrong\n[u1]\npassword = %s\n", host, port, dovecottest.User, r.server.CA(), dovecottest.Password)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, stderr := r.shelled("", "-f", file+":u1", "--trace", "-c", "status INBOX")
	if status != 0 || !strings.Contains(out, "has 1 mail,") {
		t.Errorf("%d, %s, %s", status, out, stderr)
	}
	secretless(t, out+stderr)
	status, _, stderr = r.shelled("", "-f", file, "-c", "status INBOX")
	if status != 1 || !strings.Contains(stderr, "check user and password") {
		t.Errorf("%d, %s", status, stderr)
	}
	status, _, stderr = r.shelled("", "-f", file, "--password-file", r.password)
	if status != 2 || !strings.Contains(stderr, "leave the other flag out") {
		t.Errorf("%d, %s", status, stderr)
	}
}

// Mailboxes on this machine, and a program that speaks IMAP, need no password.
func TestShellWithoutPassword(t *testing.T) {
	r := newRemote(t, "")
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 1))...)
	box := filepath.Join(scratch.ForTest(t), "box")
	if err := os.WriteFile(box, []byte("From a@x.test Tue Mar  3 10:00:00 2026\nSubject: 0\n\nmail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"mbox://" + box, "imap+exec:" + strings.Join(r.server.Command(dovecottest.User), " ")} {
		if status, out, stderr := r.shelled("select INBOX\nshow 1\n", uri); status != 0 || !strings.Contains(out, "Subject: 0\n") || stderr != "" {
			t.Errorf("%s: %d, %s, %s", uri, status, out, stderr)
		}
	}
	status, _, stderr := r.shelled("", "mbox://"+box, "--password-file", r.password)
	if status != 2 || !strings.Contains(stderr, "has no password") {
		t.Errorf("%d, %s", status, stderr)
	}
}

// A settings file with OAuth2 gives tokens, as often as they are needed.
func TestTokenOfSettings(t *testing.T) {
	server := oauthtest.Start(t)
	provider, err := oauth.Named(t.Context(), nil, server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	p := &program{err: &said}
	o := &settings.OAuth{
		Provider: provider, Refresh: sasl.NewSecret(server.Grant()),
		Client: oauth.Client{ID: oauthtest.ClientID, Secret: sasl.NewSecret(oauthtest.ClientSecret)},
	}
	for range 2 {
		token, err := p.token(t.Context(), o)
		if err != nil || !server.Valid(token.Reveal()) {
			t.Fatal(token, err)
		}
		if strings.Contains(said.String(), token.Reveal()) || strings.Contains(said.String(), o.Refresh.Reveal()) {
			t.Error(&said)
		}
	}
	if !strings.Contains(said.String(), "the provider has given another refresh token") {
		t.Error(&said)
	}
	server.Revoke()
	if _, err := p.token(t.Context(), o); err == nil || strings.Contains(err.Error(), o.Refresh.Reveal()) || !strings.Contains(err.Error(), "mailrow auth") {
		t.Error(err)
	}
}

func TestShellCompletesSources(t *testing.T) {
	p := newPolls(t, deliverytest.Database(t))
	p.run("source", "add", "mbox:///var/mail/ann", "--name", "box", "--account", "ann")
	for begun, want := range map[string]string{"": "box\n", "b": "box\n", "maild": "maildir:///\n"} {
		if out := p.run("__complete", "shell", begun); !strings.Contains(out, want) {
			t.Errorf("%q: %s", begun, out)
		}
	}
}
