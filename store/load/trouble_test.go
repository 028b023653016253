package load_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// Environment of a test binary that is to be a child.
const (
	childLoads   = "MAILROW_TEST_LOAD"         // the database to load the archive into
	childLoads50 = "MAILROW_TEST_LOAD_50MB"    // the database to load mails of 50 MB into
	childPartOf  = "MAILROW_TEST_LOAD_ARCHIVE" // how many mails of it
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childLoads) != "":
		os.Exit(loadArchive(os.Getenv(childLoads)))
	case os.Getenv(childLoads50) != "":
		os.Exit(loadLargeMails(os.Getenv(childLoads50)))
	}
	os.Exit(pgtest.Main(m))
}

// archive is n mails of some hundred conversations, in which answers come before
// what they answer, threads are joined, attachments are shared and mails come twice.
func archive(n int) (list []*store.Delivery) {
	numbers := rand.New(rand.NewPCG(5, 6))
	attachment := strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 40)
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "From: a%d@example.org\nTo: ann@example.com\nSubject: mail %d\nMessage-ID: <m%d@example.org>\n", i%9, i, i)
		for range numbers.IntN(3) {
			fmt.Fprintf(&b, "References: <m%d@example.org>\n", i/50*50+numbers.IntN(50))
		}
		if i%50 == 49 {
			fmt.Fprintf(&b, "In-Reply-To: <m%d@example.org>\n", numbers.IntN(n))
		}
		if i%4 == 0 {
			fmt.Fprintf(&b, "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n%s", attachment[:77*(30+numbers.IntN(9))])
		} else {
			fmt.Fprintf(&b, "\n%s\n", strings.Repeat("text ", numbers.IntN(2000)))
		}
		list = append(list, delivery(i, []byte(b.String())))
		if i%30 == 0 {
			again := *list[numbers.IntN(len(list))]
			list = append(list, &again)
		}
	}
	return list
}

// loadArchive is what a child does that may be killed.
func loadArchive(dsn string) int {
	ctx := context.Background()
	n, err := strconv.Atoi(os.Getenv(childPartOf))
	if err != nil {
		return fail(err)
	}
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return fail(err)
	}
	l, err := load.Open(ctx, config, load.Options{BatchMails: 20, Done: func(r load.Result) {
		if r.Err != nil {
			fail(r.Err)
		}
		os.Stdout.WriteString(".")
	}})
	if err != nil {
		return fail(err)
	}
	for _, d := range archive(n) {
		if err := l.Add(ctx, d); err != nil {
			return fail(err)
		}
	}
	if err := l.Close(); err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// undisturbed is what loading the archive makes of an empty database.
func undisturbed(t *testing.T, n int) map[string]map[string]int {
	t.Helper()
	dsn := deliverytest.Database(t)
	loadAll(t, dsn, load.Options{}, archive(n))
	return onceEach(tables(t, dsn))
}

// onceEach forgets how often mail came again.
func onceEach(all map[string]map[string]int) map[string]map[string]int {
	once := map[string]int{}
	for row, n := range all["deliveries"] {
		before, after, _ := strings.Cut(row, `"redelivered": `)
		_, after, _ = strings.Cut(after, ",")
		once[before+after] += n
	}
	all["deliveries"] = once
	return all
}

// A load that is killed, again and again, and then runs to its end has stored what
// one stores that nobody disturbed.
func TestKilledAndRepeated(t *testing.T) {
	const n = 1500
	want := undisturbed(t, n)
	dsn := deliverytest.Database(t)
	child := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childLoads+"="+dsn, childPartOf+"="+strconv.Itoa(n))
		cmd.Stderr = os.Stderr
		return cmd
	}
	kills, amid := needs.Times(5, 12), 0
	for range kills {
		cmd := child()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 1)
		for range 1 + rand.IntN(400) { // some mails are stored
			if _, err := out.Read(buffer); err != nil {
				break
			}
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		cmd.Process.Kill()
		if err := cmd.Wait(); err != nil {
			amid++
		}
	}
	if amid == 0 {
		t.Error("no child was killed amid its work")
	}
	if text, err := child().Output(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	compare(t, want, onceEach(tables(t, dsn)))
}

