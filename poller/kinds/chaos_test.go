package kinds_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/chaostest"
	"mailrow/internal/deliverytest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/poller"
	"mailrow/store"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// Over connections that break at any byte, in both directions, with a database that
// is restarted meanwhile: in the end each mail of the server is a row, once, byte for
// byte, and the server has no mail but what was to stay.
func TestChaos(t *testing.T) {
	cluster := pgtest.New(t, nil)
	for _, test := range []struct{ name, kind, after, capability string }{
		{"imap", "imap", "delete", ""},
		{"imap without UIDPLUS", "imap", "delete", "IMAP4rev1"},
		{"imap archive", "imap", "archive", ""},
		{"imap keep", "imap", "keep", ""},
		{"pop3", "pop3", "delete", ""},
		{"pop3 keep", "pop3", "keep", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := dovecottest.Start(t, dovecottest.Config{Capability: test.capability})
			c := newChaos(t, cluster, server, test.kind, test.after)
			before := runtime.NumGoroutine()
			c.until(needs.Times(8, 500))
			c.calm()
			c.check()
			c.noneLeft(before)
		})
	}
}

// chaos is a source behind a network that breaks.
type chaos struct {
	*testing.T
	server  *dovecottest.Server
	proxy   *chaostest.Proxy
	cluster *pgtest.Cluster
	dsn     string
	poller  poller.Poller
	source  source.Source
	after   string

	mails, runs, restarts int
	count                 source.Count
}

func newChaos(t *testing.T, cluster *pgtest.Cluster, server *dovecottest.Server, kind, after string) *chaos {
	t.Helper()
	c := &chaos{T: t, server: server, cluster: cluster, after: after}
	c.dsn = deliverytest.DatabaseOn(t, c.cluster)
	c.proxy = chaostest.Start(t, map[string]string{"imap": c.server.IMAP, "pop3": c.server.POP3}[kind], 30_000)
	c.poller = poller.Poller{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, c.dsn) },
		Open:    opener(nil).Open,
		Config:  deliver.DefaultConfig(),
		Warn: func(_ source.Source, err error) {
			var broken *poller.BrokenError
			if !errors.As(err, &broken) && store.TroubleOf(err) == store.TroubleUnknown {
				t.Error(err)
			}
		},
	}
	account, parameters := "ann", map[string]string{"archive": "?archive=Done"}
	c.source = source.Source{URI: kind + "://" + user + "@" + c.proxy.Addr() + cmp.Or(parameters[after], "?after="+after), Account: &account}
	var err error
	if c.source.ID, err = source.Add(t.Context(), archivetest.Connect(t, c.dsn), c.source); err != nil {
		t.Fatal(err)
	}
	return c
}

func chaosMails(first, n int) (mails [][]byte) {
	for i := range n {
		i += first
		mails = append(mails, fmt.Appendf(nil, "From: a@b.test\r\nMessage-ID: <%d@b.test>\r\nSubject: mail %d\r\n\r\n%s", i, i, strings.Repeat("text\r\n", i%50)))
	}
	return mails
}

// until polls until enough connections were cut. Mail comes meanwhile, and now and
// then the database is stopped amid a run.
func (c *chaos) until(cuts int) {
	c.Helper()
	start := time.Now()
	for c.proxy.Cuts() < cuts {
		if c.runs%4 == 0 {
			c.server.Append(c, dovecottest.User, "INBOX", chaosMails(c.mails, 20)...)
			c.mails += 20
		}
		polled := make(chan struct{})
		go func() {
			defer close(polled)
			c.poll()
		}()
		if c.runs%10 == 1 {
			time.Sleep(time.Duration(c.restarts*37%150) * time.Millisecond)
			c.cluster.Stop(c, []string{"fast", "immediate", "kill"}[c.restarts%3])
			c.cluster.Start(c)
			c.restarts++
		}
		<-polled
		c.runs++
	}
	c.Logf("%d mails, %d runs in %v, %d cuts, %d restarts of the database, %d mails read twice",
		c.mails, c.runs, time.Since(start).Round(time.Second), c.proxy.Cuts(), c.restarts, c.count.Duplicate)
}

// poll may fail: if not now, then next time.
func (c *chaos) poll() {
	count, _ := c.poller.Run(c.Context(), c.source)
	c.count.Stored += count.Stored
	c.count.Duplicate += count.Duplicate
}

// calm polls once more when nothing breaks any longer.
func (c *chaos) calm() {
	c.Helper()
	c.proxy.Calm()
	// A mail that was cut off twice in a row waits a minute.
	if _, err := archivetest.Connect(c, c.dsn).Exec(c.Context(), `update mailrow.source_messages set retry_at = null`); err != nil {
		c.Fatal(err)
	}
	if count, err := c.poller.Run(c.Context(), c.source); err != nil || count.Failed > 0 {
		c.Errorf("%+v, %v", count, err)
	}
}

// noneLeft wants no goroutine of those that ran meanwhile, but two of the proxy's.
func (c *chaos) noneLeft(before int) {
	c.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.Errorf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
}

func (c *chaos) check() {
	c.Helper()
	want := map[string]int{}
	for _, m := range chaosMails(0, c.mails) {
		want[string(m)] = 1
	}
	rows, err := archivetest.Connect(c, c.dsn).Query(c.Context(), `select mailrow.raw(id) from mailrow.mail`)
	if err != nil {
		c.Fatal(err)
	}
	raw, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		c.Fatal(err)
	}
	stored := map[string]int{}
	for _, m := range raw {
		stored[string(m)]++
	}
	if diff := gocmp.Diff(want, stored); diff != "" {
		c.Errorf("stored: %.2000s", diff)
	}
	rest := map[string]map[string]int{"INBOX": {}}
	switch c.after {
	case "keep":
		rest["INBOX"] = want
	case "archive":
		rest["Done"] = want
	}
	for folder, want := range rest {
		there := map[string]int{}
		for _, m := range c.server.Mails(c, dovecottest.User, folder) {
			there[string(m.Raw)]++
		}
		if diff := gocmp.Diff(want, there); diff != "" {
			c.Errorf("in %s: %.2000s", folder, diff)
		}
	}
}
