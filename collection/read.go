package collection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// errTooLarge says that a mail is larger than may be.
var errTooLarge = errors.New("it is larger than max_size")

const (
	// What is small is read into memory that is used again, and then copied: a
	// mail keeps no more than it needs.
	smallMail = 1 << 20

	// claimed is how much room a mail gets because it says that it needs it.
	claimed = 64 << 20
)

// readLimited reads all of a mail. It takes room as the bytes come: what an
// archive says of the size of a member may be a lie.
func (r *Reader) readLimited(ctx context.Context, from io.Reader, size int64) ([]byte, error) {
	limit := r.MaxSize
	if size > limit {
		return nil, tooLarge(limit)
	}
	b := &r.small
	b.Reset()
	_, err := b.ReadFrom(io.LimitReader(from, min(limit+1, smallMail)))
	if err != nil {
		return nil, err
	}
	if b.Len() < smallMail {
		if int64(b.Len()) > limit {
			return nil, tooLarge(limit)
		}
		return bytes.Clone(b.Bytes()), nil
	}
	expected := limit
	if size >= 0 {
		expected = size
	}
	if err := r.visitor.Reserve(ctx, expected); err != nil {
		return nil, &visitorError{err}
	}
	large := bytes.NewBuffer(make([]byte, 0, max(2*smallMail, min(size, claimed)+bytes.MinRead)))
	large.Write(b.Bytes())
	if _, err := large.ReadFrom(io.LimitReader(from, limit+1-smallMail)); err != nil {
		return nil, err
	}
	if int64(large.Len()) > limit {
		return nil, tooLarge(limit)
	}
	return large.Bytes(), nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w, which is %d bytes", errTooLarge, limit)
}
