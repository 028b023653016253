package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"mailrow/bench/mail"
	"mailrow/bench/process"
	"mailrow/bench/report"
	"mailrow/bench/server"
)

// fetcher is what a peer needs to fetch all mail of a user into a Maildir.
type fetcher struct {
	name, program, user string
	mails               int
	// rc are configuration files by name; HOME, USER, HOST and PORT in them are filled in.
	rc   map[string]string
	args string // HOME in them is filled in
	// owner has the Maildir, "" for us: not every peer delivers as root.
	owner string
}

// maildirUser is there for Dovecot, too.
const maildirUser = "mail"

// fetchers are set to keep the mail on the server, to flush what they store, and to
// talk in clear.
func (l *lab) fetchers() []fetcher {
	return []fetcher{
		{name: "mbsync → Maildir", program: "mbsync", user: remoteUser, mails: l.size.remoteMails,
			rc: map[string]string{"rc": `FSync yes

IMAPAccount far
Host HOST
Port PORT
User USER
Pass ` + remotePassword + `
SSLType None
AuthMechs LOGIN

IMAPStore far
Account far

MaildirStore near
Path HOME/
Inbox HOME/Maildir

Channel all
Far :far:
Near :near:
Sync Pull New
SyncState *
`}, args: "-q -c HOME/rc all"},
		{name: "getmail6 → Maildir", program: "getmail", user: slowUser, mails: l.size.slowMails,
			rc: map[string]string{"rc": `[retriever]
type = SimpleIMAPRetriever
server = HOST
port = PORT
username = USER
password = ` + remotePassword + `
mailboxes = ("INBOX",)

[destination]
type = Maildir
path = HOME/Maildir/
user = ` + maildirUser + `

[options]
read_all = true
delete = false
delivered_to = false
received = false
verbose = 0
`}, args: "--getmaildir HOME --rcfile rc", owner: maildirUser},
		{name: "fetchmail → procmail → Maildir", program: "fetchmail", user: slowUser, mails: l.size.slowMails,
			rc: map[string]string{"rc": `poll HOST service PORT protocol imap
  username "USER" password "` + remotePassword + `"
  keep fetchall sslproto "" mda "procmail -m HOME/procmailrc"
`, "procmailrc": "MAILDIR=HOME\nDEFAULT=HOME/Maildir/\nLOGFILE=\n"}, args: "--fetchmailrc HOME/rc --silent --nosyslog --pidfile HOME/pid --idfile HOME/ids"},
	}
}

// fetch makes a job of a fetcher.
func (l *lab) fetch(f fetcher) *job {
	j := &job{name: f.name, mails: f.mails}
	if lacking(f.program) != "" {
		j.missing = notInstalled
		return j
	}
	host, port, _ := net.SplitHostPort(l.dovecot.IMAP)
	j.begin = func(round string) ([]*process.Program, func() (int, int64, error), error) {
		home, err := l.folder(filepath.Join("remote", f.program, round), "Maildir/cur", "Maildir/new", "Maildir/tmp")
		if err != nil {
			return nil, nil, err
		}
		fill := strings.NewReplacer("HOME", home, "USER", f.user, "HOST", host, "PORT", port)
		for name, text := range f.rc {
			if err := os.WriteFile(filepath.Join(home, name), []byte(fill.Replace(text)), 0o600); err != nil {
				return nil, nil, err
			}
		}
		if f.owner != "" {
			if err := give(filepath.Join(home, "Maildir"), f.owner); err != nil {
				return nil, nil, err
			}
		}
		path, err := exec.LookPath(f.program)
		if err != nil {
			return nil, nil, err
		}
		p := &process.Program{Name: f.name, Args: append([]string{path}, strings.Fields(fill.Replace(f.args))...),
			Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + home}}
		return []*process.Program{p}, inMaildir(filepath.Join(home, "Maildir")), nil
	}
	return j
}

// give makes a user the owner of a Maildir.
func give(path, name string) error {
	owner, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	for _, part := range append(maildir, ".") {
		if err := os.Chown(filepath.Join(path, part), uid, -1); err != nil {
			return err
		}
	}
	return nil
}

// poll is mailrow poll from an empty database.
func (l *lab) poll(ctx context.Context, scheme, address string) (*job, error) {
	password, err := l.folder("poll")
	if err != nil {
		return nil, err
	}
	password = filepath.Join(password, "password")
	if err := os.WriteFile(password, []byte(remotePassword+"\n"), 0o600); err != nil {
		return nil, err
	}
	uri := fmt.Sprintf("%s://%s@%s?auth=plain", scheme, url.QueryEscape(remoteUser), address)
	j := &job{name: "mailrow poll " + scheme + "://", ours: true, mails: l.size.remoteMails, servers: []int{l.srv.Cluster.Pid()}}
	j.begin = func(string) ([]*process.Program, func() (int, int64, error), error) {
		dsn, err := l.srv.Migrated(ctx)
		p := &process.Program{Name: j.name, Env: server.Environment(dsn),
			Args: []string{l.mailrow, "poll", uri, "--account", "remote@example.org", "--password-file", password}}
		return []*process.Program{p}, inTables(ctx, dsn, "mailrow", "deliveries"), err
	}
	return j, nil
}

// measureRemote fetches all mail of a user of Dovecot, again and again into a place
// that has none.
func measureRemote(ctx context.Context, l *lab) error {
	t := report.Table{Title: "Fetching from Dovecot", File: "remote.svg",
		Notes: "IMAP and POP3 in clear on the loopback interface; medians of runs from nothing; the mail stays on the server. " +
			"CPU is that of the program and of PostgreSQL, not Dovecot's; peak is the memory of the program and its children."}
	if l.dovecot == nil {
		t.Columns = []string{"", ""}
		t.Add("Dovecot", notInstalled)
		l.report.Tables = append(l.report.Tables, t)
		return nil
	}
	sample := distinct(l.set.Sample(l.size.remoteMails))
	for user, n := range map[string]int{remoteUser: l.size.remoteMails, slowUser: l.size.slowMails} {
		if _, err := overLMTP(ctx, nil, l.dovecot.LMTP, user, 4, sample[:n]); err != nil {
			return fmt.Errorf("fill Dovecot: %w", err)
		}
	}
	var list []*job
	for _, from := range [][2]string{{"imap", l.dovecot.IMAP}, {"pop3", l.dovecot.POP3}} {
		j, err := l.poll(ctx, from[0], from[1])
		if err != nil {
			return err
		}
		list = append(list, j)
	}
	for _, f := range l.fetchers() {
		list = append(list, l.fetch(f))
	}
	if err := compete(ctx, list, l.size.remoteRounds); err != nil {
		return err
	}
	l.report.Tables = append(l.report.Tables, tabulate(list, t, float64(mail.Total(sample))/float64(len(sample))))
	for i, target := range []float64{0.8, 5} {
		if other := list[2+i]; other.missing == "" {
			l.report.Goals = append(l.report.Goals, report.Goal{What: "mailrow poll, IMAP ÷ " + other.name, Target: target, AtLeast: true, Got: list[0].over(other)})
		}
	}
	return nil
}
