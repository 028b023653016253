package imap_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/chaostest"
	"mailrow/internal/dovecottest"
	"mailrow/poller"
	"mailrow/poller/imap"
)

// The session is cut everywhere in turn, from the first mail that is archived on.
func TestCutConnectionsWhileArchiving(t *testing.T) {
	for _, capability := range []string{"", noMove, noUIDPlus} {
		t.Run(capability, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Capability: capability})
			x := s.Session(t, dovecottest.User)
			proxy := chaostest.Start(t, s.IMAP, 1)
			archive := func() error {
				src, err := imap.Open(t.Context(), at(t, proxy.Addr()))
				if err != nil {
					return err
				}
				defer src.Close()
				f, err := src.Folder(t.Context(), "INBOX")
				if err != nil {
					return err
				}
				l, err := f.List(t.Context(), "")
				if err != nil {
					return err
				}
				var all []poller.Entry
				for e, err := range l.Entries {
					if err != nil {
						return err
					}
					all = append(all, e)
				}
				return f.(*imap.Folder).Archive(t.Context(), all, "Done")
			}
			var want []string
			const step = 50
			for at, n := 600, 0; ; at += step {
				before := proxy.Cuts()
				for range 3 {
					want = append(want, string(mail(n)))
					x.Append("INBOX", mail(n))
					n++
				}
				proxy.CutNext(at)
				_ = archive()                    // if it was not cut, all is done
				time.Sleep(5 * time.Millisecond) // for the server to find out
				whole := proxy.Cuts() == before
				if err := archive(); err != nil {
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
				t.Errorf("%d cuts, archive: %.2000s", proxy.Cuts(), diff)
			}
			if left := s.Mails(t, dovecottest.User, "INBOX"); len(left) > 0 {
				t.Errorf("%d mails are left", len(left))
			}
			t.Logf("%d cuts", proxy.Cuts())
		})
	}
}
