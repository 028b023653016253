package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"

	"mailrow/message"
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
	Encoding     string  `json:"-"`             // Content-Transfer-Encoding
}

// Attachments lists what is attached to a mail, in its order.
func Attachments(ctx context.Context, conn *pgx.Conn, id int64) ([]Attachment, error) {
	rows, err := conn.Query(ctx, `
		select mail_id, section, mailrow.safe_filename(filename, content_type, section), content_type, size, encode(sha256, 'hex'),
		       disposition, content_id, filename, encoding
		from mailrow.parts where mail_id = $1 and attachment order by "position"`, id)
	if err != nil {
		return nil, fmt.Errorf("list attachments of mail %d: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Attachment])
	if err != nil {
		return nil, fmt.Errorf("list attachments of mail %d: %w", id, err)
	}
	return list, nil
}

// Contents gives the contents of attachments of one mail.
type Contents struct {
	conn  *pgx.Conn
	raw   []byte
	parts map[string]*message.Part // by section; nil where each is fetched by itself
}

// For each attachment by itself that is kept in raw the server takes all of raw
// out of its storage, so that thousands of them take half a minute. Many are cut
// out of the mail here, unless it is so large that memory matters. What came in
// base64 is kept apart, and making base64 of it once more would take longer.
const (
	manyAttachments = 8
	maxWhole        = 64 << 20
)

// OpenAttachments prepares for the contents of these attachments of a mail.
func OpenAttachments(ctx context.Context, conn *pgx.Conn, m Mail, wanted []Attachment) (*Contents, error) {
	c := &Contents{conn: conn}
	inRaw := 0
	for _, a := range wanted {
		if a.Encoding != "base64" {
			inRaw++
		}
	}
	if inRaw <= manyAttachments || m.Size > maxWhole {
		return c, nil
	}
	var raw bytes.Buffer
	raw.Grow(int(m.Size))
	err := WriteRaw(ctx, conn, m.ID, &raw)
	if IsDamage(err) {
		return c, nil // some of the attachments may be whole
	}
	if err != nil {
		return nil, err
	}
	c.raw, c.parts = raw.Bytes(), map[string]*message.Part{}
	parsed := message.Parse(c.raw)
	for i := range parsed.Parts {
		c.parts[parsed.Parts[i].Section] = &parsed.Parts[i]
	}
	return c, nil
}

// Write writes the content of an attachment. After an error some of it may have
// been written, and all of it after ErrChanged.
func (c *Contents) Write(ctx context.Context, a Attachment, w io.Writer) error {
	if part := c.parts[a.Section]; part != nil && a.SHA256 != nil {
		content := part.Decode(c.raw)
		// The rows may be of another version of the parser.
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) == *a.SHA256 {
			if _, err := w.Write(content); err != nil {
				return fmt.Errorf("write attachment %s of mail %d: %w", a.Section, a.MailID, err)
			}
			return nil
		}
	}
	return WriteAttachment(ctx, c.conn, a.MailID, a.Section, w)
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
