package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// measureLoading compares what mailrow import does with a bare COPY of the same
// mails over one connection, into one bytea column of the same compression. Each
// pass stores them in empty tables.
func measureLoading(ctx context.Context, r *report, srv *server, passes int, c *mailSet) error {
	t := table{title: "Import", columns: []string{"mails", "", "MB", "import, MB/s", "bare COPY, MB/s", "ratio of medians", "p10 of ratios"},
		notes: "Import parses and stores mails, deliveries, parts, addresses, threads and attachments, over two connections."}
	dsn, err := srv.migrated(ctx)
	if err != nil {
		return err
	}
	err = with(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create table bare.loaded (like bare.mail including compression); alter table bare.loaded drop column id")
		return err
	})
	if err != nil {
		return err
	}
	sets := []struct {
		name  string
		mails [][]byte
	}{{"all", c.mails}, {"mailing list with attachments", c.list}, {"single mails", c.rest}}
	for _, set := range sets {
		if len(set.mails) == 0 {
			continue
		}
		mb := float64(total(set.mails)) / 1e6
		var loads, copies, ratios series
		for i := range passes + 1 {
			if err := empty(ctx, dsn); err != nil {
				return err
			}
			loaded, err := timed(func() error { return loadAll(ctx, dsn, set.mails) })
			if err != nil {
				return err
			}
			copied, err := timed(func() error { return copyAll(ctx, dsn, set.mails) })
			if err != nil {
				return err
			}
			if i > 0 { // the first pass fills caches
				loads, copies = append(loads, mb/loaded), append(copies, mb/copied)
				ratios = append(ratios, copied/loaded)
			}
		}
		ratio := loads.median() / copies.median()
		t.add(fmt.Sprint(len(set.mails)), set.name, format(mb, 0), format(loads.median(), 0), format(copies.median(), 0),
			format(ratio, 2), format(ratios.p10(), 2))
		r.goals = append(r.goals, goal{what: "import ÷ bare COPY: " + set.name, target: 0.4, atLeast: true, got: ratio})
	}
	r.tables = append(r.tables, t)
	return nil
}

// empty removes what the last pass stored, and lets no checkpoint of it slow down the next.
func empty(ctx context.Context, dsn string) error {
	return with(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "truncate bare.loaded, mailrow.grants, "+loadedTables+" cascade")
		if err == nil {
			_, err = conn.Exec(ctx, "checkpoint")
		}
		return err
	})
}

func timed(do func() error) (seconds float64, err error) {
	runtime.GC()
	start := time.Now()
	err = do()
	return time.Since(start).Seconds(), err
}

// loadedTables are all that a load fills.
const loadedTables = `mailrow.accounts, mailrow.mailboxes, mailrow.messages, mailrow.deliveries, mailrow.message_parts,
	mailrow.message_addresses, mailrow.blobs, mailrow.thread_ids, mailrow.identities`

func loadAll(ctx context.Context, dsn string, mails [][]byte) error {
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return err
	}
	var failed error
	l, err := load.Open(ctx, config, load.Options{Done: func(r load.Result) { failed = errors.Join(failed, r.Err) }})
	if err != nil {
		return err
	}
	const to = "import@example.org"
	for _, raw := range mails {
		err := l.Add(ctx, &store.Delivery{
			Raw: raw, Account: to,
			Envelope: &message.Envelope{Source: "import", Recipients: []message.Recipient{{Address: to}}},
			Lookups:  []store.Lookup{{Address: to, Base: to}},
		})
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return errors.Join(l.Close(), failed)
}

func copyAll(ctx context.Context, dsn string, mails [][]byte) error {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.CopyFrom(ctx, &copyRows{mails: mails, next: copyHeader}, "copy bare.loaded (raw) from stdin (format binary)")
	return err
}

// copyRows gives mails as rows of one column in the binary format of COPY.
type copyRows struct {
	mails  [][]byte
	next   []byte // of a row or its frame
	inRow  bool
	closed bool
}

var copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

func (r *copyRows) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.next) == 0 && !r.advance() {
			return n, io.EOF
		}
		taken := copy(p[n:], r.next)
		n, r.next = n+taken, r.next[taken:]
	}
	return n, nil
}

func (r *copyRows) advance() bool {
	switch {
	case r.inRow:
		r.next, r.mails, r.inRow = r.mails[0], r.mails[1:], false
	case len(r.mails) > 0:
		r.next = binary.BigEndian.AppendUint32([]byte{0, 1}, uint32(len(r.mails[0])))
		r.inRow = true
	case !r.closed:
		r.next = []byte{0xff, 0xff}
		r.closed = true
	default:
		return false
	}
	return true
}
