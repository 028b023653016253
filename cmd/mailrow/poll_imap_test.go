package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
)

// remote is a server, and the program that polls it.
type remote struct {
	polls
	server   *dovecottest.Server
	password string // the file
}

func newRemote(t *testing.T, dsn string, users ...string) remote {
	t.Helper()
	r := remote{newPolls(t, dsn), dovecottest.Start(t, dovecottest.Config{Users: users}), filepath.Join(scratch.ForTest(t), "password")}
	if err := os.WriteFile(r.password, []byte(dovecottest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// uri is that of a mailbox, over TLS.
func (r remote) uri(user, query string) string { return r.uriOf("imap", user, query) }

func (r remote) uriOf(protocol, user, query string) string {
	addr := map[string]string{"imap": r.server.IMAPS, "pop3": r.server.POP3S}[protocol]
	return protocol + "+ssl://" + url.PathEscape(user) + "@" + addr + "?ca=" + r.server.CA() + query
}

func (r remote) add(name, query string, more ...string) {
	r.Helper()
	r.addAs("imap", name, query, more...)
}

func (r remote) addAs(protocol, name, query string, more ...string) {
	r.Helper()
	r.run(append([]string{"source", "add", r.uriOf(protocol, dovecottest.User, query), "--name", name, "--account", name, "--password-file", r.password}, more...)...)
}

// wire is mails as they are on a server.
func wire(mails [][]byte) [][]byte {
	for i, mail := range mails {
		mails[i] = bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n"))
	}
	return mails
}

// subjects are those of a folder, with flags.
func (r remote) subjects(user, folder string) string {
	r.Helper()
	var list []string
	for _, m := range r.server.Mails(r, user, folder) {
		subject, _, _ := strings.Cut(strings.TrimPrefix(string(m.Raw), "Subject: "), "\r\n")
		list = append(list, subject+m.Flags)
	}
	return strings.Join(list, " ")
}

func TestPollIMAP(t *testing.T) {
	r := newRemote(t, deliverytest.Database(t), "keep", "seen", "delete", "archive")
	for user, want := range map[string]struct{ query, inbox, done string }{
		"keep":    {"after=keep", "0 1 2", ""},
		"seen":    {"after=seen", `0\Seen 1\Seen 2\Seen`, ""},
		"delete":  {"after=delete", "", ""},
		"archive": {"archive=Done", "", "0 1 2"},
	} {
		r.server.Append(t, user, "INBOX", wire(numbered(0, 3))...)
		uri := r.uri(user, "&folder=INBOX&"+want.query)
		if out := r.run("source", "test", uri, "--password-file", r.password); !strings.Contains(out, "INBOX\t3\t") {
			t.Errorf("test: %s", out)
		}
		r.run("source", "add", uri, "--name", user, "--account", user, "--password-file", r.password)
		if out := r.run("source", "test", user); !strings.Contains(out, "INBOX\t3\t") {
			t.Errorf("test: %s", out)
		}
		for range 2 {
			r.run("poll", user)
		}
		if got := r.subjects(user, "INBOX"); got != want.inbox {
			t.Errorf("%s: in INBOX %q, want %q", user, got, want.inbox)
		}
		if want.done != "" {
			if got := r.subjects(user, "Done"); got != want.done {
				t.Errorf("%s: in the archive %q, want %q", user, got, want.done)
			}
		}
		r.rows(`select count(*), sum(redelivered), min(source), count(distinct received_at) > 0, string_agg(flags::text, ' ')
			from mailrow.mail where account = '`+user+`'`, "3|0|imap|t|{} {} {}")
		r.rows(fmt.Sprintf(`select count(*) from mailrow.mail where account = '%s' and mailrow.raw(id) = '\x%x'`, user, wire(numbered(2, 1))[0]), "1")
	}
	r.rows(`select count(*) from mailrow.sources where secret like 'file:/%'`, "4")
}

// By hand, and by POP3.
func TestPollURI(t *testing.T) {
	r := newRemote(t, deliverytest.Database(t))
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 3))...)
	uri := "pop3+tls://" + url.PathEscape(dovecottest.User) + "@" + r.server.POP3 + "?after=delete&ca=" + r.server.CA()
	if out := r.run("poll", uri, "--account", "ann", "--password-file", r.password); !strings.Contains(out, "stored 3, already there 0, failed 0, done at the source 3") {
		t.Error(out)
	}
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(3, 1))...)
	if out := r.run("poll"); !strings.Contains(out, "stored 1, already there 0, failed 0, done at the source 1") {
		t.Error(out)
	}
	exec := "imap+exec:" + strings.Join(r.server.Command(dovecottest.User), " ")
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(4, 1))...)
	if out := r.run("poll", exec, "--account", "ann"); !strings.Contains(out, "stored 1, already there 0, failed 0, done at the source 0") {
		t.Error(out)
	}
	r.rows(`select count(*), count(distinct subject) from mailrow.mail where account = 'ann'`, "5|5")
}

