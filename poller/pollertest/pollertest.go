// Package pollertest has the tests that every kind of mailbox passes: what is
// fetched is stored once, whatever happens and whenever it does.
package pollertest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/poller"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// Kind is one kind of mailbox.
type Kind struct {
	Box     func(testing.TB) Box // makes an empty one
	Folders bool                 // it has others beside it
	Bare    bool                 // mail can be removed there, and nothing else
	CRLF    bool                 // lines of what it gives end so
	Many    int                  // mails of the test of many where it may take long
}

// Open opens sources of every kind.
type Open func(context.Context, poller.URI) (poller.Source, error)

// Run runs all tests with mailboxes of a kind. The test binary's TestMain calls
// pgtest.Main.
func Run(t *testing.T, kind Kind, open Open) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"stored once", (*suite).once},
		{"empty", (*suite).empty},
		{"deleted", (*suite).deleted},
		{"deleted later", (*suite).deletedLater},
		{"a name twice", (*suite).nameTwice},
		{"archived", (*suite).archived},
		{"archive is the folder", (*suite).archiveIsFolder},
		{"seen", (*suite).seen},
		{"policy changes", (*suite).policyChanges},
		{"crashes", (*suite).crashes},
		{"added meanwhile", (*suite).addedMeanwhile},
		{"removed meanwhile", (*suite).removedMeanwhile},
		{"unreadable", (*suite).unreadable},
		{"breaks", (*suite).breaks},
		{"too large", (*suite).tooLarge},
		{"deleted here", (*suite).deletedHere},
		{"missing", (*suite).missing},
		{"many", (*suite).many},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{T: t, kind: kind, open: open, dsn: dsn, conn: conn, box: kind.Box(t)}
			test.run(s)
			if _, err := conn.Exec(ctx, `delete from mailrow.sources; select mailrow.delete_account(name) from mailrow.accounts`); err != nil {
				t.Fatal(err)
			}
		})
	}
}

type suite struct {
	*testing.T
	kind Kind
	open Open
	dsn  string
	conn *pgx.Conn
	box  Box

	hooks   *hooks
	maxSize int64
	warned  []error
}

var ctx = context.Background()

// mail is the n-th of a test.
func mail(n int) []byte {
	return fmt.Appendf(nil, "Return-Path: <s%d@example.net>\nDelivered-To: ann@example.org\nReceived: from x by y; now\nSubject: mail %d\n\nhello %d\n", n, n, n)
}

func mails(n int) (list [][]byte) {
	for i := range n {
		list = append(list, mail(i))
	}
	return list
}

// source makes the source of the box, or finds it.
func (s *suite) source(parameters string) source.Source {
	s.Helper()
	name, account := "box", "ann"
	if found, err := source.Find(ctx, s.conn, name, ""); err == nil {
		if _, err := s.conn.Exec(ctx, `update mailrow.sources set uri = $1`, s.box.URI()+parameters); err != nil {
			s.Fatal(err)
		}
		found.URI = s.box.URI() + parameters
		return found
	}
	added := source.Source{Name: &name, URI: s.box.URI() + parameters, Account: &account}
	var err error
	if added.ID, err = source.Add(ctx, s.conn, added); err != nil {
		s.Fatal(err)
	}
	return added
}

func (s *suite) poller() *poller.Poller {
	config := deliver.DefaultConfig()
	if s.maxSize > 0 {
		config.MaxSize = s.maxSize
	}
	return &poller.Poller{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.dsn) },
		Open: func(ctx context.Context, _ source.Source, u poller.URI) (poller.Source, error) {
			opened, err := s.open(ctx, u)
			if err != nil || s.hooks == nil {
				return opened, err
			}
			return hookedSource{opened, s.hooks}, nil
		},
		Config: config,
		Warn:   func(_ source.Source, err error) { s.warned = append(s.warned, err) },
	}
}

// run polls once. done is false when the poller crashed at a hook.
func (s *suite) run(parameters string) (count source.Count, done bool, err error) {
	s.Helper()
	of, p := s.source(parameters), s.poller()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		count, err = p.Run(ctx, of)
		done = true
	}()
	<-ended
	return count, done, err
}

// poll polls once and wants it to count so, but for what a listing may leave out.
func (s *suite) poll(parameters string, want source.Count) {
	s.Helper()
	got, done, err := s.run(parameters)
	if err != nil || !done {
		s.Fatalf("poll: %v, %v", done, err)
	}
	got.Bytes, got.Seen = 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("%s", diff)
	}
}

// wantStored wants each mail stored once, byte for byte, and no other.
func (s *suite) wantStored(want [][]byte) {
	s.Helper()
	rows, err := s.conn.Query(ctx, `select mailrow.raw(id) from mailrow.mail`)
	if err != nil {
		s.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		s.Fatal(err)
	}
	s.same("stored", got, s.given(want))
}

// wantLeft wants these mails in the box.
func (s *suite) wantLeft(want [][]byte) {
	s.Helper()
	s.same("in the mailbox", s.box.Mails(s.T), s.given(want))
}

// given are mails as the mailbox gives them.
func (s *suite) given(mails [][]byte) (all [][]byte) {
	if !s.kind.CRLF {
		return mails
	}
	for _, mail := range mails {
		all = append(all, bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")))
	}
	return all
}

func (s *suite) same(where string, got, want [][]byte) {
	s.Helper()
	sorted := func(list [][]byte) [][]byte { return slices.SortedFunc(slices.Values(list), bytes.Compare) }
	got, want = sorted(got), sorted(want)
	if !slices.EqualFunc(got, want, bytes.Equal) {
		s.Errorf("%s are %d mails, want %d: %.300q", where, len(got), len(want), got)
	}
}

// rows wants the rows of a query.
func (s *suite) rows(query string, want ...string) {
	s.Helper()
	if diff := cmp.Diff(want, deliverytest.Rows(s, s.dsn, query)); diff != "" {
		s.Errorf("%s: %s", query, diff)
	}
}