// A load goes on when the database has gone and is back.
func TestPostgreSQLRestartsAmid(t *testing.T) {
	const n = 3000
	ctx := context.Background()
	want := undisturbed(t, n)
	cluster := pgtest.New(t, map[string]string{"fsync": "off"})
	dsn := deliverytest.DatabaseOn(t, cluster)
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	results := map[*store.Delivery]int{}
	done, waited := 0, make(chan error, 100)
	quarter := make(chan struct{}, 4)
	list := archive(n)
	l, err := load.Open(ctx, config, load.Options{
		BatchMails: 20,
		Done: func(r load.Result) {
			results[r.Delivery]++
			if r.Err != nil {
				t.Errorf("%.60q: %v", r.Delivery.Raw, r.Err)
			}
			if done++; done%(len(list)/4) == 0 {
				quarter <- struct{}{}
			}
		},
		Waiting: func(err error) {
			select {
			case waited <- err:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for _, mode := range []string{"fast", "immediate", "kill"} {
			<-quarter
			cluster.Stop(t, mode)
			cluster.Start(t)
		}
	})
	for _, d := range list {
		if err := l.Add(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if len(waited) == 0 {
		t.Error("nobody was told that the database is away")
	}
	for _, d := range list {
		if results[d] == 0 {
			t.Errorf("no result: %.60q", d.Raw)
		}
	}
	compare(t, want, onceEach(tables(t, dsn)))
}

// Loads and deliveries of the same mails at once store each once, in its thread,
// and do not deadlock.
func TestLoadsAndDeliveriesAtOnce(t *testing.T) {
	const n = 1500
	want := undisturbed(t, n)
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	list := archive(n)
	var all sync.WaitGroup
	for i := range 3 {
		config, conn := connect(t, dsn)
		all.Go(func() {
			if i == 0 {
				if err := conn.Prepare(ctx); err != nil {
					t.Error(err)
				}
			}
			for _, at := range rand.Perm(len(list))[:len(list)/2] {
				d := *list[at]
				d.Message = message.Parse(d.Raw)
				if _, err := conn.Deliver(ctx, &d); err != nil {
					t.Error(err)
					return
				}
			}
		})
		if i == 2 {
			continue
		}
		all.Go(func() { // one of the loads takes the mails as they come, one from the end
			l, err := load.Open(ctx, config, load.Options{BatchMails: 30, Done: func(r load.Result) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}})
			if err != nil {
				t.Error(err)
				return
			}
			for at := range list {
				d := *list[at]
				if i == 1 {
					d = *list[len(list)-1-at]
				}
				d.Message = nil
				if err := l.Add(ctx, &d); err != nil {
					t.Error(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := onceEach(tables(t, dsn))
	compare(t, want, got)
	noDeadlocks(t, dsn)
}

// A load that is canceled leaves nothing half written, and is completed by another.
func TestCanceled(t *testing.T) {
	const n = 1500
	want := undisturbed(t, n)
	dsn := deliverytest.Database(t)
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := 0
	l, err := load.Open(ctx, config, load.Options{BatchMails: 20, Done: func(load.Result) {
		if done++; done == n/2 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range archive(n) {
		if err = l.Add(ctx, d); err != nil {
			break
		}
	}
	if closed := l.Close(); !errors.Is(closed, context.Canceled) {
		t.Errorf("Add gave %v, Close gave %v", err, closed)
	}
	if half := deliverytest.Rows(t, dsn, `
		select m.id from mailrow.messages m
		where not exists (select from mailrow.deliveries d where d.message = m.id)
		   or not exists (select from mailrow.message_parts p where p.message = m.id)`); half != nil {
		t.Errorf("half written: %v", half)
	}
	loadAll(t, dsn, load.Options{}, archive(n))
	compare(t, want, onceEach(tables(t, dsn)))
}

// A mail that cannot be stored does not keep its neighbours out.
func TestOneBadMail(t *testing.T) {
	dsn := deliverytest.Database(t)
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	list := archive(100)
	unreadable, unaddressed := list[40], list[70]
	unreadable.Message = message.Parse(unreadable.Raw)
	part := &unreadable.Message.Parts[0]
	part.Attachment, part.BodyEnd = true, part.BodyStart-10
	unreadable.Message.Cuts = nil
	unaddressed.Envelope.Recipients = []message.Recipient{{Address: noise(5000)}}
	failed := map[*store.Delivery]error{}
	l, err := load.Open(context.Background(), config, load.Options{Done: func(r load.Result) {
		if r.Err != nil {
			failed[r.Delivery] = r.Err
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if err := l.Add(context.Background(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(failed) != 1 || failed[unaddressed] == nil {
		t.Errorf("failed: %v", failed)
	}
	got := deliverytest.Rows(t, dsn, "select count(*), count(*) filter (where 'body-not-stored' = any (m.defects)) from mailrow.messages m")
	different := map[string]bool{}
	for _, d := range list {
		different[string(d.Raw)] = true
	}
	if want := fmt.Sprintf("%d|1", len(different)-1); got[0] != want {
		t.Errorf("%s messages and such without body, want %s", got[0], want)
	}
}

// noise does not compress.
func noise(n int) string {
	numbers := rand.New(rand.NewPCG(7, 8))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(numbers.IntN(26))
	}
	return string(b) + "@example.com"
}