// fails wants status 1, and words on standard error.
func (r remote) fails(want string, args ...string) {
	r.Helper()
	out, err := r.command(args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), want) {
		r.Errorf("%v: %v: %s, want %q", args, err, out, want)
	}
	if strings.Contains(string(out), dovecottest.Password) {
		r.Errorf("%v: %s", args, out)
	}
}

// What a user can do wrong is said with its remedy, and counted.
func TestPollSaysWhatIsWrong(t *testing.T) {
	r := newRemote(t, deliverytest.Database(t))
	wrong := filepath.Join(scratch.ForTest(t), "wrong")
	if err := os.WriteFile(wrong, []byte("no "+dovecottest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 1))...)
	at := url.PathEscape(dovecottest.User) + "@"
	for i, test := range []struct{ uri, password, want string }{
		{r.uri(dovecottest.User, ""), wrong, "check user and password; some providers want a password made for this program alone"},
		{r.uri("nobody", ""), r.password, "check user and password"},
		{r.uri(dovecottest.User, ""), "", "there is neither a password nor a token"},
		{"imap+ssl://" + at + r.server.IMAPS, r.password, "name the authority's file with ca=FILE, or, if this is the right server, pin=sha256:"},
		{"imap+ssl://" + at + r.server.IMAP + "?ca=" + r.server.CA(), r.password, "STARTTLS (+tls in place of +ssl) or another port may do"},
		{"imap+tls://" + at + "127.0.0.1:1?tls=insecure", r.password, "nothing listens there; check the port"},
		{r.uri(dovecottest.User, "&folder=Nowhere"), r.password, `there is no such folder that holds mail; there are "INBOX"`},
		{r.uri(dovecottest.User, "&search=UNSEN"), r.password, "UNSEN"},
	} {
		name := fmt.Sprintf("s%d", i)
		args := []string{"source", "add", test.uri, "--name", name, "--account", "ann"}
		if test.password != "" {
			args = append(args, "--password-file", test.password)
		}
		r.run(args...)
		r.fails(test.want, "source", "test", name)
		r.fails(test.want, "poll", name)
		r.fails(test.want, "poll", name)
		r.rows(`select failures, last_error is not null from mailrow.sources where name = '`+name+`'`, "2|t")
	}
	r.rows(`select count(*) from mailrow.deliveries`, "0")
}

