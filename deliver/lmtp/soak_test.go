package lmtp_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
)

// use is what the daemon uses at a moment.
type use struct {
	memory      int // resident, in KiB
	descriptors int
	connections int // to the database
}

func usedBy(t *testing.T, pid int, dsn string) (u use) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &u.memory); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	u.descriptors = len(open)
	count := deliverytest.Rows(t, dsn, "select count(*) from pg_stat_activity where datname = current_database() and usename = 'deliverer'")
	if _, err := fmt.Sscan(count[0], &u.connections); err != nil {
		t.Fatal(err)
	}
	return u
}

// Minutes of mail leave nothing behind in the daemon: no memory, descriptor,
// connection or goroutine. Some of the clients hang up amid a mail.
func TestSoak(t *testing.T) {
	const clients, connections = 8, 4
	duration := time.Duration(needs.Times(4, 300)) * time.Second
	mails := deliverytest.Corpus(t, 40, 50)
	dsn, daemon := startDaemon(t, "--connections", fmt.Sprint(connections))
	pid := daemon.Pid()
	end := time.Now().Add(duration)
	var all sync.WaitGroup
	var stored, sessions atomic.Int64
	for i := range clients {
		all.Go(func() {
			for n := 0; time.Now().Before(end); {
				c, err := dial(daemon.Socket)
				if err != nil {
					t.Error(err)
					return
				}
				for range 10 {
					n++
					raw := stuffed(marked(mails[n%len(mails)], n*clients+i))
					if n%7 == 0 {
						c.begin("cut@row.test")
						io.WriteString(c, raw[:len(raw)/2])
						break
					}
					reply, err := "", c.send(raw, fmt.Sprintf("m%d@row.test", n%100))
					if err == nil {
						reply, err = c.reply()
					}
					if !strings.HasPrefix(reply, "250 ") {
						t.Errorf("%q, %v", reply, err)
						break
					}
					stored.Add(1)
				}
				c.Close()
				sessions.Add(1)
			}
		})
	}
	var seen []use
	for len(seen) < 5 || time.Now().Before(end) {
		time.Sleep(duration / 40)
		seen = append(seen, usedBy(t, pid, dsn))
	}
	all.Wait()
	time.Sleep(500 * time.Millisecond) // for the last to be noticed
	rest := usedBy(t, pid, dsn)
	fifth := max(1, len(seen)/5)
	first, last := memory(seen[fifth:2*fifth]), memory(seen[len(seen)-fifth:])
	t.Logf("%d mails, %d sessions; KiB after warming up %d, in the end %d; at rest %+v", stored.Load(), sessions.Load(), first, last, rest)
	if needs.Times(0, 1) > 0 && float64(last) > 1.1*float64(first) {
		t.Errorf("memory grew from %d to %d KiB", first, last)
	}
	for _, u := range seen {
		if u.connections > connections || u.descriptors > clients*2+connections+20 {
			t.Errorf("amid the mail: %+v", u)
		}
	}
	if rest.descriptors > connections+15 {
		t.Errorf("%d descriptors are open at rest", rest.descriptors)
	}
	// Without a port for it: this signal has the runtime list all goroutines.
	daemon.Signal(syscall.SIGQUIT)
	for range 100 {
		if strings.Contains(daemon.Log(), "\nrax ") || strings.Contains(daemon.Log(), "\nr0 ") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	goroutines := strings.Count(daemon.Log(), "\ngoroutine ")
	t.Logf("%d goroutines at rest", goroutines)
	if goroutines == 0 || goroutines > 25 {
		t.Errorf("%d goroutines at rest", goroutines)
	}
}

// stuffed is a mail as LMTP carries it.
func stuffed(raw []byte) string {
	lines := strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n", "\r\n")
	return strings.ReplaceAll(lines, "\r\n.", "\r\n..") + "\r\n"
}

// memory is the median.
func memory(list []use) int {
	all := make([]int, len(list))
	for i, u := range list {
		all[i] = u.memory
	}
	slices.Sort(all)
	return all[len(all)/2]
}
