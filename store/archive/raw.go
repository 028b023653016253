package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// chunkSize bounds the memory of reading. The server takes a stored value apart
// from its beginning for each chunk, so chunks must not be small.
const chunkSize = 16 << 20

// ErrChanged says that the database does not give the bytes it was given.
var ErrChanged = errors.New("its bytes are not those that were received: run mailrow verify")

// IsDamage says that the server could not read what it has stored, or that it
// is not what was stored: it will not be able to later.
func IsDamage(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return errors.Is(err, ErrChanged)
	}
	switch pg.Code[:2] {
	case "22", "54", "58", "XX":
		return true
	}
	return false
}

// WriteRaw writes a mail byte for byte as it was received, or gives
// ErrNotFound. After an error some of it may have been written, and all of it
// after ErrChanged.
func WriteRaw(ctx context.Context, conn *pgx.Conn, id int64, w io.Writer) error {
	return content{
		name: fmt.Sprintf("mail %d", id),
		sql: `select length(raw)::bigint, (select m.sha256 from mailrow.mail m where m.id = $3), substring(raw from $1 for $2)
			from mailrow.raw($3) raw where raw is not null`,
		key: []string{strconv.FormatInt(id, 10)},
	}.write(ctx, conn, w)
}

// CheckRaw gives ErrChanged where WriteRaw would, without taking the mail over
// the connection.
func CheckRaw(ctx context.Context, conn *pgx.Conn, id int64) error {
	var same *bool
	err := conn.QueryRow(ctx, `select sha256(mailrow.raw(m.id)) = m.sha256 from mailrow.mail m where m.id = $1`, id).Scan(&same)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && same == nil:
		err = ErrNotFound
	case err == nil && !*same:
		err = ErrChanged
	}
	if err != nil {
		return fmt.Errorf("read mail %d: %w", id, err)
	}
	return nil
}

// content is a value that is read in chunks: its size, its SHA-256, and the
// chunk of $2 bytes from $1 on, in one row.
type content struct {
	name, sql string
	key       []string // $3 and so on
}

// chunk is what of a content was written.
type chunk struct {
	size, n int64  // of the content, and of this piece
	sha256  []byte // what the content should have
}

func (c content) write(ctx context.Context, conn *pgx.Conn, w io.Writer) error {
	hash := sha256.New()
	for offset := int64(0); ; {
		piece, err := c.writeChunk(ctx, conn, offset, io.MultiWriter(w, hash))
		if err != nil {
			return err
		}
		offset += piece.n
		switch {
		case offset == piece.size && !bytes.Equal(hash.Sum(nil), piece.sha256):
			return fmt.Errorf("read %s: %w", c.name, ErrChanged)
		case offset == piece.size:
			return nil
		case piece.n == 0:
			return fmt.Errorf("read %s: it ends at byte %d of %d", c.name, offset, piece.size)
		}
	}
}

func (c content) writeChunk(ctx context.Context, conn *pgx.Conn, offset int64, w io.Writer) (piece chunk, err error) {
	args := [][]byte{strconv.AppendInt(nil, offset+1, 10), strconv.AppendInt(nil, chunkSize, 10)}
	for _, key := range c.key {
		args = append(args, []byte(key))
	}
	// In binary, so that bytes stay bytes, and written from where they arrive.
	result := conn.PgConn().ExecParams(ctx, c.sql, args, nil, nil, []int16{binaryFormat})
	var written error
	found := false
	for result.NextRow() {
		row := result.Values()
		if found = len(row) == 3; found && len(row[0]) == 8 {
			piece = chunk{int64(binary.BigEndian.Uint64(row[0])), int64(len(row[2])), bytes.Clone(row[1])}
			_, written = w.Write(row[2])
		}
	}
	_, err = result.Close()
	switch {
	case err != nil:
		return chunk{}, fmt.Errorf("read %s from byte %d: %w", c.name, offset, err)
	case !found:
		return chunk{}, fmt.Errorf("read %s: %w", c.name, ErrNotFound)
	case piece.sha256 == nil: // a row without its content
		return chunk{}, fmt.Errorf("read %s: %w", c.name, ErrChanged)
	case written != nil:
		return chunk{}, fmt.Errorf("write %s: %w", c.name, written)
	}
	return piece, nil
}

const binaryFormat = 1

// ReadRaws hands on the bytes of several mails in their order, each as it
// arrives: nil where there is no such mail any more. The bytes are only there
// during the call. It gives how many were handed on before an error; that of use
// is returned as it is.
func ReadRaws(ctx context.Context, conn *pgx.Conn, ids []int64, use func(i int, raw []byte) error) (n int, err error) {
	list := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendInt(list, id, 10)
	}
	result := conn.PgConn().ExecParams(ctx, `select mailrow.raw(i) from unnest($1::bigint[]) i`,
		[][]byte{append(list, '}')}, nil, nil, []int16{binaryFormat})
	var failed error
	for failed == nil && result.NextRow() {
		if failed = use(n, result.Values()[0]); failed == nil {
			n++
		}
	}
	_, err = result.Close()
	switch {
	case failed != nil:
		return n, failed
	case err != nil:
		return n, fmt.Errorf("read mail %d: %w", ids[min(n, len(ids)-1)], err)
	}
	return n, nil
}
