package verify

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Kind is what is wrong.
type Kind string

const (
	Changed           Kind = "changed"            // the bytes of a mail are not those received
	Unreadable        Kind = "unreadable"         // the server cannot give the mail or its text
	Part              Kind = "part"               // a part or attachment is not what its row says
	ContentMissing    Kind = "content-missing"    // of an attachment, which the mail needs
	ContentChanged    Kind = "content-changed"    // does not give its SHA-256
	ContentUnreadable Kind = "content-unreadable" // the server cannot give it
	RowUnreadable     Kind = "row-unreadable"     // the server cannot even read the row
	TableUnreadable   Kind = "table-unreadable"   // so that its rows could not be compared

	NoDelivery Kind = "no-delivery" // a message that no view shows
	NoMessage  Kind = "no-message"  // a delivery whose mail is gone
	NoMailbox  Kind = "no-mailbox"  // a delivery in no mailbox
	NoAccount  Kind = "no-account"  // rows of no account

	StrayPart     Kind = "stray-part" // leftovers: nothing is missing, something is too much
	StrayAddress  Kind = "stray-address"
	StrayContent  Kind = "stray-content"
	StrayIdentity Kind = "stray-identity"
	StrayThread   Kind = "stray-thread"
	StrayClaim    Kind = "stray-claim"
)

const (
	restore  = "check disk and memory of the server, then take the row from a backup"
	leftover = "harmless: mailrow verify --repair removes it"
)

var remedies = map[Kind]string{
	Changed:           restore,
	Unreadable:        restore,
	Part:              "mailrow reparse reads the mail again; if the mail itself has changed, take it from a backup",
	ContentMissing:    restore,
	ContentChanged:    restore,
	ContentUnreadable: restore,
	RowUnreadable:     restore,
	TableUnreadable:   "check disk and memory of the server, reindex the table, then take what is lost from a backup",
	NoDelivery:        "take the row of table deliveries from a backup, or remove the message with select mailrow.remove_messages(account_id, array[message])",
	NoMessage:         "take the row of table messages from a backup, or remove the arrival with mailrow delete",
	NoMailbox:         "insert the mailbox_id into table mailboxes with a name of your choice",
	NoAccount:         "insert the account_id into table accounts with a name of your choice",
}

// stray is a kind of rows that lack what they belong to: find names account_id
// $1 and gives key, message, delivery and what, at most $2 rows in order of the
// key; repair removes them.
type stray struct {
	kind         Kind
	table        string
	find, repair string
}

