package pollertest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/poller"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

func (s *suite) once() {
	all := mails(5)
	s.box.Add(s, all...)
	if got, _, err := s.run(""); err != nil || got.Seen != 5 || got.Stored != 5 {
		s.Errorf("%+v, %v", got, err)
	}
	s.wantStored(all)
	s.wantLeft(all)
	s.rows(`select distinct m.account, m.mailbox, m.recipient, m.original_recipient, m.source = split_part(s.uri, ':', 1) from mailrow.mail m, mailrow.sources s`,
		"ann|INBOX|ann|ann@example.org|t")
	s.rows(`select distinct sender like 's%@example.net' from mailrow.mail`, "t") // of the From_ line, or Return-Path
	got, _, err := s.run("")
	if err != nil || got.Stored+got.Duplicate != 0 {
		s.Errorf("again: %+v, %v", got, err)
	}
	s.box.Add(s, mail(5))
	got, _, err = s.run("")
	if err != nil || got.Stored != 1 || got.Duplicate != 0 {
		s.Errorf("with another: %+v, %v", got, err)
	}
	// The same bytes again are the same arrival, whether or not they have an id of their own.
	s.box.Add(s, mail(5))
	got, _, err = s.run("")
	if err != nil || got.Stored != 0 {
		s.Errorf("with the same twice: %+v, %v", got, err)
	}
	s.wantStored(mails(6))
	s.rows(`select count(*) from mailrow.source_messages where state = 'stored'`, fmt.Sprint(6+got.Duplicate))
}

func (s *suite) empty() {
	s.poll("", source.Count{})
	s.poll("?after=delete", source.Count{})
	s.rows(`select failures, last_error, running from mailrow.source_status`, "0|NULL|f")
}

func (s *suite) deleted() {
	all := mails(5)
	s.box.Add(s, all...)
	s.poll("?after=delete", source.Count{Stored: 5, Done: 5})
	s.wantStored(all)
	s.wantLeft(nil)
	s.poll("?after=delete", source.Count{})
	s.rows(`select state, done, gone_at is not null, count(*) from mailrow.source_messages group by 1, 2, 3`, "done|delete|t|5")
	s.box.Add(s, mail(7))
	s.poll("?after=delete", source.Count{Stored: 1, Done: 1})
	s.wantStored(append(all, mail(7)))
	// A week later nothing of them is left.
	if _, err := s.conn.Exec(ctx, `update mailrow.source_messages set gone_at = gone_at - interval '8 days'`); err != nil {
		s.Fatal(err)
	}
	s.poll("?after=delete", source.Count{})
	s.rows(`select count(*) from mailrow.source_messages`, "1")
}

// A program that uses the name of a mail that was removed for another one loses
// nothing by it.
func (s *suite) nameTwice() {
	old, other := []byte("Subject: one\n\nold\n"), []byte("Subject: one\n\nnew\n")
	box, named := s.box.(namedBox)
	if !named {
		return
	}
	for _, parameters := range []string{"?after=delete", "?archive=Done"} {
		box.AddAs(s, "report", old)
		if _, _, err := s.run(parameters); err != nil {
			s.Fatal(err)
		}
		box.AddAs(s, "report", other)
		if _, _, err := s.run(parameters); err != nil {
			s.Fatal(err)
		}
		s.wantStored([][]byte{old, other})
		s.wantLeft(nil)
		if _, err := s.conn.Exec(ctx, `delete from mailrow.sources; select mailrow.delete_account(name) from mailrow.accounts`); err != nil {
			s.Fatal(err)
		}
	}
}

// Mail is removed once it was stored long enough ago, be the folder changed or not.
func (s *suite) deletedLater() {
	s.box.Add(s, mails(3)...)
	s.poll("?after=delete-after:30d", source.Count{Stored: 3})
	s.poll("?after=delete-after:30d", source.Count{})
	s.wantLeft(mails(3))
	for left := 2; left >= 0; left-- {
		if _, err := s.conn.Exec(ctx, `
			update mailrow.source_messages set changed_at = changed_at - interval '30 days'
			where id = (select min(id) from mailrow.source_messages where state = 'stored')`); err != nil {
			s.Fatal(err)
		}
		s.poll("?after=delete-after:30d", source.Count{Done: 1})
		if got := s.box.Mails(s); len(got) != left {
			s.Errorf("%d mails are left, want %d", len(got), left)
		}
	}
	s.wantStored(mails(3))
	s.rows(`select state, done, count(*) from mailrow.source_messages group by 1, 2`, "done|delete-after:30d|3")
}

// impossible wants a policy to be refused before anything happens.
func (s *suite) impossible(parameters string) {
	s.box.Add(s, mails(2)...)
	if got, _, err := s.run(parameters); err == nil || got != (source.Count{}) {
		s.Errorf("%s: %+v, %v", parameters, got, err)
	}
	s.wantStored(nil)
	s.wantLeft(mails(2))
}

