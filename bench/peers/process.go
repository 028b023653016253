package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"mailrow/bench/chart"
	"mailrow/bench/mail"
	"mailrow/bench/process"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/bench/usage"
	"mailrow/internal/deliverytest"
)

// pipe is a program that an MTA, or a user's .forward, runs for each mail.
type pipe struct {
	*process.Program
	missing string              // what it lacks; then it only has a row
	servers []int               // processes that work for it
	stored  func() (int, error) // how many mails it has stored

	serverCPU, peak float64 // seconds in all, MB
}

// procmail and the like choose between mailrow-deliver and the daemon.
func (l *lab) pipes(ctx context.Context, place *process.Place) (list []*pipe, err error) {
	dsn, err := l.srv.Migrated(ctx)
	if err != nil {
		return nil, err
	}
	var daemon *deliverytest.Daemon
	err = l.srv.Life.Try(func() {
		config := deliverytest.Config(l.srv.Life, server.As(dsn, server.Role))
		daemon = deliverytest.StartDaemon(l.srv.Life, config)
	})
	if err != nil {
		return nil, err
	}
	env := server.Environment(server.As(dsn, server.Role))
	postgres := []int{l.srv.Cluster.Pid()}
	account := func(name string) func() (int, error) {
		return func() (int, error) {
			n, err := number(ctx, dsn, "select count(*) from mailrow.mail where account = $1", name+"@example.org")
			return int(n), err
		}
	}
	psql, err := process.PSQL(env)
	if err != nil {
		return nil, err
	}
	list = []*pipe{
		{Program: process.Deliver("mailrow-deliver", l.deliver, env, "direct"), servers: postgres, stored: account("direct")},
		{Program: process.Deliver("mailrow-deliver through the daemon", l.deliver, env, "daemon", "--socket="+daemon.Socket),
			servers: append([]int{daemon.Pid()}, postgres...), stored: account("daemon")},
		{Program: psql, servers: postgres, stored: func() (int, error) {
			n, err := number(ctx, dsn, "select count(*) from bare.mail")
			return int(n), err
		}},
	}
	files, err := l.filePipes()
	return append(list, files...), err
}

// filePipes are those that store mail as files.
func (l *lab) filePipes() (list []*pipe, err error) {
	home, err := l.folder("pipes")
	if err != nil {
		return nil, err
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/bin", "LC_ALL=C", "HOME=" + home, "NOTMUCH_CONFIG=" + home + "/notmuch"}
	into := map[string]string{}
	for _, name := range []string{"procmail", "maildrop", "notmuch"} {
		if into[name], err = l.folder("pipes/"+name+".maildir", maildir...); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"procmailrc": "MAILDIR=" + home + "\nDEFAULT=" + into["procmail"] + "/\nLOGFILE=\n",
		"mailfilter": "to \"" + into["maildrop"] + "\"\n",
		"notmuch": "[database]\npath=" + into["notmuch"] + "\n[user]\nname=x\nprimary_email=x@example.org\n" +
			"[new]\ntags=new\n[maildir]\nsynchronize_flags=false\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	in := func(dir string) func() (int, error) {
		return func() (int, error) { return files(dir), nil }
	}
	if lacking("notmuch") == "" { // its database must be there
		cmd := exec.Command("notmuch", "new")
		cmd.Env = env
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("notmuch new: %w\n%s", err, text)
		}
	}
	add := func(p pipe, name, program string, args ...string) {
		path, err := exec.LookPath(program)
		if err != nil {
			p.missing = notInstalled
		}
		p.Program = &process.Program{Name: name, Args: append([]string{path}, args...), Env: env}
		list = append(list, &p)
	}
	lda := pipe{missing: notInstalled}
	var ldaArgs []string
	if l.dovecot != nil {
		lda = pipe{servers: []int{l.dovecot.Pid()}, stored: in(filepath.Join(l.dovecot.Home(ldaUser), "Maildir"))}
		ldaArgs = []string{"-c", l.dovecot.Config(), "-d", ldaUser, "-f", "sender@example.net"}
	}
	add(lda, "dovecot-lda → Maildir", "/usr/lib/dovecot/dovecot-lda", ldaArgs...)
	add(pipe{stored: in(into["procmail"])}, "procmail → Maildir", "procmail", "-m", filepath.Join(home, "procmailrc"))
	add(pipe{stored: in(into["maildrop"])}, "maildrop → Maildir", "maildrop", filepath.Join(home, "mailfilter"))
	add(pipe{stored: in(into["notmuch"])}, "notmuch insert", "notmuch", "insert")
	floor := filepath.Join(home, "floor")
	add(pipe{}, "dd conv=fsync, one file", "dd", "of="+floor, "conv=fsync", "status=none")
	return list, nil
}

