// Package imports is the memory of mailrow import: which folders and files are
// settled, and which mails in them. It is there for speed; what is stored once
// is not stored twice whatever it says.
package imports

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Row is a folder or a file, and what became of its mails.
type Row struct {
	Account              string // by name; without such an account there is no row
	Path, Kind           string
	Folder, Mailbox      string
	Recipient            string
	Revision             string // "" when it has to be read again
	Mails, Stored, Bytes int64
	Quarantined          int64
	Settled              Set
	Started              time.Time
	Finished             bool // read to its end, now or before
}

// key tells rows of an account apart.
func (r *Row) key() []byte {
	sum := sha256.Sum256([]byte(r.Path + "\x00" + r.Mailbox + "\x00" + r.Recipient))
	return sum[:]
}

// Load fills in what is known of a place; nothing where there is no row.
func Load(ctx context.Context, conn *pgx.Conn, r *Row) error {
	err := conn.QueryRow(ctx, `
		select coalesce(i.revision, ''), i.mails, i.stored, i.bytes, i.quarantined, i.settled, i.finished_at is not null
		from mailrow.imports i
		where i.account_id = (select a.account_id from mailrow.accounts a where a.name = $1) and i.key = $2`,
		r.Account, r.key()).
		Scan(&r.Revision, &r.Mails, &r.Stored, &r.Bytes, &r.Quarantined, (*[]byte)(&r.Settled), &r.Finished)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look up earlier import of %s: %w", r.Path, err)
	}
	return nil
}

// Save writes a row in place of what was known. It cannot before the account is
// there, which the first mail makes.
func Save(ctx context.Context, conn *pgx.Conn, r *Row) (saved bool, err error) {
	tag, err := conn.Exec(ctx, `
		insert into mailrow.imports as i (account_id, key, path, kind, folder, mailbox, recipient, revision,
		                                  mails, stored, bytes, quarantined, settled, started_at, finished_at)
		select a.account_id, $2, $3, $4, $5, $6, $7, nullif($8, ''), $9, $10, $11, $12, $13, $14, case when $15 then now() end
		from mailrow.accounts a where a.name = $1
		on conflict on constraint imports_key do update set
		    kind = excluded.kind, folder = excluded.folder, revision = excluded.revision, mails = excluded.mails,
		    stored = excluded.stored, bytes = excluded.bytes, quarantined = excluded.quarantined, settled = excluded.settled,
		    started_at = excluded.started_at, finished_at = coalesce(excluded.finished_at, i.finished_at)`,
		r.Account, r.key(), Text(r.Path), r.Kind, r.Folder, r.Mailbox, r.Recipient, r.Revision,
		r.Mails, r.Stored, r.Bytes, r.Quarantined, []byte(r.Settled), r.Started, r.Finished)
	if err != nil {
		return false, fmt.Errorf("remember import of %s: %w", r.Path, err)
	}
	return tag.RowsAffected() > 0, nil
}

// Place is where an import puts mail.
type Place struct{ Account, Mailbox, Recipient string }

// Others gives some mails in a place that have a Message-ID and other bytes than
// those of a sum; none where the mail of the sum is there itself.
func Others(ctx context.Context, conn *pgx.Conn, p Place, messageID string, sum [sha256.Size]byte) ([][]byte, error) {
	const most = 16 // of one Message-ID
	rows, err := conn.Query(ctx, `
		with found as (
		    select m.id, m.sha256 from mailrow.mail m
		    where m.account = $1 and m.mailbox = $2 and m.recipient = $3 and m.message_id = $4
		)
		select mailrow.raw(f.id) from found f
		where not exists (select from found g where g.sha256 = $5)
		order by f.id limit $6`, p.Account, p.Mailbox, p.Recipient, messageID, sum[:], most)
	var found [][]byte
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowTo[[]byte])
	}
	if err != nil {
		return nil, fmt.Errorf("look for mail <%s>: %w", messageID, err)
	}
	return found, nil
}

// Text writes a path as text that PostgreSQL takes, each in its own way.
func Text(path string) string {
	if utf8.ValidString(path) && !strings.ContainsRune(path, '\\') {
		return path
	}
	var b strings.Builder
	for i, r := range path {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && !strings.HasPrefix(path[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, path[i])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Set is a set of ids as the database keeps it: their hashes, in order.
type Set []byte

const hashSize = 16

// Hash is an id in a Set.
type Hash [hashSize]byte

// HashOf gives the hash of an id.
func HashOf(id string) Hash {
	sum := sha256.Sum256([]byte(id))
	return Hash(sum[:hashSize])
}

// Len is how many ids are in the set.
func (s Set) Len() int { return len(s) / hashSize }

// Has tells whether an id is in the set.
func (s Set) Has(id string) bool {
	want := HashOf(id)
	low, high := 0, len(s)/hashSize
	for low < high {
		middle := (low + high) / 2
		switch strings.Compare(string(s[middle*hashSize:(middle+1)*hashSize]), string(want[:])) {
		case 0:
			return true
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}

// With gives the set with more in it, which it puts in order.
func (s Set) With(more []Hash) Set {
	slices.SortFunc(more, Hash.compare)
	more = slices.Compact(more)
	merged := make(Set, 0, len(s)+len(more)*hashSize)
	for len(s) > 0 && len(more) > 0 {
		switch Hash(s[:hashSize]).compare(more[0]) {
		case 0:
			s = s[hashSize:]
		case -1:
			merged, s = append(merged, s[:hashSize]...), s[hashSize:]
		default:
			merged, more = append(merged, more[0][:]...), more[1:]
		}
	}
	merged = append(merged, s...)
	for _, h := range more {
		merged = append(merged, h[:]...)
	}
	return merged
}

func (h Hash) compare(other Hash) int { return strings.Compare(string(h[:]), string(other[:])) }
