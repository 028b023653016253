package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/metrics/metricstest"
	"mailrow/internal/needs"
	"mailrow/internal/scratch"
	"mailrow/poller/pollertest"
)

// inMemory is a figure in kB of what a process has in memory: VmRSS now, VmHWM the most.
func (w *watching) inMemory(figure string) (kB int64) {
	w.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		w.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), figure+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		w.Fatalf("no %s in %s", figure, text)
	}
	if kB, err = strconv.ParseInt(fields[0], 10, 64); err != nil {
		w.Fatal(err)
	}
	return kB
}

// Each of many sources has a connection that waits for mail, and all of them together
// little memory.
func TestMemoryOfManyIdleSources(t *testing.T) {
	many := needs.Times(15, 200)
	var users []string
	for i := range many {
		users = append(users, fmt.Sprintf("user%d", i))
	}
	r := newRemote(t, deliverytest.Database(t), users...)
	for _, user := range users {
		deliverytest.Rows(t, r.dsn, fmt.Sprintf(`insert into mailrow.sources (name, uri, account, every, secret)
			values ('%[1]s', '%[2]s', '%[1]s', '1 hour', 'file:%[3]s') returning 1`, user, r.uri(user, ""), r.password))
	}
	w, at := r.watchShown()
	waiting := func() (n float64) {
		for sample, value := range metricstest.Read(t, at) {
			if strings.HasPrefix(sample, "mailrow_poll_source_waiting{") {
				n += value
			}
		}
		return n
	}
	eventually(t, "all wait", func() bool { return waiting() == float64(many) })
	r.wait(`select count(*) from mailrow.source_runs where finished_at is not null and error is null`, fmt.Sprint(many))
	// One commit after the other wakes them.
	for _, user := range users[:5] {
		r.server.Append(t, user, "INBOX", wire(numbered(0, 1))...)
	}
	r.wait(`select count(*) from mailrow.mail`, "5")
	now, most := w.inMemory("VmRSS"), w.inMemory("VmHWM")
	t.Logf("%d sources that wait: %d MB, %d MB at most", many, now>>10, most>>10)
	if most>>10 > 100 {
		t.Errorf("%d MB for %d sources that wait", most>>10, many)
	}
	w.end()
}

// Only so many connections wait for mail, the first folder of each source before the
// second of any; what nobody waits for is found when it is due.
func TestIdleIsBounded(t *testing.T) {
	users := []string{"a", "b", "c", "d"}
	r := newRemote(t, deliverytest.Database(t), users...)
	for _, user := range users {
		r.server.Append(t, user, "INBOX", wire(numbered(0, 1))...)
		r.server.Session(t, user).Do("CREATE More")
		r.server.Append(t, user, "More", wire(numbered(1, 1))...)
		r.run("source", "add", r.uri(user, "&folder=*"), "--name", user, "--account", user, "--password-file", r.password, "--every", "2s")
	}
	w, at := r.watchShown("--idle", "3")
	r.wait(`select count(*) from mailrow.mail`, "8")
	for _, user := range users {
		r.server.Append(t, user, "INBOX", wire(numbered(2, 1))...)
	}
	r.wait(`select count(*) from mailrow.mail`, "12")
	got := metricstest.Read(t, at)
	var all float64
	for i, user := range users {
		n := got[sampleOf("waiting", fmt.Sprint(i+1), user, "imap")]
		if n > 1 {
			t.Errorf("%s has %v connections that wait, when others have none", user, n)
		}
		all += n
	}
	if all != 3 {
		t.Errorf("%v connections wait", all)
	}
	w.end()
}

// Servers that are away cost next to nothing, neither here nor at the database.
func TestManyUnreachableSources(t *testing.T) {
	many := needs.Times(30, 200)
	p := newPolls(t, deliverytest.Database(t))
	deliverytest.Rows(t, p.dsn, fmt.Sprintf(`insert into mailrow.sources (uri, account, every)
		select 'imap://user' || n || '@127.0.0.1:1', 'ann', '1 second' from generate_series(1, %d) n returning 1`, many))
	w, at := p.watchShown()
	eventually(t, "all have failed", func() bool {
		return deliverytest.Rows(t, p.dsn, `select count(*) from mailrow.sources where failures > 0`)[0] == fmt.Sprint(many)
	})
	const cpu, wait = "process_cpu_seconds_total", 10 * time.Second
	before, start := metricstest.Read(t, at)[cpu], time.Now()
	most := 0
	for time.Since(start) < wait {
		n, err := strconv.Atoi(deliverytest.Rows(t, p.dsn, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'mailrow'`)[0])
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
		time.Sleep(50 * time.Millisecond)
	}
	used := metricstest.Read(t, at)[cpu] - before
	t.Logf("%d sources whose servers are away: %.0f ms of processor time in %v, %d connections to the database at most", many, used*1000, wait, most)
	if limit := wait.Seconds() / 5; used > limit {
		t.Errorf("%.1f s of processor time in %v", used, wait)
	}
	// One to read the table, and two for each run: its own, and for its secrets.
	if most > 1+2*4 {
		t.Errorf("%d connections to the database", most)
	}
	if said := strings.Count(w.end(), "nothing listens there"); said > many*8 {
		t.Errorf("it was said %d times", said)
	}
}

// Large mails that come at once wait for each other's memory.
func TestMemoryOfLargeMails(t *testing.T) {
	const size = 12 << 20
	config := filepath.Join(scratch.ForTest(t), "mailrow.toml")
	if err := os.WriteFile(config, []byte("max_size = \"16MiB\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 75) + "\n")
	peak := func(memory string) int64 {
		t.Helper()
		p := newPolls(t, deliverytest.Database(t))
		for n := range 6 {
			box := pollertest.Maildir(t)
			box.Add(t, append(fmt.Appendf(nil, "Subject: %d\n\n", n), bytes.Repeat(line, size/len(line))...))
			p.run("source", "add", box.URI(), "--account", "large", "--every", "1h")
		}
		w, at := p.watchShown("--config", config, "--at-once", "6", "--memory", memory)
		eventually(t, "all are stored", func() bool {
			return deliverytest.Rows(t, p.dsn, `select count(*) from mailrow.mail`)[0] == "6"
		})
		metricstest.Wait(t, at, "mailrow_poll_memory_bytes", func(n float64) bool { return n == 0 })
		kB := w.inMemory("VmHWM")
		w.end()
		return kB
	}
	bounded, free := peak("16MiB"), peak("900MiB")
	t.Logf("six mails of %d MiB at once: %d MB, and %d MB where there is room for all", size>>20, bounded>>10, free>>10)
	if bounded > free*3/4 {
		t.Errorf("%d MB with a limit, %d MB without", bounded>>10, free>>10)
	}
}
