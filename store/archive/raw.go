package archive

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// chunkSize bounds the memory of reading. The server takes a stored value apart
// from its beginning for each chunk, so chunks must not be small.
const chunkSize = 16 << 20

// WriteRaw writes a mail byte for byte as it was received, or gives
// ErrNotFound. After an error some of it may have been written.
func WriteRaw(ctx context.Context, conn *pgx.Conn, id int64, w io.Writer) error {
	return content{
		name: fmt.Sprintf("mail %d", id),
		sql: `select length(raw)::bigint, substring(raw from $1 for $2)
			from mailrow.raw($3) raw where raw is not null`,
		key: []string{strconv.FormatInt(id, 10)},
	}.write(ctx, conn, w)
}

// content is a value that is read in chunks: its size, and the chunk of $2
// bytes from $1 on, in one row.
type content struct {
	name, sql string
	key       []string // $3 and so on
}

func (c content) write(ctx context.Context, conn *pgx.Conn, w io.Writer) error {
	for offset := int64(0); ; {
		size, n, err := c.writeChunk(ctx, conn, offset, w)
		if err != nil {
			return err
		}
		offset += n
		if offset == size {
			return nil
		}
		if n == 0 {
			return fmt.Errorf("read %s: it ends at byte %d of %d", c.name, offset, size)
		}
	}
}

func (c content) writeChunk(ctx context.Context, conn *pgx.Conn, offset int64, w io.Writer) (size, n int64, err error) {
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
		if found = len(row) == 2 && len(row[0]) == 8; found {
			size, n = int64(binary.BigEndian.Uint64(row[0])), int64(len(row[1]))
			_, written = w.Write(row[1])
		}
	}
	_, err = result.Close()
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("read %s from byte %d: %w", c.name, offset, err)
	case !found:
		return 0, 0, fmt.Errorf("read %s: %w", c.name, ErrNotFound)
	case written != nil:
		return 0, 0, fmt.Errorf("write %s: %w", c.name, written)
	}
	return size, n, nil
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
