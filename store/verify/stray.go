package verify

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailrow/store/archive"
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

	PartsMissing     Kind = "parts-missing" // rows that tell of a mail are not as many as its columns say
	AddressesMissing Kind = "addresses-missing"
	ThreadMissing    Kind = "thread-missing"

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
	reread   = "mailrow verify --repair reads the mail again"
)

var remedies = map[Kind]string{
	Changed:           restore,
	Unreadable:        restore,
	Part:              reread + "; if the mail itself has changed, take it from a backup",
	PartsMissing:      reread,
	AddressesMissing:  reread,
	ThreadMissing:     reread,
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

// stray is a kind of rows that lack what they belong to, or what belongs to
// them: find names account_id $1 and gives key, message, delivery and what, at
// most $2 rows in order of the key. repair removes them, or else the messages
// are read again.
type stray struct {
	kind         Kind
	table        string
	find, repair string
	reread       bool
}

func (s *stray) repairable() bool { return s.repair != "" || s.reread }

// What belongs to a message that is lost, though a delivery knows of it, is no
// leftover: with the message from a backup it is whole again.
var strays = []stray{
	{kind: NoDelivery, table: "messages", find: `
		select m.id::text, m.id, null::bigint, 'the message has no arrival'
		from mailrow.messages m where m.account_id = $1
		  and not exists (select from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id)`},
	{kind: NoMessage, table: "deliveries", find: `
		select d.id::text, d.message, d.id, 'the message of the arrival is missing'
		from mailrow.deliveries d where d.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = d.account_id and m.id = d.message)`},
	{kind: NoMailbox, table: "deliveries", find: `
		select d.mailbox::text, null::bigint, min(d.id), format('%s mails are in mailbox_id %s, which is missing', count(*), d.mailbox)
		from mailrow.deliveries d where d.account_id = $1
		  and not exists (select from mailrow.mailboxes b where b.account_id = d.account_id and b.mailbox_id = d.mailbox)
		group by d.mailbox`},
	{kind: NoAccount, table: "deliveries", find: `
		select $1::bigint::text, null::bigint, (select min(d.id) from mailrow.deliveries d where d.account_id = $1),
		       format('account_id %s is missing, and has %s mails', $1::bigint,
		              (select count(*) from mailrow.deliveries d where d.account_id = $1))
		where not exists (select from mailrow.accounts a where a.account_id = $1)`},
	// Version 1 of the parser knew neither parts nor threads.
	{kind: PartsMissing, table: "message_parts", reread: true, find: `
		select m.id::text, m.id,
		       (select min(d.id) from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id), format('it has %s parts up to number %s, with %s attachments of %s',
		       coalesce(p.parts, 0), coalesce(p.last, 0), coalesce(p.attachments, 0), coalesce(cardinality(m.attachment_names) / 2, 0))
		from mailrow.messages m
		left join (select p.message, count(*) as parts, max(p."position") as last, count(*) filter (where p.attachment) as attachments,
		                  string_agg(p.content_type || E'\x01' || coalesce(p.filename, ''), E'\x01' order by p."position")
		                      filter (where p.attachment) as names
		           from mailrow.message_parts p where p.account_id = $1 group by p.message) p on p.message = m.id
		where m.account_id = $1 and m.parser > 1
		  and (p.parts is null or p.parts <> p.last or p.names is distinct from array_to_string(m.attachment_names, E'\x01'))`},
	{kind: AddressesMissing, table: "message_addresses", reread: true, find: `
		select m.id::text, m.id,
		       (select min(d.id) from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id), format('it has %s addresses up to number %s; its columns name others',
		       coalesce(l.addresses, 0), coalesce(l.last, 0))
		from mailrow.messages m
		left join (select l.message, count(*) as addresses, max(l."position") as last,
		                  count(*) filter (where l.field = 'from' and l.address <> '') as froms,
		                  count(*) filter (where l.field = 'sender' and l.address <> '') as senders,
		                  count(*) filter (where l.field = 'reply-to' and l.address <> '') as replies,
		                  count(*) filter (where l.field = 'to' and l.address <> '') as tos,
		                  count(*) filter (where l.field = 'cc' and l.address <> '') as ccs
		           from mailrow.message_addresses l where l.account_id = $1 group by l.message) l on l.message = m.id
		where m.account_id = $1 and m.parser > 1
		  and (l.addresses <> l.last
		       or coalesce(l.addresses, 0) < 32767  -- what "position" can count
		          and (m.from_address is not null and coalesce(l.froms, 0) = 0
		               or m.sender_address is not null and coalesce(l.senders, 0) = 0
		               or coalesce(l.replies, 0) <> coalesce(cardinality(m.reply_to), 0)
		               or coalesce(l.tos, 0) <> coalesce(cardinality(m.to_addresses), 0)
		               or coalesce(l.ccs, 0) <> coalesce(cardinality(m.cc_addresses), 0)))`},
	{kind: ThreadMissing, table: "thread_ids", reread: true, find: `
		select m.id::text, m.id,
		       (select min(d.id) from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id), format('its thread %s has no message ids', m.thread)
		from mailrow.messages m where m.account_id = $1 and m.parser > 1 and m.message_id is not null
		  and not exists (select from mailrow.thread_ids t where t.account_id = m.account_id and t.thread = m.thread)`},
	{kind: StrayPart, table: "message_parts", find: `
		select distinct p.message::text, p.message, null::bigint, 'parts without their message'
		from mailrow.message_parts p where p.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = p.account_id and m.id = p.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = p.account_id and d.message = p.message)`, repair: `
		delete from mailrow.message_parts p where p.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = p.account_id and m.id = p.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = p.account_id and d.message = p.message)`},
	{kind: StrayAddress, table: "message_addresses", find: `
		select distinct l.message::text, l.message, null::bigint, 'addresses without their message'
		from mailrow.message_addresses l where l.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = l.account_id and m.id = l.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.message = l.message)`, repair: `
		delete from mailrow.message_addresses l where l.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = l.account_id and m.id = l.message)
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.message = l.message)`},
	{kind: StrayContent, table: "blobs", find: `
		select encode(b.sha256, 'hex'), null::bigint, null::bigint, format('content %s is of no message', encode(b.sha256, 'hex'))
		from mailrow.blobs b where b.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = b.account_id and m.blobs @> array[b.sha256])
		  and not exists (select from mailrow.message_parts p where p.account_id = b.account_id and p.sha256 = b.sha256)`,
		repair: `select mailrow.remove_stray_blobs($1)`},
	{kind: StrayIdentity, table: "identities", find: `
		select k.delivery::text, null::bigint, k.delivery, 'identity without its arrival'
		from mailrow.identities k where k.account_id = $1
		  and not exists (select from mailrow.deliveries d where d.account_id = k.account_id and d.id = k.delivery)`, repair: `
		delete from mailrow.identities k where k.account_id = $1
		  and not exists (select from mailrow.deliveries d where d.account_id = k.account_id and d.id = k.delivery)`},
	{kind: StrayThread, table: "thread_ids", find: `
		select distinct t.thread::text, t.thread, null::bigint, 'thread without a message'
		from mailrow.thread_ids t where t.account_id = $1
		  and not exists (select from mailrow.messages m where m.account_id = t.account_id and m.thread = t.thread)`, repair: `
		select mailrow.remove_threads($1, (select array_agg(distinct t.thread) from mailrow.thread_ids t
			where t.account_id = $1
			  and not exists (select from mailrow.messages m where m.account_id = t.account_id and m.thread = t.thread)))`},
	{kind: StrayClaim, table: "claims", find: `
		select distinct l.mail::text, null::bigint, l.mail, 'dead letter without its mail'
		from mailrow.claims l where l.account_id = $1 and l.state = 'dead'
		  and not exists (select from mailrow.deliveries d where d.account_id = l.account_id and d.id = l.mail)`, repair: `
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
	if v.Repair && s.repairable() {
		left, err = v.repair(ctx, s, again)
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
		f := Finding{Kind: s.kind, What: row.What, Repaired: v.Repair && s.repairable() && !left[row.Key]}
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

// repair removes what is stray, or reads messages again, and gives the keys of
// what is left: a delivery may be about to use it.
func (v *verifier) repair(ctx context.Context, s stray, found []strayRow) (map[string]bool, error) {
	if s.reread {
		for _, row := range found {
			if err := v.reread(ctx, *row.Message); err != nil {
				return nil, err
			}
		}
	} else {
		err := archive.Transact(ctx, v.conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, s.repair, v.account.ID)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
	}
	rows, err := v.findStrays(ctx, s)
	left := map[string]bool{}
	for _, row := range rows {
		left[row.Key] = true
	}
	return left, err
}

// reread parses a message again, unless it is damaged.
func (v *verifier) reread(ctx context.Context, message int64) error {
	if _, err := archive.ReparseMessage(ctx, v.conn, v.account.ID, message); err != nil && !archive.IsDamage(err) {
		return fmt.Errorf("repair: %w", err)
	}
	return nil
}