// block is how many mails one program stores before it is the turn of the next:
// enough to see the processor time of servers, which is shown in hundredths of a
// second.
const block = 10

// measureProcesses runs one process per mail. Every program stores every mail.
func measureProcesses(ctx context.Context, l *lab) error {
	place, err := process.New(ctx)
	if err != nil {
		return err
	}
	defer place.Remove()
	all, err := l.pipes(ctx, place)
	if err != nil {
		return err
	}
	var list []*pipe
	for _, p := range all {
		if p.missing == "" {
			list = append(list, p)
		}
	}
	if err := warmUp(ctx, place, list); err != nil {
		return err
	}
	sample := distinct(l.set.Sample(l.size.processMails))
	for at := 0; at < len(sample); at += block {
		for j := range list {
			p := list[(at/block+j)%len(list)]
			before := usage.CPU(p.servers...)
			for _, raw := range sample[at:min(at+block, len(sample))] {
				if err := place.Put(raw); err != nil {
					return err
				}
				if err := place.Time(ctx, p.Program); err != nil {
					return err
				}
			}
			p.serverCPU += usage.CPU(p.servers...) - before
		}
	}
	for _, p := range list {
		if p.stored == nil {
			continue
		}
		n, err := p.stored()
		if err != nil {
			return fmt.Errorf("count what %s has stored: %w", p.Name, err)
		}
		if n != len(sample)+1 {
			return fmt.Errorf("%s has stored %d mails, not %d", p.Name, n, len(sample)+1)
		}
	}
	l.reportProcesses(all, len(sample))
	return nil
}

// warmUp makes accounts, mailboxes and indexes by a first mail, and measures how
// much memory it takes.
func warmUp(ctx context.Context, place *process.Place, list []*pipe) error {
	if err := place.Put(mail.Make(rand.New(rand.NewPCG(5, 6)), 5000)); err != nil {
		return err
	}
	for _, p := range list {
		var err error
		if p.peak, err = place.Peak(ctx, p.Program); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) reportProcesses(list []*pipe, mails int) {
	t := report.Table{Title: "One process per mail", File: "process.svg",
		Columns: []string{"", "median ms", "p10 ms", "× direct", "CPU ms", "of it servers", "peak MB"},
		Notes: "Exec to exit, one mail after the other. CPU is a mean of client and servers; peak is the memory " +
			"of the client and its children. dd writes one file anew and flushes it: the floor."}
	chartOf := chart.Bars{Title: "One process per mail, exec to exit: median", Unit: "ms", Series: []string{"median"}}
	direct, daemon := list[0].Wall.Median(), list[1].Wall.Median()
	for i, p := range list {
		if p.missing != "" {
			t.Add(p.Name, p.missing, "", "", "", "", "")
			continue
		}
		servers := p.serverCPU / float64(mails)
		t.Add(p.Name, report.Format(1000*p.Wall.Median(), 2), report.Format(1000*p.Wall.P10(), 2),
			report.Format(p.Wall.Median()/direct, 2), report.Format(1000*(p.CPU.Mean()+servers), 2),
			report.Format(1000*servers, 2), report.Format(p.peak, 1))
		chartOf.Groups = append(chartOf.Groups, chart.Group{Name: p.Name, Values: []float64{1000 * p.Wall.Median()}, Dim: i > 1})
	}
	t.Chart = chartOf
	l.report.Tables = append(l.report.Tables, t)
	l.report.Goals = append(l.report.Goals,
		report.Goal{What: "mailrow-deliver, through the daemon ÷ direct", Target: 0.4, Got: daemon / direct})
}