// What belongs to a message that is lost, though a delivery knows of it, is no
// leftover: with the message from a backup it is whole again.
var strays = []stray{
	{NoDelivery, "messages", `
		select m.id::text, m.id, null::bigint, 'the message has no arrival'
		from mailrow.messages m where m.account_id = $1
		  and not exists (select from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id)`, ``},
	{NoMessage, "deliveries", `
		select d.id::text, d.message, d.id, 'the message of the arrival is missing'
		from mailrow.deliveries d where d.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = d.account_id and m.id = d.message)`, ``},
	{NoMailbox, "deliveries", `
		select d.mailbox::text, null::bigint, min(d.id), format('%s mails are in mailbox_id %s, which is missing', count(*), d.mailbox)
		from mailrow.deliveries d where d.account_id = $1
		  and not exists (select from mailrow.mailboxes b where b.account_id = d.account_id and b.mailbox_id = d.mailbox)
		group by d.mailbox`, ``},
	{NoAccount, "deliveries", `
		select $1::bigint::text, null::bigint, (select min(d.id) from mailrow.deliveries d where d.account_id = $1),
		       format('account_id %s is missing, and has %s mails', $1::bigint,
		              (select count(*) from mailrow.deliveries d where d.account_id = $1))
		where not exists (select from mailrow.accounts a where a.account_id = $1)`, ``},
	{StrayPart, "message_parts", `
		select distinct p.message::text, p.message, null::bigint, 'parts without their message'
		from mailrow.message_parts p where p.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = p.account_id and m.id = p.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = p.account_id and d.message = p.message)`, `
		delete from mailrow.message_parts p where p.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = p.account_id and m.id = p.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = p.account_id and d.message = p.message)`},
	{StrayAddress, "message_addresses", `
		select distinct l.message::text, l.message, null::bigint, 'addresses without their message'
		from mailrow.message_addresses l where l.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = l.account_id and m.id = l.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.message = l.message)`, `
		delete from mailrow.message_addresses l where l.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = l.account_id and m.id = l.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.message = l.message)`},
	{StrayContent, "blobs", `
		select encode(b.sha256, 'hex'), null::bigint, null::bigint, format('content %s is of no message', encode(b.sha256, 'hex'))
		from mailrow.blobs b where b.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = b.account_id and m.blobs @> array[b.sha256])
		  and not exists (select from mailrow.message_parts p where p.account_id = b.account_id and p.sha256 = b.sha256)`,
		`select mailrow.remove_stray_blobs($1)`},
	{StrayIdentity, "identities", `
		select k.delivery::text, null::bigint, k.delivery, 'identity without its arrival'
		from mailrow.identities k where k.account_id = $1
		  and not exists (select from mailrow.deliveries d where d.account_id = k.account_id and d.id = k.delivery)`, `
		delete from mailrow.identities k where k.account_id = $1
		  and not exists (select from mailrow.deliveries d where d.account_id = k.account_id and d.id = k.delivery)`},
	{StrayThread, "thread_ids", `
		select distinct t.thread::text, t.thread, null::bigint, 'thread without a message'
		from mailrow.thread_ids t where t.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = t.account_id and m.thread = t.thread)`, `
		select mailrow.remove_threads($1, (select array_agg(distinct t.thread) from mailrow.thread_ids t
			where t.account_id = $1
			  and not exists (select from mailrow.messages m where m.account_id = t.account_id and m.thread = t.thread)))`},
	{StrayClaim, "claims", `
		select distinct l.mail::text, null::bigint, l.mail, 'dead letter without its mail'
		from mailrow.claims l where l.account_id = $1 and l.state = 'dead'
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.id = l.mail)`, `
		delete from mailrow.claims l where l.account_id = $1 and l.state = 'dead'
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.id = l.mail)`},
}

// maxStrays bounds the memory of one kind in one account.
const maxStrays = 10_000

// strayRow is a row of stray.find.
type strayRow struct {
	Key           string
	Message, Mail *int64
	What          string
}

// strays compares the tables with each other.
func (v *verifier) strays(ctx context.Context) error {
	for _, s := range strays {
		if err := v.compare(ctx, s); err != nil {
			return fmt.Errorf("compare table %s: %w", s.table, err)
		}
		v.tell(v.count)
	}
	return nil
}

func (v *verifier) compare(ctx context.Context, s stray) error {
	list, err := v.findStrays(ctx, s)
	if isDamage(err) {
		return v.report(Finding{Kind: TableUnreadable, What: fmt.Sprintf("table %s: %s", s.table, reason(err))})
	}
	if err != nil || len(list) == 0 {
		return err
	}
	again, err := v.findStrays(ctx, s)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	if v.Repair && s.repair != "" {
		left, err = v.repair(ctx, s)
		if err != nil {
			return err
		}
	}
	still := map[string]bool{}
	for _, row := range again {
		still[row.Key] = true
	}
	for _, row := range list {
		if !still[row.Key] {
			continue
		}
		f := Finding{Kind: s.kind, What: row.What, Repaired: v.Repair && s.repair != "" && !left[row.Key]}
		if s.repair != "" {
			f.Remedy = leftover
		}
		if row.Message != nil {
			f.Message = *row.Message
		}
		if row.Mail != nil {
			f.Mails = []int64{*row.Mail}
		}
		if err := v.report(f); err != nil {
			return err
		}
	}
	if len(list) == maxStrays {
		return v.report(Finding{Kind: s.kind, What: fmt.Sprintf("more than %d of this kind: what is shown is not all", maxStrays)})
	}
	return nil
}

func (v *verifier) findStrays(ctx context.Context, s stray) ([]strayRow, error) {
	rows, err := v.conn.Query(ctx, s.find+` order by 1 limit $2`, v.account.ID, maxStrays)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[strayRow])
}

// repair removes what is stray and gives the keys of what is left: a delivery
// may be about to use it.
func (v *verifier) repair(ctx context.Context, s stray) (map[string]bool, error) {
	err := pgx.BeginTxFunc(ctx, v.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, s.repair, v.account.ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	rows, err := v.findStrays(ctx, s)
	left := map[string]bool{}
	for _, row := range rows {
		left[row.Key] = true
	}
	return left, err
}
