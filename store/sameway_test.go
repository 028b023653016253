package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/message"
	"mailrow/store"
)

// A connection that goes on stores by other functions than one that is for one mail, and
// what it stores is the same.
func TestEveryConnectionStoresTheSame(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	exec(t, conn, `insert into mailrow.routes (pattern, account, mailbox) values ('once+*@example.com', 'once@example.com', 'Of/*'), ('goes-on+*@example.com', 'goes-on@example.com', 'Of/*')`)
	over := connections(t, dsn, 2)
	goesOn, once := over[0], over[1]
	all := mails(t)
	all = all[:min(len(all), needs.Times(300, len(all)))]
	for i := range all {
		if i%5 == 4 {
			all = append(all, all[i-2]) // comes again
		}
	}
	for i, mail := range all {
		var got [2]store.Outcome
		for n, to := range []string{"once", "goes-on"} {
			results, err := []*store.Conn{once, goesOn}[n].Deliver(context.Background(), anyDelivery(rand.New(rand.NewPCG(1, uint64(i))), to, mail.Raw))
			if err != nil {
				t.Fatalf("%s: %v", mail.Name, err)
			}
			got[n] = results[0].Outcome
		}
		if got[0] != got[1] {
			t.Errorf("%s: %v", mail.Name, got)
		}
	}
	if diff := cmp.Diff(everyRow(t, dsn, "once"), everyRow(t, dsn, "goes-on")); diff != "" {
		t.Errorf("%.9000s", diff)
	}
}

// anyDelivery is a mail that comes in one of many ways.
func anyDelivery(numbers *rand.Rand, to string, raw []byte) *store.Delivery {
	sender, extension := "ann@example.org", []string{"", "", "Lists", "inbox", "a\x00b"}[numbers.IntN(5)]
	address := to + "@example.com"
	lookup := store.Lookup{Address: address, Base: address, Extension: extension}
	if extension != "" {
		lookup.Address, lookup.Wildcard = to+"+"+extension+"@example.com", to+"+*@example.com"
	}
	d := &store.Delivery{
		Raw: raw, Message: message.Parse(raw),
		Envelope: &message.Envelope{Source: "lmtp", Sender: []*string{nil, &sender}[numbers.IntN(2)],
			Recipients:    []message.Recipient{{Address: "someone@example.com", Original: []string{"", "orig@\x00x"}[numbers.IntN(2)]}},
			ClientAddress: []netip.Addr{{}, netip.MustParseAddr("::ffff:10.0.0.1")}[numbers.IntN(2)], ClientHelo: "h\xffelo", ClientName: "name", QueueID: "1",
			ReceivedAt: time.Unix(1e9, 123456789).Add(time.Duration(numbers.IntN(2)) * time.Hour), Flags: []([]string){nil, {`\Seen`}}[numbers.IntN(2)]},
		Lookups:          []store.Lookup{lookup},
		Mailbox:          []string{"", "", "INBOX", "iNbOX", "Old/é"}[numbers.IntN(5)],
		ExtensionMailbox: numbers.IntN(2) == 0,
		Defects:          []([]string){nil, {"odd"}}[numbers.IntN(2)],
	}
	if numbers.IntN(2) == 0 {
		d.Account = address
	}
	if identity := sha256.Sum256(raw); identity[0]%3 == 0 { // whenever it comes
		d.Identity = identity[:]
	}
	if numbers.IntN(4) == 0 {
		d.Envelope.Recipients[0].DSN = "NOTIFY=NEVER"
	}
	return d
}

// everyRow gives what is stored for an account, without its numbers.
func everyRow(t *testing.T, dsn, account string) []string {
	t.Helper()
	const without = `- 'account_id' - 'id' - 'message' - 'thread' - 'xact' - 'mailbox' - 'stored_at'`
	return deliverytest.Rows(t, dsn, fmt.Sprintf(`
		with mine as (select a.account_id from mailrow.accounts a where a.name = '%s@example.com'),
		m as (select m.*, row_number() over (order by m.id) as n from mailrow.messages m join mine using (account_id)),
		c as (select m.*, min(m.n) over (partition by m.thread) as conversation from m)
		(select 'message ' || c.n || ' ' || c.conversation || ' ' || (to_jsonb(c) %[2]s - 'raw' || jsonb_build_object('raw', md5(c.raw)))::text from c)
		union all (select 'part ' || c.n || ' ' || (to_jsonb(p) %[2]s)::text from mailrow.message_parts p join c on c.account_id = p.account_id and c.id = p.message)
		union all (select 'address ' || c.n || ' ' || (to_jsonb(l) %[2]s)::text from mailrow.message_addresses l join c on c.account_id = l.account_id and c.id = l.message)
		union all (select 'delivery ' || c.n || ' ' || b.name || (to_jsonb(d) %[2]s)::text from mailrow.deliveries d join c on c.account_id = d.account_id and c.id = d.message
			join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox)
		union all (select 'blob ' || (to_jsonb(b) %[2]s)::text from mailrow.blobs b join mine using (account_id))
		union all (select 'id ' || t.id || ' ' || c.conversation from mailrow.thread_ids t join (select distinct account_id, thread, conversation from c) c on c.account_id = t.account_id and c.thread = t.thread)
		union all (select 'identity ' || c.n || ' ' || encode(k.identity, 'hex') || ' ' || k.recipient from mailrow.identities k
			join mailrow.deliveries d on d.account_id = k.account_id and d.id = k.delivery join c on c.account_id = d.account_id and c.id = d.message)
		union all (select 'mailbox ' || b.name from mailrow.mailboxes b join mine using (account_id))
		order by 1`, account, without))
}
