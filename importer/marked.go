package importer

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"mailrow/collection"
	"mailrow/message"
	"mailrow/poller/identity"
	"mailrow/store"
	"mailrow/store/imports"
)

// marked looks for mails that are stored with other status fields. Whoever reads a
// mail in an mbox changes its bytes: Status becomes RO. What an import remembers of
// a mailbox leaves such fields out of account. When all of it is read again, what is
// stored is asked instead: the bytes that came first stay, and it is not stored
// beside them what somebody has only marked.
type marked struct {
	mutex sync.Mutex
	link  link
}

// isMarked reports whether a mail of a mailbox is stored in the same place, but for
// its status fields.
func (i *Import) isMarked(ctx context.Context, m *collection.Mail, d *store.Delivery) (there bool, err error) {
	id, _ := message.Clean(d.Message.MessageID)
	if i.marked == nil || m.Identity == "" || id == "" {
		return false, nil
	}
	i.marked.mutex.Lock()
	defer i.marked.mutex.Unlock()
	err = i.marked.link.insist(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		others, err := imports.Others(ctx, conn, imports.Place{
			Account: i.Account, Mailbox: d.Mailbox, Recipient: i.Recipient,
		}, id, sha256.Sum256(m.Raw))
		there = slices.ContainsFunc(others, func(raw []byte) bool { return identity.TextOf(raw) == m.Identity })
		return err
	})
	return there, err
}

func (m *marked) close() {
	if m != nil {
		m.link.close()
	}
}
