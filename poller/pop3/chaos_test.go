package pop3_test

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/chaostest"
	"mailrow/internal/dovecottest"
	"mailrow/internal/needs"
	"mailrow/poller"
	"mailrow/poller/identity"
	"mailrow/poller/pop3"
)

// cuts are enough to hit every state of a session.
var cuts = needs.Times(40, 150)

// chaos reads and removes mail over connections that break, again and again.
type chaos struct {
	*testing.T
	server *dovecottest.Server
	proxy  *chaostest.Proxy
	got    map[string]string // mails by id
	remove bool
}

// session goes on until all is done or something breaks. What Remove has returned
// from is gone at the server by then.
func (c *chaos) session() error {
	src, err := pop3.Open(c.Context(), at(c, c.proxy.Addr()))
	if err != nil {
		return err
	}
	defer src.Close()
	f := folder(c, src)
	entries, _, err := tryList(c.Context(), f)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if _, had := c.got[e.ID]; had && i%5 != 0 {
			continue
		}
		raw, err := tryRead(c.Context(), f, e)
		if err != nil {
			return err
		}
		if before, had := c.got[e.ID]; had && before != raw {
			c.Errorf("mail %s is %q, and was %q", e.ID, raw, before)
		}
		c.got[e.ID] = raw
	}
	for i, e := range entries {
		content := identity.Of([]byte(c.got[e.ID]))
		entries[i].Content = content[:16]
	}
	for some := range slices.Chunk(entries, 20) {
		if !c.remove {
			break
		}
		if err := f.Remove(c.Context(), some); err != nil {
			return err
		}
		there := map[string]bool{}
		for _, m := range c.server.Mails(c, dovecottest.User, "INBOX") {
			there[string(m.Raw)] = true
		}
		for _, e := range some {
			if there[c.got[e.ID]] {
				c.Errorf("mail %s is still there", e.ID)
			}
		}
	}
	return nil
}

// until runs sessions until there were enough cuts, then one without any.
func (c *chaos) until(enough int) {
	for c.proxy.Cuts() < enough {
		err := c.session()
		var broken *poller.BrokenError
		if err != nil && !errors.As(err, &broken) && !strings.Contains(err.Error(), "connection") {
			c.Fatalf("after %d cuts: %v", c.proxy.Cuts(), err)
		}
	}
	c.proxy.Calm()
	if err := c.session(); err != nil {
		c.Fatal(err)
	}
	c.proxy.Rage()
}

func (c *chaos) want(all [][]byte) {
	c.Helper()
	var want []string
	for _, m := range all {
		want = append(want, string(m))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Values(c.got))); diff != "" {
		c.Errorf("mails: %.2000s", diff)
	}
}

func TestCutConnectionsLoseNothing(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	all := mails(200)
	s.Append(t, dovecottest.User, "INBOX", all...)
	before := runtime.NumGoroutine()
	c := &chaos{T: t, server: s, proxy: chaostest.Start(t, s.POP3, 60_000), got: map[string]string{}}
	c.until(cuts)
	c.want(all)
	for range 200 {
		if runtime.NumGoroutine() <= before+2 { // the proxy's
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
}

func TestCutConnectionsWhileRemoving(t *testing.T) {
	s := dovecottest.Start(t, dovecottest.Config{})
	c := &chaos{T: t, server: s, proxy: chaostest.Start(t, s.POP3, 20_000), got: map[string]string{}, remove: true}
	var all [][]byte
	const rounds = 5
	for round := range rounds {
		more := mails(60 * (round + 1))[60*round:]
		all = append(all, more...)
		s.Append(t, dovecottest.User, "INBOX", more...)
		c.until(c.proxy.Cuts() + cuts/rounds)
	}
	c.want(all)
	if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) > 0 {
		t.Errorf("%d mails are left", len(left))
	}
	t.Logf("%d cuts", c.proxy.Cuts())
}
