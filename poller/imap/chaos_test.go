package imap_test

import (
	"context"
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
	"mailrow/poller/imap"
)

// cuts are enough to hit every state of a session.
var cuts = needs.Times(40, 120)

// chaos does something with INBOX over connections that break, again and again.
type chaos struct {
	*testing.T
	proxy *chaostest.Proxy
	got   map[string]string // mails by id
	act   func(context.Context, *imap.Folder, []poller.Entry) error
}

// session goes on until all is done or something breaks.
func (c *chaos) session() error {
	src, err := imap.Open(c.Context(), at(c, c.proxy.Addr()))
	if err != nil {
		return err
	}
	defer src.Close()
	opened, err := src.Folder(c.Context(), "INBOX")
	if err != nil {
		return err
	}
	f := opened.(*imap.Folder)
	l, err := f.List(c.Context(), "")
	if err != nil {
		return err
	}
	var all []poller.Entry
	for e, err := range l.Entries {
		if err != nil {
			return err
		}
		all = append(all, e)
		if _, had := c.got[e.ID]; had && len(all)%5 != 0 {
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
	for some := range slices.Chunk(all, 20) {
		if c.act == nil {
			break
		}
		if err := c.act(c.Context(), f, some); err != nil {
			return err
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
}

func newChaos(t *testing.T, s *dovecottest.Server, most int) *chaos {
	return &chaos{T: t, proxy: chaostest.Start(t, s.IMAP, most), got: map[string]string{}}
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
	all := mails(300)
	s.Append(t, dovecottest.User, "INBOX", all...)
	before := runtime.NumGoroutine()
	c := newChaos(t, s, 100_000)
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

// Mails that were removed at the server had been read whole before.
func TestCutConnectionsWhileRemoving(t *testing.T) {
	for _, capability := range []string{"", noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			c := newChaos(t, s, 30_000)
			c.act = func(ctx context.Context, f *imap.Folder, entries []poller.Entry) error { return f.Remove(ctx, entries) }
			var all [][]byte
			for round := 1; round <= 4; round++ {
				more := mails(100 * round)[100*(round-1):]
				all = append(all, more...)
				s.Append(t, dovecottest.User, "INBOX", more...)
				c.until(c.proxy.Cuts() + cuts/8)
				c.proxy.Rage()
			}
			c.want(all)
			if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) > 0 {
				t.Errorf("%d mails are left", len(left))
			}
		})
	}
}

// The session is cut everywhere in turn, from the first mail that is archived on.
func TestCutConnectionsWhileArchiving(t *testing.T) {
	for _, capability := range []string{"", noMove, noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			x := s.Session(t, dovecottest.User)
			c := newChaos(t, s, 1)
			c.act = func(ctx context.Context, f *imap.Folder, entries []poller.Entry) error {
				return f.Archive(ctx, entries, "Done")
			}
			var want []string
			const step = 50
			for at, n := 600, 0; ; at += step {
				before := c.proxy.Cuts()
				for range 3 {
					want = append(want, string(mail(n)))
					x.Append("INBOX", mail(n))
					n++
				}
				c.proxy.CutNext(at)
				_ = c.session()                  // if it was not cut, all is done
				time.Sleep(5 * time.Millisecond) // for the server to find out
				whole := c.proxy.Cuts() == before
				if err := c.session(); err != nil {
					t.Fatal(err)
				}
				if whole {
					break
				}
			}
			var got []string
			for _, m := range s.Mails(t, dovecottest.User, "Done") {
				got = append(got, string(m.Raw))
				if m.Flags != "" {
					t.Errorf("flags %s", m.Flags)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d cuts, archive: %.2000s", c.proxy.Cuts(), diff)
			}
			if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) > 0 {
				t.Errorf("%d mails are left", len(left))
			}
			t.Logf("%d cuts", c.proxy.Cuts())
		})
	}
}
