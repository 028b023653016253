package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"mailrow/bench/mail"
	"mailrow/bench/process"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/bench/usage"
)

// measureImport takes a Maildir in. notmuch leaves the mail where it is and only
// indexes it; mailrow stores it, and indexes it as well in the second row.
func measureImport(ctx context.Context, l *lab) error {
	from, err := l.folder("archive", maildir...)
	if err != nil {
		return err
	}
	sample := distinct(l.set.Sample(l.size.importMails))
	for i, raw := range sample {
		if err := os.WriteFile(filepath.Join(from, "cur", fmt.Sprintf("%d.archive:2,S", 1_000_000_000+i)), raw, 0o644); err != nil {
			return err
		}
	}
	list := []*job{l.importer(ctx, from, false), l.importer(ctx, from, true), l.notmuch(from)}
	for _, j := range list {
		j.mails = len(sample)
	}
	if err := compete(ctx, list, l.size.importRounds); err != nil {
		return err
	}
	t := report.Table{Title: "A Maildir taken in", File: "import.svg",
		Notes: "notmuch reads the same Maildir, passes over the few files that it takes for no mail, and stores no mail but an index of it: disk is that of the index. CPU is that of the program and of PostgreSQL."}
	l.report.Tables = append(l.report.Tables, tabulate(list, t, float64(mail.Total(sample))/float64(len(sample))))
	return nil
}

// importer is mailrow import into an empty database, and mailrow index after it
// where that is wanted.
func (l *lab) importer(ctx context.Context, from string, index bool) *job {
	j := &job{name: "mailrow import", ours: true, servers: []int{l.srv.Cluster.Pid()}}
	if index {
		j.name += ", then index"
	}
	j.begin = func(string) ([]*process.Program, func() (int, int64, error), error) {
		dsn, err := l.srv.Migrated(ctx)
		env := server.Environment(dsn)
		run := []*process.Program{{Name: j.name, Env: env, Args: []string{l.mailrow, "import", "--account", "archive@example.org", from}}}
		if index {
			run = append(run, &process.Program{Name: j.name, Env: env, Args: []string{l.mailrow, "index"}})
		}
		return run, inTables(ctx, dsn, "mailrow", "deliveries"), err
	}
	return j
}

func (l *lab) notmuch(from string) *job {
	j := &job{name: "notmuch new", odd: 10}
	path, err := exec.LookPath("notmuch")
	if err != nil {
		j.missing = notInstalled
		return j
	}
	j.begin = func(round string) ([]*process.Program, func() (int, int64, error), error) {
		home, err := l.folder(filepath.Join("notmuch", round))
		if err != nil {
			return nil, nil, err
		}
		config := filepath.Join(home, "config")
		text := "[database]\npath=" + home + "\nmail_root=" + from +
			"\n[user]\nname=x\nprimary_email=x@example.org\n[new]\ntags=new\n[maildir]\nsynchronize_flags=false\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, nil, err
		}
		env := []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=" + home, "NOTMUCH_CONFIG=" + config}
		stored := func() (mails int, bytes int64, err error) {
			cmd := exec.Command(path, "count", "--output=files", "*")
			cmd.Env = env
			out, err := cmd.Output()
			if err == nil {
				_, err = fmt.Sscan(string(out), &mails)
			}
			if err != nil {
				return 0, 0, fmt.Errorf("notmuch count: %w", err)
			}
			bytes, err = usage.Disk(home)
			return mails, bytes, err
		}
		return []*process.Program{{Name: j.name, Env: env, Args: []string{path, "new", "--quiet"}}}, stored, nil
	}
	return j
}
