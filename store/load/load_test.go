package load_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/corpus"
	"mailrow/internal/deliverytest"
	"mailrow/internal/needs"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/load"
)

// mails are those of testdata and, where it is there, of the corpus.
func mails(t *testing.T) (list []corpus.Mail) {
	t.Helper()
	for _, pattern := range []string{"../../testdata/message/*.eml", "../../testdata/demo/*.eml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal("no mail in", pattern, err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, corpus.Mail{Name: name, Raw: raw})
		}
	}
	if _, err := corpus.Find(); err != nil {
		return list
	}
	return append(list, deliverytest.Corpus(t, needs.Times(15, 1), needs.Times(2, 1))...)
}

const recipient = "ann+lists@example.com"

// delivery is the n-th mail of an archive: some of it in other folders, some twice.
func delivery(n int, raw []byte) *store.Delivery {
	sender := fmt.Sprintf("s%d@example.net", n%7)
	d := &store.Delivery{
		Raw: raw,
		Envelope: &message.Envelope{
			Source: "import", Sender: &sender, ReceivedAt: time.Unix(1_600_000_000+int64(n), 0),
			Recipients: []message.Recipient{{Address: recipient, Extension: "lists"}},
		},
		Account: "ann@example.com",
		Lookups: []store.Lookup{{Address: recipient, Base: "ann@example.com", Extension: "lists"}},
	}
	switch n % 5 {
	case 1:
		d.Mailbox = "Archive/2026"
		d.Envelope.Flags = []string{`\Seen`, `\Flagged`}
	case 2:
		d.Mailbox = "inBox"
		d.Envelope.Sender = nil
		d.Envelope.ClientAddress = netip.MustParseAddr("192.0.2.7")
	case 3:
		d.Envelope.ClientAddress = netip.MustParseAddr("2001:db8::7")
		d.Envelope.ClientHelo = "not\x00utf8\xff"
		d.Defects = []string{"of-the-envelope"}
	}
	return d
}

