package archive

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Attachment is one row of view attachments without its content.
type Attachment struct {
	MailID       int64   `json:"mail_id"`
	Section      string  `json:"section"`
	Filename     string  `json:"filename"` // safe on any system
	ContentType  string  `json:"content_type"`
	Size         int64   `json:"size"`
	SHA256       *string `json:"sha256"`
	Disposition  *string `json:"disposition"`
	ContentID    *string `json:"content_id"`
	SentFilename *string `json:"sent_filename"` // as the sender wrote it
}

// Attachments lists what is attached to a mail, in its order.
func Attachments(ctx context.Context, conn *pgx.Conn, id int64) ([]Attachment, error) {
	rows, err := conn.Query(ctx, `
		select mail_id, section, filename, content_type, size, encode(sha256, 'hex'), disposition, content_id, sent_filename
		from mailrow.attachments where mail_id = $1
		order by regexp_split_to_array(regexp_replace(section, '[^0-9.:]+', '0', 'g'), '[.:]')::integer[]`, id)
	if err != nil {
		return nil, fmt.Errorf("list attachments of mail %d: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Attachment])
	if err != nil {
		return nil, fmt.Errorf("list attachments of mail %d: %w", id, err)
	}
	return list, nil
}

// WriteAttachment writes the content of an attachment. After an error some of
// it may have been written, and all of it after ErrChanged.
func WriteAttachment(ctx context.Context, conn *pgx.Conn, id int64, section string, w io.Writer) error {
	return content{
		name: fmt.Sprintf("attachment %s of mail %d", section, id),
		sql: `with found as materialized (
				select content, sha256 from mailrow.attachments where mail_id = $3 and section = $4)
			select length(content)::bigint, sha256, substring(content from $1 for $2) from found`,
		key: []string{strconv.FormatInt(id, 10), section},
	}.write(ctx, conn, w)
}
