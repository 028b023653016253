package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/machine"
	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/bench/usage"
	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/scratch"
)

// lab has what all measures need.
type lab struct {
	size    size
	set     *mail.Set
	srv     *server.Server
	dovecot *dovecottest.Server // nil where it is not installed
	machine machine.Machine
	report  *report.Report
	dir     *scratch.Dir

	deliver, mailrow string // our programs, built for the run
}

// Each measure that needs Dovecot has a user of its own there.
const (
	ldaUser    = "lda@test.local"
	lmtpUser   = "lmtp@test.local"
	remoteUser = "remote@test.local"
	slowUser   = "slow@test.local" // has less, for those that would take minutes
	// remotePassword has nothing that one of the peers would have to quote.
	remotePassword = "secret"
)

// dovecotExtra makes it flush what it takes, as it is by default, and lets in
// users by a password that is easy to quote.
const dovecotExtra = `
mail_fsync = optimized
auth_verbose = no
passdb {
  driver = static
  args = password=` + remotePassword + `
}
`

func newLab(ctx context.Context, s settings) (l *lab, err error) {
	l = &lab{size: full, report: &report.Report{}}
	if s.quick {
		l.size = quick
	}
	if l.set, err = mail.Read(); err != nil {
		return nil, err
	}
	if l.dir, err = scratch.New(); err != nil {
		return nil, err
	}
	if l.srv, err = server.Start(ctx); err != nil {
		return nil, errors.Join(err, l.dir.Remove())
	}
	err = l.srv.Life.Try(func() {
		l.deliver, l.mailrow = deliverytest.Program(l.srv.Life), deliverytest.Mailrow(l.srv.Life)
		if lacking(dovecotProgram, "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp") == "" && os.Getuid() == 0 {
			l.dovecot = dovecottest.Start(l.srv.Life, dovecottest.Config{Users: []string{ldaUser, lmtpUser, remoteUser, slowUser}, Extra: dovecotExtra})
		}
	})
	if err == nil {
		l.machine, err = machine.Look(ctx, l.srv)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

const dovecotProgram = "/usr/sbin/dovecot"

func (l *lab) close() error { return errors.Join(l.srv.Stop(), l.dir.Remove()) }

// conclude prints the report, and writes it where it is wanted.
func (l *lab) conclude(write string) error {
	r := l.report
	run := l.machine.Table()
	run.Add("mails, one process each", l.set.Describe(l.set.Sample(l.size.processMails)))
	run.Add("mails over LMTP", l.set.Describe(l.set.Sample(l.size.lmtpMails)))
	run.Add("mails fetched", l.set.Describe(l.set.Sample(l.size.remoteMails)))
	run.Add("compared with", versions())
	r.Tables = append([]report.Table{r.Targets(), run}, r.Tables...)
	r.Print(os.Stdout)
	if write == "" {
		return nil
	}
	return r.ReplaceIn(write, "make bench-peers")
}

// folder makes a folder in the lab, a Maildir where that is asked for.
func (l *lab) folder(name string, parts ...string) (string, error) {
	path := filepath.Join(l.dir.Path, name)
	for _, part := range append(parts, "") {
		if err := os.MkdirAll(filepath.Join(path, part), 0o755); err != nil {
			return "", err
		}
	}
	return path, nil
}

var maildir = []string{"cur", "new", "tmp"}

// inMaildir counts the mails of a Maildir, and the bytes that it takes.
func inMaildir(path string) func() (int, int64, error) {
	return func() (int, int64, error) {
		bytes, err := usage.Disk(path)
		return files(path), bytes, err
	}
}

// files is how many mails a Maildir has.
func files(maildir string) int {
	cur, _ := filepath.Glob(filepath.Join(maildir, "cur", "*")) // the pattern is right
	fresh, _ := filepath.Glob(filepath.Join(maildir, "new", "*"))
	return len(cur) + len(fresh)
}

// number is what a query finds.
func number(ctx context.Context, dsn, query string, args ...any) (n int64, err error) {
	err = server.With(ctx, dsn, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, query, args...).Scan(&n) })
	return n, err
}

// room is what the tables of a schema take with their indexes, in bytes.
func room(ctx context.Context, dsn, schema string) (int64, error) {
	return number(ctx, dsn, `select sum(pg_total_relation_size(oid))::bigint from pg_class
		where relnamespace = $1::regnamespace and relkind = 'r'`, schema)
}

// distinct makes every mail a new one.
func distinct(mails [][]byte) [][]byte {
	made := make([][]byte, len(mails))
	for i, raw := range mails {
		made[i] = mail.Unique(raw)
	}
	return made
}

// lacking names the first program that is not there, "" if all are.
func lacking(programs ...string) string {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

const notInstalled = "not installed"

// versions are those of all that is compared with.
func versions() string {
	var found []string
	for _, ask := range [][]string{
		{"Dovecot", dovecotProgram, "--version"}, {"procmail", "procmail", "-v"}, {"maildrop", "maildrop", "-v"},
		{"notmuch", "notmuch", "--version"}, {"mbsync", "mbsync", "--version"}, {"getmail6", "getmail", "--version"},
		{"fetchmail", "fetchmail", "--version"}, {"pgbench", "pgbench", "--version"},
	} {
		name, command := ask[0], ask[1:]
		if lacking(command[0]) != "" {
			found = append(found, name+" "+notInstalled)
			continue
		}
		out, _ := exec.Command(command[0], command[1:]...).CombinedOutput() // some end with an error
		if version := versionIn(string(out)); version != "" {
			name += " " + version
		}
		found = append(found, name)
	}
	return strings.Join(found, ", ")
}

// versionIn is the first word of a text that begins as a version does, without the v.
func versionIn(text string) string {
	for _, word := range strings.Fields(text) {
		word = strings.TrimPrefix(word, "v")
		if len(word) > 2 && word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".") {
			version, _, _ := strings.Cut(word, "+")
			return version
		}
	}
	return ""
}