func connect(t testing.TB, dsn string) (*store.Config, *store.Conn) {
	t.Helper()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := store.Connect(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return config, conn
}

// loadAll loads deliveries and counts their outcomes.
func loadAll(t testing.TB, dsn string, options load.Options, list []*store.Delivery) map[store.Outcome]int {
	t.Helper()
	ctx := context.Background()
	config, err := store.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[store.Outcome]int{}
	options.Done = func(r load.Result) {
		if r.Err != nil {
			t.Errorf("%.60q: %v", r.Delivery.Raw, r.Err)
			return
		}
		for _, result := range r.Results {
			outcomes[result.Outcome]++
		}
	}
	l, err := load.Open(ctx, config, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if err := l.Add(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// What a load stores is what Deliver stores of the same mails in the same order.
func TestLoadStoresWhatDeliverStores(t *testing.T) {
	ctx := context.Background()
	var list []*store.Delivery
	all := mails(t)
	for n, mail := range all {
		list = append(list, delivery(n, mail.Raw))
		if n%9 == 0 { // again, now and then in another folder
			list = append(list, delivery(n+n%2, mail.Raw))
		}
		if n%3 == 0 { // again, and by then it may be in an earlier batch
			list = append(list, delivery(n+2, all[max(0, n-20)].Raw))
		}
	}
	list = append(list, archive(200)...)
	one := deliverytest.Database(t)
	_, conn := connect(t, one)
	if err := conn.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	want := map[store.Outcome]int{}
	for _, d := range list {
		d.Message = message.Parse(d.Raw)
		results, err := conn.Deliver(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		want[results[0].Outcome]++
	}
	stored := tables(t, one)
	t.Run("batch by batch", func(t *testing.T) {
		all := deliverytest.Database(t)
		deliverBatches(t, all, list) // where a load would try its mails one by one
		compare(t, stored, tables(t, all))
	})
	for _, options := range []load.Options{{Connections: 1}, {Connections: 3, BatchBytes: 1 << 20}, {Connections: 2, BatchMails: 7}} {
		t.Run(fmt.Sprintf("%d of %d mails", options.Connections, options.BatchMails), func(t *testing.T) {
			all := deliverytest.Database(t)
			got := loadAll(t, all, options, list)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcomes (-deliver +load):\n%s", diff)
			}
			compare(t, stored, tables(t, all))
			again := loadAll(t, all, options, list)
			if again[store.Redelivered] != len(list) {
				t.Errorf("the second load: %v", again)
			}
		})
	}
}

// deliverBatches stores all deliveries in batches, of which none may fail.
func deliverBatches(t *testing.T, dsn string, list []*store.Delivery) {
	t.Helper()
	ctx := context.Background()
	_, conn := connect(t, dsn)
	if err := conn.PrepareBatches(ctx); err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{}
	flush := func() {
		if b.Len() == 0 {
			return
		}
		if _, err := conn.DeliverBatch(ctx, b); err != nil {
			t.Fatal(err)
		}
		b = &store.Batch{}
	}
	for _, d := range list {
		threads := store.ThreadsOf(d.Message)
		if !b.Add(d, threads) {
			flush()
			b.Add(d, threads)
		}
		if b.Len() == 300 || b.Size() > 4<<20 {
			flush()
		}
	}
	flush()
}

// contents names rows by what stays the same when the same mails are stored by
// another way: messages by their hash, threads by the least hash in them.
var contents = map[string]string{
	"accounts":  `select name, language from mailrow.accounts`,
	"mailboxes": `select a.name, b.name, b.mailbox_id = 0 from mailrow.mailboxes b join mailrow.accounts a using (account_id)`,
	"messages": `
		select a.name, encode(m.sha256, 'hex'), md5(m.raw),
		       (select min(encode(o.sha256, 'hex')) from mailrow.messages o where o.account_id = m.account_id and o.thread = m.thread),
		       to_jsonb(m) - array['account_id', 'id', 'sha256', 'stored_at', 'thread', 'raw']
		from mailrow.messages m join mailrow.accounts a using (account_id)`,
	"deliveries": `
		select a.name, encode(m.sha256, 'hex'), b.name, to_jsonb(d) - array['account_id', 'id', 'message', 'mailbox', 'xact']
		from mailrow.deliveries d join mailrow.accounts a using (account_id)
		join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
		join mailrow.messages m on m.account_id = d.account_id and m.id = d.message`,
	"parts": `
		select encode(m.sha256, 'hex'), to_jsonb(p) - array['account_id', 'message']
		from mailrow.message_parts p join mailrow.messages m on m.account_id = p.account_id and m.id = p.message`,
	"addresses": `
		select encode(m.sha256, 'hex'), to_jsonb(p) - array['account_id', 'message']
		from mailrow.message_addresses p join mailrow.messages m on m.account_id = p.account_id and m.id = p.message`,
	"blobs": `select a.name, encode(b.sha256, 'hex'), md5(b.content) from mailrow.blobs b join mailrow.accounts a using (account_id)`,
	"thread_ids": `
		select a.name, t.id, (select min(encode(o.sha256, 'hex')) from mailrow.messages o where o.account_id = t.account_id and o.thread = t.thread)
		from mailrow.thread_ids t join mailrow.accounts a using (account_id)`,
	"identities": `select a.name, i.recipient, encode(i.identity, 'hex') from mailrow.identities i join mailrow.accounts a using (account_id)`,
}

func tables(t testing.TB, dsn string) map[string]map[string]int {
	t.Helper()
	all := map[string]map[string]int{}
	for name, query := range contents {
		all[name] = map[string]int{}
		for _, row := range deliverytest.Rows(t, dsn, query) {
			all[name][row]++
		}
	}
	return all
}

// compare tells the rows that only one of the two has, the first of each table.
func compare(t testing.TB, want, got map[string]map[string]int) {
	t.Helper()
	const most = 3
	for name := range contents {
		var lines []string
		for row, n := range want[name] {
			if got[name][row] != n {
				lines = append(lines, fmt.Sprintf("want %d, got %d: %.2000s", n, got[name][row], row))
			}
		}
		for row, n := range got[name] {
			if want[name][row] == 0 {
				lines = append(lines, fmt.Sprintf("got %d that should not be: %.2000s", n, row))
			}
		}
		if len(lines) > 0 {
			t.Errorf("%s: %d rows of %d differ:\n%s", name, len(lines), len(want[name]), strings.Join(lines[:min(most, len(lines))], "\n"))
		}
	}
	if len(want["messages"]) == 0 {
		t.Error("there is nothing to compare")
	}
}

// A batch of which some mails are stored already keeps what belongs to the others.
func TestContentsOfABatchThatIsPartlyStored(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/message/uuencode-in-text.eml")
	if err != nil {
		t.Fatal(err)
	}
	dsn := deliverytest.Database(t)
	// A batch is sorted by hash: the plain ones come first.
	var plain, list []*store.Delivery
	for n := 0; len(plain) < 5; n++ {
		if d := delivery(0, fmt.Appendf(nil, "Subject: %d\n\nplain\n", n)); sha256.Sum256(d.Raw)[0] < 0x40 {
			plain = append(plain, d)
		}
	}
	list = append(list, plain...)
	for n := 0; len(list) < 10; n++ {
		if d := delivery(0, append(fmt.Appendf(nil, "X-Number: %d\n", n), raw...)); sha256.Sum256(d.Raw)[0] >= 0x40 {
			list = append(list, d)
		}
	}
	for _, d := range list {
		d.Message = message.Parse(d.Raw)
	}
	deliverBatches(t, dsn, plain)
	deliverBatches(t, dsn, list)
	missing := deliverytest.Rows(t, dsn, `select count(*) filter (where b.sha256 is null), count(*) > 4 from mailrow.message_parts p
		left join mailrow.blobs b on b.account_id = p.account_id and b.sha256 = p.sha256 where p.kept = 'blob'`)
	if missing[0] != "0|t" {
		t.Errorf("blobs that are missing, and whether there are parts: %s", missing[0])
	}
}