func (s *suite) seen() {
	if s.kind.Bare {
		s.impossible("?after=seen")
		return
	}
	all := mails(3)
	s.box.Add(s, all...)
	s.poll("?after=seen", source.Count{Stored: 3, Done: 3})
	if got := s.box.Mails(s); len(got) != 3 {
		s.Errorf("left: %q", got)
	}
	s.poll("?after=seen", source.Count{})
	s.wantStored(all)
}

// What was kept is removed once that is wanted, and then not fetched again.
func (s *suite) policyChanges() {
	all := mails(3)
	s.box.Add(s, all...)
	s.poll("", source.Count{Stored: 3})
	s.poll("?after=delete", source.Count{Done: 3})
	s.wantLeft(nil)
	s.wantStored(all)
}

// crashes lets the poller die at each point of its way, and the next one go on.
func (s *suite) crashes() {
	want := mails(0)
	for n, point := range []string{"opening 1", "opening 3", "reading 2", "removing", "removed"} {
		all := mails((n + 1) * 4)[n*4:]
		s.box.Add(s, all...)
		want = append(want, all...)
		s.hooks = &hooks{crash: point}
		if _, done, err := s.run("?after=delete"); done {
			s.Fatalf("%s: did not crash: %v", point, err)
		}
		s.hooks = nil
		for range 2 {
			if _, done, err := s.run("?after=delete"); err != nil || !done {
				s.Fatalf("after a crash while %s: %v", point, err)
			}
		}
		s.wantStored(want)
		s.wantLeft(nil)
	}
}

func (s *suite) addedMeanwhile() {
	s.box.Add(s, mails(3)...)
	added := 3
	s.hooks = &hooks{opening: func(poller.Entry, int) error {
		if added < 6 {
			s.box.Add(s, mail(added))
			added++
		}
		return nil
	}}
	for range 5 {
		if _, _, err := s.run("?after=delete"); err != nil {
			s.Log(err) // a file of many mails may have to be listed anew
		}
	}
	s.wantStored(mails(6))
	s.wantLeft(nil)
}

func (s *suite) removedMeanwhile() {
	s.box.Add(s, mails(5)...)
	s.hooks = &hooks{opening: func(_ poller.Entry, n int) error {
		if n == 1 {
			for _, i := range []int{0, 2, 4} {
				s.box.Remove(s, mail(i))
			}
		}
		return nil
	}}
	for range 3 {
		if _, _, err := s.run("?after=delete"); err != nil {
			s.Log(err)
		}
	}
	s.rows(`select count(*) from mailrow.source_messages where state in ('failed', 'quarantined') and gone_at is null`, "0")
	for _, i := range []int{1, 3} {
		s.rows(fmt.Sprintf(`select count(*) from mailrow.mail where subject = 'mail %d'`, i), "1")
	}
	s.wantLeft(nil)
	// Removing what somebody else has removed is no error.
	s.box.Add(s, mail(10), mail(11))
	s.hooks = &hooks{removing: func() { s.box.Remove(s, mail(10)) }}
	for range 2 {
		if _, _, err := s.run("?after=delete"); err != nil {
			s.Log(err)
		}
		s.hooks = nil
	}
	s.wantLeft(nil)
	s.rows(`select count(*) from mailrow.mail where subject in ('mail 10', 'mail 11')`, "2")
}

func (s *suite) unreadable() {
	s.box.Add(s, mails(5)...)
	unlucky := errors.New("input/output error")
	bad := ""
	s.hooks = &hooks{opening: func(e poller.Entry, n int) error {
		if bad == "" && n == 2 {
			bad = e.ID
		}
		if e.ID == bad {
			return unlucky
		}
		return nil
	}}
	for try := range 7 {
		got, _, err := s.run("?after=delete")
		failed := int64(1)
		if try >= 5 {
			failed = 0
		}
		if err != nil || got.Failed != failed || (try == 0) != (got.Stored == 4) {
			s.Errorf("try %d: %+v, %v", try+1, got, err)
		}
		// Not at once.
		if got, _, err := s.run("?after=delete"); err != nil || got.Failed+got.Stored != 0 {
			s.Errorf("after try %d: %+v, %v", try+1, got, err)
		}
		if _, err := s.conn.Exec(ctx, `update mailrow.source_messages set retry_at = now() where retry_at is not null`); err != nil {
			s.Fatal(err)
		}
	}
	s.rows(`select state, tries, reason from mailrow.source_messages where gone_at is null and state <> 'done'`, "quarantined|5|fetch: input/output error")
	s.rows(`select quarantined, failed, failures from mailrow.source_status`, "1|0|0")
	if len(s.warned) != 5 {
		s.Errorf("warned %d times: %v", len(s.warned), s.warned)
	}
	s.hooks = nil
	of := s.source("?after=delete")
	if n, err := source.Retry(ctx, s.conn, of.ID); err != nil || n != 1 {
		s.Errorf("retry: %d, %v", n, err)
	}
	s.poll("?after=delete", source.Count{Stored: 1, Done: 1})
	s.wantStored(mails(5))
	s.wantLeft(nil)
}

