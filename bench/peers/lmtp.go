package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"mailrow/bench/chart"
	"mailrow/bench/floor"
	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/bench/usage"
	"mailrow/internal/deliverytest"
)

// system takes mail at volume.
type system struct {
	name    string
	missing string
	servers []int // processes that work for it
	// pass stores all mails over so many connections.
	pass func(ctx context.Context, connections int, mails [][]byte) (spent, error)
	most int // connections; 0 for no limit
	// stored is how many mails it has, and the room they take in bytes.
	stored func() (mails int, bytes int64, err error)

	rates  map[int]report.Series // mails/s by connections
	cpu    map[int]report.Series // s a mail, of client and servers
	memory int64                 // at the most, at the end of a pass with all connections
	taken  int                   // mails
	disk   float64               // ÷ bytes of the mails, after the first pass
}

var connectionCounts = []int{1, 8, 32}

const volumeRecipient = "volume@example.org"

func (l *lab) systems(ctx context.Context) (list []*system, err error) {
	dsn, err := l.srv.Migrated(ctx)
	if err != nil {
		return nil, err
	}
	role := server.As(dsn, server.Role)
	var daemon *deliverytest.Daemon
	if err := l.srv.Life.Try(func() {
		daemon = deliverytest.StartDaemon(l.srv.Life, deliverytest.Config(l.srv.Life, role))
	}); err != nil {
		return nil, err
	}
	postgres := l.srv.Cluster.Pid()
	ours := &system{name: "mailrow lmtp", stored: inTables(ctx, dsn, "mailrow", "deliveries")}
	ours.takesLMTP(daemon.Socket, volumeRecipient, daemon.Pid(), postgres)
	dovecot := &system{name: "dovecot-lmtp → Maildir", missing: notInstalled}
	if l.dovecot != nil {
		dovecot.missing, dovecot.stored = "", inMaildir(filepath.Join(l.dovecot.Home(lmtpUser), "Maildir"))
		dovecot.takesLMTP(l.dovecot.LMTP, lmtpUser, l.dovecot.Pid())
	}
	floors := []int{postgres}
	bench := &system{name: "pgbench, insert of one row", servers: floors, pass: func(ctx context.Context, connections int, mails [][]byte) (spent, error) {
		path := filepath.Join(l.dir.Path, "pgbench.sql")
		if err := pgbenchScript(path, connections, mails); err != nil {
			return spent{}, err
		}
		return pgbench(ctx, floors, role, path, connections)
	}}
	if lacking(pgbenchProgram()) != "" {
		bench.missing = notInstalled
	}
	insert := &system{name: "prepared insert of one row", servers: floors, pass: func(ctx context.Context, connections int, mails [][]byte) (spent, error) {
		return insertAll(ctx, floors, role, connections, mails)
	}}
	copied := &system{name: "COPY, one commit for all", servers: floors, most: 1, pass: func(ctx context.Context, _ int, mails [][]byte) (spent, error) {
		return together(floors, 1, 1, func(int, int) error { return floor.Copy(ctx, dsn, mails) })
	}}
	return []*system{ours, dovecot, bench, insert, copied}, nil
}

// takesLMTP makes a system one that is handed mail by its socket, all for one
// recipient.
func (s *system) takesLMTP(socket, recipient string, servers ...int) {
	s.servers = servers
	s.pass = func(ctx context.Context, connections int, mails [][]byte) (spent, error) {
		return overLMTP(ctx, servers, socket, recipient, connections, mails)
	}
}

// insertAll inserts nothing but the bytes, by statements that are prepared.
func insertAll(ctx context.Context, servers []int, dsn string, connections int, mails [][]byte) (spent, error) {
	stores := make([]func(context.Context, []byte) error, connections)
	for i := range stores {
		store, shut, err := floor.Inserter(ctx, dsn)
		if err != nil {
			return spent{}, err
		}
		defer shut()
		stores[i] = store
	}
	return together(servers, connections, len(mails), func(worker, job int) error { return stores[worker](ctx, mails[job]) })
}

func inTables(ctx context.Context, dsn, schema, table string) func() (int, int64, error) {
	return func() (int, int64, error) {
		mails, err := number(ctx, dsn, "select count(*) from "+schema+"."+table)
		if err != nil {
			return 0, 0, err
		}
		bytes, err := room(ctx, dsn, schema)
		return int(mails), bytes, err
	}
}

