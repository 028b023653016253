package postfix_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
)

// arrivals are the rows in short.
const arrivals = `select recipient, redelivered from mailrow.mail order by recipient collate "C"`

// deferred waits for n results and complains of every one that is no other try.
func deferred(t *testing.T, server *mtatest.PostfixServer, n int) {
	t.Helper()
	for _, r := range server.WaitResults(t, n, resultTimeout) {
		if r.Status != "deferred" {
			t.Errorf("got %+v, want deferred", r)
		}
	}
}

// flush tries again what waits, n recipients.
func flush(t *testing.T, server *mtatest.PostfixServer, n int) {
	t.Helper()
	server.Flush(t)
	sent(t, server, n)
	server.WaitQueue(t, 0, resultTimeout)
	if server.Bounces() != 0 {
		t.Error("bounces")
	}
}

func TestOutage(t *testing.T) {
	mtatest.Need(t)
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	run := command(t, dsn)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: run,
		Pipe:           append(strings.Fields(run), macros...), PipeFlags: "q",
		ExtraMain: "local_destination_concurrency_limit = 3",
	})
	var want []string
	send := func(name string) (n int) {
		for i := range 3 {
			for _, to := range []string{fmt.Sprintf("nobody+%s%d@local.test", name, i), fmt.Sprintf("bob+%s%d@row.test", name, i)} {
				server.Send(t, "s@sender.test", []string{to}, []byte("Subject: x\n\nbody\n"))
				want = append(want, to+"|0")
				n++
			}
		}
		return n
	}
	// The first mail makes the accounts, for which later ones would wait.
	n := send("before")
	sent(t, server, n)

	cluster.Stop(t, "fast")
	n = send("down")
	deferred(t, server, n)
	cluster.Start(t)
	flush(t, server, n)

	// Deliveries hang in the middle of their transaction when the server dies.
	lock := archivetest.Connect(t, dsn)
	if _, err := lock.Exec(t.Context(), "begin; lock table mailrow.deliveries in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	n = send("restart")
	waitFor(t, fmt.Sprint(n, " deliveries hang"), func() bool {
		got := deliverytest.Rows(t, dsn, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
		return got[0] == fmt.Sprint(n)
	})
	cluster.Stop(t, "immediate")
	deferred(t, server, n)
	cluster.Start(t)
	flush(t, server, n)

	slices.Sort(want)
	if diff := cmp.Diff(want, deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
}

func waitFor(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(resultTimeout); !yes(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// The database has the mail and Postfix does not know it.
func TestUnknownOutcome(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	run := deliverytest.Unsure(t, command(t, dsn))
	// Flag F writes a From_ line with the time, as local(8) does.
	main, master := service("DORF", run)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		MailboxCommand: run,
		Pipe:           append([]string{run}, macros...), PipeFlags: "q",
		ExtraMain: main, ExtraMaster: master,
	})
	to := []string{"nobody@local.test", "ann@row.test", "bob@row.test", "carol@other.test"}
	server.Send(t, "s@sender.test", to, []byte("Subject: x\n\nbody\n"))
	deferred(t, server, len(to))
	if diff := cmp.Diff([]string{"ann@row.test|0", "bob@row.test|0", "carol@other.test|0", "nobody@local.test|0"}, deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
	time.Sleep(time.Second) // for another time in the From_ line
	flush(t, server, len(to))
	if diff := cmp.Diff([]string{"ann@row.test|1", "bob@row.test|1", "carol@other.test|1", "nobody@local.test|1"}, deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
}

// Postfix runs both commands again when the second one asks for it.
func TestAliasOfTwoCommands(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	again := deliverytest.Script(t, "cat >/dev/null; exit 75")
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		Aliases: map[string]string{"two": `"|` + command(t, dsn) + `", "|` + again + `"`},
	})
	server.Send(t, "s@sender.test", []string{"two@local.test"}, []byte("Subject: x\n\nbody\n"))
	for i := range 3 {
		if i > 0 {
			server.Flush(t)
		}
		sent(t, server, 1)
		deferred(t, server, 1)
	}
	if diff := cmp.Diff([]string{"two@local.test|2"}, deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
}

// One status cannot refuse one recipient of a run and take another. What can be
// stored is, once.
func TestSomeRecipientsUnknown(t *testing.T) {
	mtatest.Need(t)
	dsn := deliverytest.Database(t)
	server := mtatest.StartPostfix(t, mtatest.Postfix{
		Pipe: append(strings.Fields(command(t, dsn)), "--unknown=reject", "-f", "${sender}", "--", "${recipient}"),
	})
	if _, err := archivetest.Connect(t, dsn).Exec(t.Context(), "insert into mailrow.routes (pattern, account) values ('bob@row.test', 'bob')"); err != nil {
		t.Fatal(err)
	}
	server.Send(t, "s@sender.test", []string{"bob@row.test", "eve@row.test"}, []byte("Subject: x\n\nbody\n"))
	for i := range 3 {
		for _, r := range server.WaitResults(t, 2, resultTimeout) {
			if r.Status != "deferred" || r.DSN != "4.1.1" {
				t.Errorf("got %+v", r)
			}
		}
		if i < 2 {
			server.Flush(t)
		}
	}
	if diff := cmp.Diff([]string{"bob@row.test|2"}, deliverytest.Rows(t, dsn, arrivals)); diff != "" {
		t.Error(diff)
	}
}