// A mail over the limit is never cut off, and never removed.
// A mail at which the folder always breaks is left alone in the end, and does not
// keep the others; one at which it broke once is fetched all the same.
func (s *suite) breaks() {
	s.box.Add(s, mails(5)...)
	var ids []string
	broke := map[string]int{}
	s.hooks = &hooks{opening: func(e poller.Entry, _ int) error {
		if !slices.Contains(ids, e.ID) {
			ids = append(ids, e.ID)
		}
		if at := slices.Index(ids, e.ID); at == 1 || at == 3 && broke[e.ID] == 0 {
			broke[e.ID]++
			return &poller.BrokenError{Err: errors.New("connection reset by peer")}
		}
		return nil
	}}
	for try := range 6 {
		got, _, err := s.run("?after=delete")
		want := source.Count{Failed: 1}
		switch try {
		case 0:
			want.Stored, want.Done = 4, 4
		case 5:
			want.Failed = 0
		}
		if got.Seen, got.Bytes = 0, 0; err != nil || got != want {
			s.Errorf("try %d: %+v, %v", try+1, got, err)
		}
		if _, err := s.conn.Exec(ctx, `update mailrow.source_messages set retry_at = now() where retry_at is not null`); err != nil {
			s.Fatal(err)
		}
	}
	s.rows(`select state, tries, reason from mailrow.source_messages where state <> 'done' and gone_at is null`,
		"quarantined|5|fetch: connection reset by peer")
	if left := s.box.Mails(s.T); len(left) != 1 {
		s.Errorf("%d mails are left", len(left))
	}
}

func (s *suite) tooLarge() {
	large := append(mail(1), bytes.Repeat([]byte("0123456789\n"), 1000)...)
	s.box.Add(s, mail(0), large, mail(2))
	s.maxSize = 5000
	for range 2 {
		if got, _, err := s.run("?after=delete"); err != nil || got.Bytes > 1000 {
			s.Errorf("%+v, %v", got, err)
		}
	}
	s.wantStored([][]byte{mail(0), mail(2)})
	s.wantLeft([][]byte{large})
	s.rows(`select state, reason from mailrow.source_messages where mail is null`, "quarantined|fetch: larger than max_size, which is 5000 bytes: with a larger one, mailrow source retry fetches it")
	s.maxSize = int64(len(s.given([][]byte{large})[0]))
	if _, err := source.Retry(ctx, s.conn, s.source("?after=delete").ID); err != nil {
		s.Fatal(err)
	}
	s.poll("?after=delete", source.Count{Stored: 1, Done: 1})
	s.wantStored([][]byte{mail(0), large, mail(2)})
}

// What was deleted from the database stays deleted, though it is in the mailbox.
func (s *suite) deletedHere() {
	s.box.Add(s, mails(3)...)
	s.poll("", source.Count{Stored: 3})
	if _, err := s.conn.Exec(ctx, `select mailrow.delete_mail(id) from mailrow.mail where subject = 'mail 1'`); err != nil {
		s.Fatal(err)
	}
	s.box.Add(s, mail(3))
	if got, _, err := s.run(""); err != nil || got.Stored != 1 {
		s.Errorf("%+v, %v", got, err)
	}
	s.wantStored([][]byte{mail(0), mail(2), mail(3)})
}

// A folder or a mailbox that is not there is an error, and nothing is touched.
func (s *suite) missing() {
	s.box.Add(s, mails(2)...)
	if got, _, err := s.run("?folder=Nowhere&after=delete"); err == nil || got != (source.Count{}) || !strings.Contains(err.Error(), "Nowhere") {
		s.Errorf("%+v, %v", got, err)
	}
	of := s.source("?after=delete")
	of.URI = s.box.URI() + "-that-is-not-there?after=delete"
	if got, err := s.poller().Run(ctx, of); err == nil || got != (source.Count{}) || !strings.Contains(err.Error(), "-that-is-not-there") {
		s.Errorf("%+v, %v", got, err)
	}
	s.wantLeft(mails(2))
	s.wantStored(nil)
	s.rows(`select failures, last_error is not null from mailrow.source_status`, "2|t")
}

func (s *suite) many() {
	n := 1000
	if s.kind.Many > 0 {
		n = needs.Times(min(n, s.kind.Many), s.kind.Many)
	}
	if n > 1000 {
		s.dsn = deliverytest.DatabaseOn(s, pgtest.New(s, map[string]string{"fsync": "off"}))
		s.conn = archivetest.Connect(s, s.dsn)
	}
	s.box.Add(s, mails(n)...)
	start := time.Now()
	peak := watchHeap(func() { s.poll("?after=delete", source.Count{Stored: int64(n), Done: int64(n)}) })
	s.Logf("%d mails in %v, at most %d MiB of heap", n, time.Since(start).Round(time.Millisecond), peak>>20)
	s.wantLeft(nil)
	s.rows(`select count(*), count(distinct message) from mailrow.deliveries`, fmt.Sprintf("%d|%d", n, n))
}

// watchHeap gives the most memory that was in use meanwhile.
func watchHeap(do func()) (peak uint64) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	return peak
}
