package archive

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
)

// rawChunk bounds the memory of WriteRaw. The server takes a stored value apart
// from its beginning for each piece, so pieces must not be small.
const rawChunk = 8 << 20

// WriteRaw writes a mail byte for byte as it was received, or gives
// ErrNotFound. After an error some of it may have been written.
func WriteRaw(ctx context.Context, conn *pgx.Conn, id int64, w io.Writer) error {
	size, chunk, err := rawPiece(ctx, conn, id, 0)
	if err != nil {
		return fmt.Errorf("read mail %d: %w", id, err)
	}
	for offset := 0; ; {
		if _, err := w.Write(chunk); err != nil {
			return fmt.Errorf("write mail %d: %w", id, err)
		}
		offset += len(chunk)
		if offset == size {
			return nil
		}
		if _, chunk, err = rawPiece(ctx, conn, id, offset); err != nil {
			return fmt.Errorf("read mail %d from byte %d: %w", id, offset, err)
		}
		if len(chunk) == 0 {
			return fmt.Errorf("read mail %d: it ends at byte %d of %d", id, offset, size)
		}
	}
}

func rawPiece(ctx context.Context, conn *pgx.Conn, id int64, offset int) (size int, chunk []byte, err error) {
	// As base64 it is smaller than as hexadecimal, and whatever bytea_output says.
	var text string
	err = conn.QueryRow(ctx, `
		select length(raw), encode(substring(raw from $2 + 1 for $3), 'base64')
		from mailrow.raw($1) raw where raw is not null`, id, offset, rawChunk).Scan(&size, &text)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return 0, nil, err
	}
	chunk, err = base64.StdEncoding.DecodeString(text)
	return size, chunk, err
}
