package exim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mailrow/exim"
	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

// arrivals are the rows in short.
const arrivals = `select recipient, redelivered from mailrow.mail order by recipient collate "C"`

// flush tries again what waits, n recipients.
func flush(t *testing.T, server *mtatest.EximServer, n int) {
	t.Helper()
	server.Flush(t)
	results(t, server, n, "sent")
	server.WaitQueue(t, 0, resultTimeout)
	if server.Bounces() != 0 {
		t.Error("bounces")
	}
}

func TestOutage(t *testing.T) {
	mtatest.Need(t)
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	s := exim.Setup{
		Deliver: deliverytest.Program(t), Config: deliverytest.Config(t, deliverytest.AsDeliverer(dsn)),
		User: mtatest.LocalUser, Domains: []string{"setup.test"},
	}
	server := start(t, s, "pipe")
	var want []string
	send := func(name string) int {
		const n = 3
		for i := range n {
			to := fmt.Sprintf("bob+%s%d@setup.test", name, i)
			server.Send(t, "s@sender.test", []string{to}, []byte("Subject: x\n\nbody\n"))
			want = append(want, to+"|0")
		}
		return n
	}
	// The first mail makes the account, for which later ones would wait.
	n := send("before")
	results(t, server, n, "sent")

	cluster.Stop(t, "fast")
	n = send("down")
	results(t, server, n, "deferred")
	cluster.Start(t)
	flush(t, server, n)

	// Deliveries hang in the middle of their transaction when the server dies.
	lock := archivetest.Connect(t, dsn)
	if _, err := lock.Exec(t.Context(), "begin; lock table mailrow.deliveries in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	n = send("restart")
	hang := func() bool {
		got := deliverytest.Rows(t, dsn, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
		return got[0] == fmt.Sprint(n)
	}
	for deadline := time.Now().Add(resultTimeout); !hang(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the deliveries do not hang")
		}
	}
	cluster.Stop(t, "immediate")
	results(t, server, n, "deferred")
	cluster.Start(t)
	flush(t, server, n)

	slices.Sort(want)
	if diff := gocmp.Diff(want, deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
}

// The database has the mail and Exim does not know it; the next attempt has
// other bytes.
func TestUnknownOutcome(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := deliverytest.Unsure(t, command(t, dsn))
	server := mtatest.StartExim(t, mtatest.Exim{
		Transport:    "driver = pipe\ncommand = " + run, // its From_ line has the time
		ExtraRouters: router("date", "") + router("bsmtp", "") + router("batch", ""),
		ExtraTransports: transport("date", "command = "+run+"\n"+recommended+"\ndelivery_date_add") +
			transport("bsmtp", "command = "+run+" --bsmtp\nuse_bsmtp\nbatch_max = 100\nmessage_prefix =\nmessage_suffix =\nenvelope_to_add\ndelivery_date_add") +
			transport("batch", "command = "+run+" -- $pipe_addresses\nbatch_max = 100\ndelivery_date_add\n"+recommended),
	})
	to := []string{"a@batch.test", "b@batch.test", "a@bsmtp.test", "b@bsmtp.test", "a@date.test", "b@date.test", "a@row.test"}
	slices.Sort(to) // as the query does
	rows := func(redelivered int) (rows []string) {
		for _, address := range to {
			rows = append(rows, fmt.Sprintf("%s|%d", address, redelivered))
		}
		return rows
	}
	server.Send(t, "s@sender.test", to, []byte("Subject: x\n\nbody\n"))
	results(t, server, len(to), "deferred")
	if diff := gocmp.Diff(rows(0), deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
	time.Sleep(time.Second) // for another Delivery-date
	flush(t, server, len(to))
	if diff := gocmp.Diff(rows(1), deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
	dates := deliverytest.Rows(t, dsn, "select count(*) from mailrow.headers where name = 'delivery-date'")
	if diff := gocmp.Diff([]string{"6"}, dates); diff != "" {
		t.Errorf("fields Delivery-date: %s", diff)
	}
}
