// Package floor is the least that PostgreSQL can do for a mail: keep its bytes in
// one column, by an insert or by COPY.
package floor

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/jackc/pgx/v5/pgconn"
)

// Inserter gives a function that stores one mail in bare.mail, by a prepared
// statement over a connection of its own, and one that closes it.
func Inserter(ctx context.Context, dsn string) (func(ctx context.Context, raw []byte) error, func(), error) {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return nil, nil, err
	}
	if _, err := conn.Prepare(ctx, "bare", "insert into bare.mail (raw) values ($1)", nil); err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, raw []byte) error {
		return conn.ExecPrepared(ctx, "bare", [][]byte{raw}, []int16{1}, nil).Read().Err
	}, func() { conn.Close(ctx) }, nil
}

// Copy stores all mails with one COPY into bare.loaded.
func Copy(ctx context.Context, dsn string, mails [][]byte) error {
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
