package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Text gives the text of a mail and its HTML, each "" where it has none, or
// ErrNotFound.
func Text(ctx context.Context, conn *pgx.Conn, id int64) (text, html string, err error) {
	err = conn.QueryRow(ctx, `
		select coalesce("text", ''), coalesce(html, '') from mailrow.mail where id = $1`, id).Scan(&text, &html)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return "", "", fmt.Errorf("read text of mail %d: %w", id, err)
	}
	return text, html, nil
}