// Mail is a row within a second after the server has it, however long none came,
// and also after the server was away.
func TestIMAPMailIsARowAtOnce(t *testing.T) {
	r := newRemote(t, deliverytest.Database(t))
	r.add("box", "&folder=*&after=delete", "--every", "1h")
	w := r.watch()
	r.wait(`select count(*) from mailrow.source_runs where error is null and finished_at is not null`, "1")
	n := 0
	fastest := time.Hour
	arrive := func() {
		t.Helper()
		r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(n, 1))...)
		n++
		start := time.Now()
		for deliverytest.Rows(t, r.dsn, `select count(*) from mailrow.mail`)[0] != fmt.Sprint(n) {
			if time.Since(start) > 10*time.Second {
				t.Fatalf("mail %d does not come: %s", n, &w.out)
			}
			time.Sleep(5 * time.Millisecond)
		}
		d := time.Since(start)
		t.Logf("mail %d is a row after %v", n, d.Round(time.Millisecond))
		fastest = min(fastest, d)
		if d > 3*time.Second { // this machine may be busy
			t.Errorf("mail %d is a row after %v", n, d)
		}
	}
	arrive()
	time.Sleep(2 * time.Second)
	arrive()
	// Runs that are due and find nothing must not make it wait.
	for range 4 {
		const runs = `select count(*) from mailrow.source_runs where finished_at is not null`
		before := deliverytest.Rows(t, r.dsn, runs)[0]
		deliverytest.Rows(t, r.dsn, `update mailrow.sources set next_run_at = now() returning 1`)
		r.wait(strings.Replace(runs, "count(*)", "count(*) > "+before, 1), "t")
	}
	arrive()
	// A session that the server ends begins anew.
	r.server.Kick(t, dovecottest.User)
	time.Sleep(3 * time.Second)
	arrive()
	r.wait(`select count(*) from mailrow.source_messages where state = 'done'`, fmt.Sprint(n))
	w.end()
	if fastest > time.Second {
		t.Errorf("the fastest mail is a row after %v", fastest)
	}
	if left := r.subjects(dovecottest.User, "INBOX"); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestIMAPWatchOutlivesARestartOfTheDatabase(t *testing.T) {
	cluster := pgtest.New(t, nil)
	r := newRemote(t, deliverytest.DatabaseOn(t, cluster))
	r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(0, 400))...)
	r.add("box", "&after=delete", "--every", "1s")
	w := r.watch()
	r.wait(`select count(*) > 20 from mailrow.deliveries`, "t")
	for i, mode := range []string{"fast", "immediate", "kill"} {
		cluster.Stop(t, mode)
		r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(400+i*100, 100))...)
		time.Sleep(500 * time.Millisecond)
		cluster.Start(t)
		r.wait(fmt.Sprintf(`select count(*) >= %d from mailrow.deliveries`, 100*(i+1)), "t")
	}
	r.wait(`select count(*) from mailrow.source_messages where state = 'done'`, "700")
	w.end()
	r.rows(`select count(*), count(distinct message) from mailrow.deliveries`, "700|700")
	if left := r.subjects(dovecottest.User, "INBOX"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// However often it is killed, each mail is stored once, and removed only then.
func TestKilledRemotePollerLosesNothing(t *testing.T) {
	for _, test := range []struct {
		name, scheme string
		poll         []string
		kills        int
	}{
		{"imap", "imap", []string{"poll", "box"}, needs.Times(6, 200)},
		{"pop3", "pop3", []string{"poll", "box"}, needs.Times(6, 200)},
		{"imap watch", "imap", []string{"poll", "--watch"}, needs.Times(4, 200)},
		{"pop3 watch", "pop3", []string{"poll", "--watch"}, needs.Times(3, 200)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRemote(t, deliverytest.Database(t))
			r.addAs(test.scheme, "box", "&after=delete", "--every", "1s")
			const perKill = 30 // fewer are stored in a moment
			mails, kills, between, amid := 0, 0, 0, 0
			longest := 100 * time.Millisecond
			for ; amid < test.kills && kills < 10*test.kills; kills++ {
				r.server.Append(t, dovecottest.User, "INBOX", wire(numbered(mails, perKill))...)
				mails += perKill
				r.killAmidRun(test.poll, longest)
				if deliverytest.Rows(t, r.dsn, `select count(*) from mailrow.source_runs where finished_at is null`)[0] != "0" {
					amid++
					longest = min(longest*5/4, time.Second)
				} else {
					longest = longest/2 + time.Millisecond // it was done before
				}
				if deliverytest.Rows(t, r.dsn, `select count(*) from mailrow.source_messages where state = 'stored'`)[0] != "0" {
					between++
				}
			}
			if amid == 0 {
				t.Errorf("none of %d kills came amid a run", kills)
			}
			r.run("poll", "box")
			t.Logf("%d mails, %d kills, %d of them amid a run, %d between storing and removing", mails, kills, amid, between)
			r.rows(`select count(*), count(distinct subject) from mailrow.mail`, fmt.Sprintf("%d|%d", mails, mails))
			if left := r.subjects(dovecottest.User, "INBOX"); left != "" {
				t.Errorf("left: %s", left)
			}
			r.rows(`select count(*) > 0 from mailrow.source_runs where error = 'the poller died'`, "t")
			for i, mail := range wire(numbered(0, mails)) {
				if i%100 == 0 {
					r.rows(fmt.Sprintf(`select mailrow.raw(id) = '\x%x' from mailrow.mail where subject = '%d'`, mail, i), "t")
				}
			}
		})
	}
}

// killAmidRun starts a poller and kills it within a time after its first run has begun.
func (r remote) killAmidRun(poll []string, within time.Duration) {
	r.Helper()
	const runs = `select coalesce(max(run_id), 0) from mailrow.source_runs`
	before := deliverytest.Rows(r, r.dsn, runs)[0]
	cmd := r.command(poll...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	began := false
	for start := time.Now(); !began && time.Since(start) < time.Minute; {
		time.Sleep(2 * time.Millisecond)
		began = deliverytest.Rows(r, r.dsn, runs)[0] != before
	}
	time.Sleep(rand.N(within))
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // whether it was done before, the rows say
	if !began {
		r.Errorf("no run has begun: %s", &out)
	}
}
