package lmtp_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

type mta interface {
	deliverytest.Server
	Flush(testing.TB)
	Queue(testing.TB) int
	Results() []mtatest.Result
	Log() string
}

// Real mail servers hand mail over while all goes wrong: the disk of the database is
// full, it is restarted, the daemon killed. In the end each mail is one row, and none
// was sent back.
func TestMailServersThroughTrouble(t *testing.T) {
	mtatest.Need(t)
	// By the domain whose mail they hand over so.
	servers := map[string]func(t *testing.T, socket string) mta{
		"lmtp.test": func(t *testing.T, socket string) mta {
			return mtatest.StartPostfix(t, mtatest.Postfix{ExtraMain: "virtual_mailbox_domains = lmtp.test\nvirtual_transport = lmtp:unix:" + socket + "\n" +
				"lmtp_send_xforward_command = yes\nlmtp_destination_concurrency_limit = 20\nlmtp_destination_recipient_limit = 50"})
		},
		"row.test": func(t *testing.T, socket string) mta {
			return mtatest.StartExim(t, mtatest.Exim{Transport: "driver = lmtp\nsocket = " + socket + "\nbatch_max = 50\ntimeout = 1m",
				ExtraMain: "queue_run_max = 20"})
		},
	}
	for domain, start := range servers {
		t.Run(domain, func(t *testing.T) {
			mails := deliverytest.Corpus(t, 40, 50)
			n := needs.Times(len(mails), 5000)
			cluster := pgtest.NewOnTmpfs(t, map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB"}, needs.Times(256, 2048))
			dsn := deliverytest.DatabaseOn(t, cluster)
			daemon := deliverytest.StartDaemon(t, deliverytest.Config(t, deliverytest.AsDeliverer(dsn), `timeout = "20s"`))
			server := start(t, daemon.Socket)

			var all sync.WaitGroup
			for first := range 20 {
				all.Go(func() {
					for i := first; i < n; i += 20 {
						server.Send(t, "s@sender.test", []string{fmt.Sprintf("m%d@%s", i, domain), "all@" + domain}, marked(mails[i%len(mails)], i))
					}
				})
			}
			trouble := make(chan struct{})
			go func() {
				defer close(trouble)
				fillDisk(t, cluster, server)
				for i := range 5 {
					time.Sleep(time.Duration(needs.Times(300, 3000)) * time.Millisecond)
					daemon.Signal(syscall.SIGKILL)
					if i%2 == 1 {
						cluster.Restart(t)
					}
				}
			}()
			all.Wait()
			<-trouble
			if t.Failed() {
				return
			}
			drain(t, server)
			t.Logf("%d mails for two each: %d deferred, %d PANICs of the database", n, results(server, "deferred"), strings.Count(cluster.Log(), "PANIC:"))
			if bounces := server.Bounces(); bounces != 0 {
				t.Errorf("%d bounces: %s", bounces, tail(server.Log()))
			}
			each := deliverytest.Rows(t, dsn, "select count(*), count(distinct recipient) from mailrow.mail where recipient not like 'all@%'")
			if want := fmt.Sprintf("%d|%d", n, n); each[0] != want {
				t.Errorf("rows and recipients %s, want %s", each[0], want)
			}
			together := deliverytest.Rows(t, dsn, "select count(*), count(distinct mailrow.header(id, 'x-number')) from mailrow.mail where recipient like 'all@%'")
			if want := fmt.Sprintf("%d|%d", n, n); together[0] != want {
				t.Errorf("rows and mails for all %s, want %s", together[0], want)
			}
			// Each mail of two recipients is stored in one transaction, once for each account.
			if got := deliverytest.Rows(t, dsn, "select distinct source, client_protocol is not null from mailrow.mail"); len(got) != 1 || !strings.HasPrefix(got[0], "lmtp|") {
				t.Errorf("sources %q", got)
			}
		})
	}
}

// fillDisk fills the disk of the database amid the deliveries, until there is no room
// for tables, and then none for the WAL; and makes room again.
func fillDisk(t *testing.T, cluster *pgtest.Cluster, server mta) {
	atLeast := func(n int, status string) {
		for deadline := time.Now().Add(time.Minute); results(server, status) < n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%d mails were %s, want %d", results(server, status), status, n)
				return
			}
		}
	}
	atLeast(20, "sent")
	cluster.FillDisk(t)
	atLeast(results(server, "deferred")+1, "deferred")
	if !strings.Contains(cluster.Log(), "No space left on device") {
		t.Error("the disk was not full")
	}
	cluster.ExhaustWAL(t)
	cluster.FreeDisk(t)
}

// drain has a mail server try again, whenever it rests, until its queue is empty.
func drain(t *testing.T, server mta) {
	before := -1
	for deadline := time.Now().Add(time.Duration(needs.Times(3, 15)) * time.Minute); server.Queue(t) > 0; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("%d mails are still in the queue: %s", server.Queue(t), tail(server.Log()))
		}
		now := len(server.Results())
		if now == before {
			server.Flush(t)
		}
		before = now
	}
}

// results counts those of a mail server with a status.
func results(server mta, status string) (n int) {
	for _, result := range server.Results() {
		if result.Status == status {
			n++
		}
	}
	return n
}

// marked is a mail with a field of its own.
func marked(m corpus.Mail, i int) []byte {
	raw := m.Raw
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	return append(fmt.Appendf(nil, "X-Number: %d\n", i), raw...)
}

func tail(s string) string { return s[max(0, len(s)-3000):] }