// measureLMTP stores the same mails by every system, in turns, for each number of
// connections. All of it goes into one mailbox.
func measureLMTP(ctx context.Context, l *lab) error {
	all, err := l.systems(ctx)
	if err != nil {
		return err
	}
	var list []*system
	for _, s := range all {
		s.rates, s.cpu = map[int]report.Series{}, map[int]report.Series{}
		if s.missing == "" {
			list = append(list, s)
		}
	}
	sample := l.set.Sample(l.size.lmtpMails)
	for _, connections := range connectionCounts {
		for i := range l.size.lmtpPasses + 1 { // the first fills caches and does not count
			mails := overTheWire(sample)
			for j := range list {
				s := list[(i+j)%len(list)]
				if err := s.measure(ctx, connections, mails, i); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	return l.reportLMTP(all)
}

// overTheWire makes mails new ones, with the line ends that LMTP gives them, so
// that everybody stores the same bytes.
func overTheWire(mails [][]byte) [][]byte {
	made := distinct(mails)
	for i, raw := range made {
		made[i] = asStored(raw)
	}
	return made
}

// measure runs one pass; the one with number 0 does not count.
func (s *system) measure(ctx context.Context, connections int, mails [][]byte, pass int) error {
	if s.most > 0 && connections > s.most {
		return nil
	}
	took, err := s.pass(ctx, connections, mails)
	if err != nil {
		return err
	}
	s.taken += len(mails)
	if s.stored != nil && s.taken == len(mails) {
		// Later passes bring the same attachments once more.
		_, room, err := s.stored()
		if err != nil {
			return err
		}
		s.disk = float64(room) / float64(mail.Total(mails))
	}
	if pass > 0 {
		s.rates[connections] = append(s.rates[connections], float64(len(mails))/took.wall)
		s.cpu[connections] = append(s.cpu[connections], took.cpu/float64(len(mails)))
		s.memory = max(s.memory, usage.Memory(s.servers...))
	}
	return nil
}

func (l *lab) reportLMTP(all []*system) error {
	t := report.Table{Title: "LMTP and volume, one mailbox", File: "lmtp.svg",
		Columns: []string{"mails/s at connections:", "1", "8", "32", "CPU ms a mail: 1", "8", "32", "MB", "disk ÷ raw"},
		Notes: fmt.Sprintf("Medians of %d passes of %d mails, one mail to a transaction, except COPY. CPU is that of clients and servers together, "+
			"a mean; pgbench's has reading its script in it. MB is the memory of the servers after a pass, without PostgreSQL's shared buffers. Disk is that of one pass: tables with indexes, or files.",
			l.size.lmtpPasses, l.size.lmtpMails)}
	c := chart.Bars{Title: "LMTP and volume, one mailbox", Unit: "mails/s, by connections"}
	for _, n := range connectionCounts {
		c.Series = append(c.Series, strconv.Itoa(n))
	}
	for _, s := range all {
		if s.missing != "" {
			t.Add(append([]string{s.name, s.missing}, make([]string, len(t.Columns)-2)...)...)
			continue
		}
		disk := ""
		if s.stored != nil {
			mails, _, err := s.stored()
			if err != nil {
				return fmt.Errorf("count what %s has stored: %w", s.name, err)
			}
			if mails != s.taken {
				return fmt.Errorf("%s has stored %d mails, not %d", s.name, mails, s.taken)
			}
			disk = report.Format(s.disk, 2)
		}
		rates, cpus, values := []string{}, []string{}, []float64{}
		for _, n := range connectionCounts {
			if len(s.rates[n]) == 0 {
				rates, cpus, values = append(rates, ""), append(cpus, ""), append(values, math.NaN())
				continue
			}
			rates = append(rates, report.Format(s.rates[n].Median(), 0))
			cpus = append(cpus, report.Format(1000*s.cpu[n].Mean(), 2))
			values = append(values, s.rates[n].Median())
		}
		t.Add(slices.Concat([]string{s.name}, rates, cpus, []string{report.Format(float64(s.memory)/1e6, 0), disk})...)
		c.Groups = append(c.Groups, chart.Group{Name: s.name, Values: values})
	}
	t.Chart = c
	l.report.Tables = append(l.report.Tables, t)
	l.lmtpGoals(all[0], all[1], all[2])
	return nil
}

func (l *lab) lmtpGoals(ours, dovecot, bench *system) {
	over := func(other *system, connections int) float64 {
		return ours.rates[connections].Median() / other.rates[connections].Median()
	}
	if bench.missing == "" {
		for i, target := range []float64{0.35, 0.4, 0.4} {
			n := connectionCounts[i]
			l.report.Goals = append(l.report.Goals, report.Goal{What: fmt.Sprintf("LMTP ÷ pgbench's insert of the bytes, connections: %d", n),
				Target: target, AtLeast: true, Got: over(bench, n)})
		}
	}
	if dovecot.missing == "" {
		l.report.Goals = append(l.report.Goals, report.Goal{What: "LMTP ÷ dovecot-lmtp, connections: 8", Target: 3, AtLeast: true, Got: over(dovecot, 8)})
	}
}
