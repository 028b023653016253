package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/verify"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const account = "ann@example.com"

// attached has a file of its own content, long enough to be kept apart.
func attached(n int) string {
	line := fmt.Sprintf("%076d\n", n)
	return fmt.Sprintf("From: bob@example.net\nSubject: attached %d\nMessage-ID: <%[1]d@example.net>\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext %[1]d\n"+
		"--b\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n%s\n--b--\n", n, strings.Repeat(line, 40))
}

// named is a file that stays in the raw mail.
const named = "Subject: named\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n" +
	"--b\nContent-Type: text/x-log; name=x.log\n\na line\n--b--\n"

const quoted = "Subject: quoted\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nca=C3=A9\n"

func fill(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	for _, raw := range []string{attached(1), attached(2), named, quoted, "Subject: plain\n\nplain\n"} {
		archivetest.Deliver(t, dsn, account, raw)
	}
	conn := archivetest.Connect(t, dsn)
	for more := 1; more > 0; {
		if err := conn.QueryRow(context.Background(), `select mailrow.index_mail()`).Scan(&more); err != nil {
			t.Fatal(err)
		}
	}
	archivetest.Deliver(t, dsn, account, attached(3)) // without its words yet
	return conn
}

// run gives what was found, its kinds in order, each once.
func run(t *testing.T, conn *pgx.Conn, o verify.Options) (kinds []verify.Kind, all []verify.Finding, count verify.Count) {
	t.Helper()
	count, err := verify.Run(context.Background(), conn, o, func(f verify.Finding) error {
		all = append(all, f)
		if !slices.Contains(kinds, f.Kind) {
			kinds = append(kinds, f.Kind)
		}
		if f.What == "" || f.Remedy == "" || f.Account == "" {
			t.Errorf("says too little: %+v", f)
		}
		return nil
	}, func(verify.Count) {})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(kinds)
	return kinds, all, count
}

func TestWell(t *testing.T) {
	conn := fill(t, deliverytest.Database(t))
	for _, o := range []verify.Options{{}, {Quick: true}, {Account: account}, {Repair: true}} {
		_, all, count := run(t, conn, o)
		if len(all) > 0 || count.Messages != 6 || count.Contents != 3 || count.Accounts != 1 || count.Bytes == 0 {
			t.Errorf("%+v: %+v, %+v", o, all, count)
		}
	}
	_, err := verify.Run(context.Background(), conn, verify.Options{Account: "nobody"}, nil, nil)
	if !errors.Is(err, verify.ErrNoAccount) {
		t.Errorf("got %v, want ErrNoAccount", err)
	}
}

func TestOnAStandby(t *testing.T) {
	cluster := pgtest.New(t, nil)
	primary := fill(t, deliverytest.DatabaseOn(t, cluster))
	standby := cluster.Standby(t)
	standby.CatchUp(t, cluster)
	conn := archivetest.Connect(t, standby.DSN("postgres", primary.Config().Database))
	if _, all, count := run(t, conn, verify.Options{}); len(all) > 0 || count.Messages != 6 {
		t.Errorf("%+v, %+v", count, all)
	}
}

func TestCorpusIsWell(t *testing.T) {
	dsn := deliverytest.Database(t)
	for i, mail := range deliverytest.Corpus(t, 100, 10) {
		if _, err := archivetest.Store(dsn, fmt.Sprintf("m%d@example.org", i%7), string(mail.Raw)); err != nil {
			t.Fatalf("%s: %v", mail.Name, err)
		}
	}
	conn := archivetest.Connect(t, dsn)
	if _, all, count := run(t, conn, verify.Options{}); len(all) > 0 || count.Messages < 100 {
		t.Errorf("%+v, %+v", count, all)
	}
}

func TestDamage(t *testing.T) {
	const (
		first  = `account_id = 1 and id = (select id from mailrow.messages where subject = 'attached 1')`
		blob   = `sha256 = (select blobs[1] from mailrow.messages where subject = 'attached 1')`
		part   = `message = (select id from mailrow.messages where subject = 'named') and attachment`
		named2 = `message = (select id from mailrow.messages where subject = 'named')`
	)
	kinds := func(k ...verify.Kind) []verify.Kind { return k }
	tests := []struct {
		name, sql   string
		want, quick []verify.Kind
	}{
		{"byte", `update mailrow.messages set raw = overlay(raw placing 'F'::bytea from 1 for 1) where subject = 'plain'`,
			kinds(verify.Changed), nil},
		{"length", `update mailrow.messages set raw = raw || '\x0a' where ` + first, kinds(verify.Changed), kinds(verify.Changed)},
		{"size", `update mailrow.messages set size = size + 1 where ` + first, kinds(verify.Changed), kinds(verify.Changed)},
		{"sha256", `update mailrow.messages set sha256 = sha256(raw) where ` + first, kinds(verify.Changed), nil},
		{"recipe", `update mailrow.messages set recipe[1] = recipe[1] + 1 where ` + first, kinds(verify.Changed), nil},
		{"recipe points nowhere", `update mailrow.messages set recipe[3] = 7 where ` + first, kinds(verify.Changed), nil},
		{"recipe is nonsense", `update mailrow.messages set recipe = '{5}' where ` + first, kinds(verify.Changed), kinds(verify.Changed)},
		{"recipe beyond", `update mailrow.messages set recipe[1] = -5 where ` + first, kinds(verify.Unreadable), nil},
		{"text", `update mailrow.messages set language = null, text_pieces = '{1,3,2}' where subject = 'quoted'`, kinds(verify.Unreadable), nil},
		{"text of wrong bytes", `update mailrow.messages set language = null, raw = overlay(raw placing '=FF=FF'::bytea from length(raw) - 6 for 6),
			sha256 = sha256(overlay(raw placing '=FF=FF'::bytea from length(raw) - 6 for 6)) where subject = 'quoted'`, kinds(verify.Unreadable), nil},
		{"reply", `update mailrow.messages set reply_ranges = '{5,1}' where ` + first, kinds(verify.Unreadable), nil},
		{"blob", `update mailrow.blobs set content = content || '\x00' where ` + blob, kinds(verify.Changed, verify.ContentChanged), nil},
		{"blob of other hash", `update mailrow.blobs set sha256 = sha256(sha256) where ` + blob,
			kinds(verify.ContentChanged, verify.ContentMissing, verify.StrayContent), kinds(verify.ContentMissing, verify.StrayContent)},
		{"blob is missing", `delete from mailrow.blobs where ` + blob, kinds(verify.ContentMissing), kinds(verify.ContentMissing)},
		{"attachment", `update mailrow.message_parts set sha256 = sha256(sha256) where ` + part, kinds(verify.Part), nil},
		{"attachment of no content", `update mailrow.message_parts set sha256 = sha256(sha256)
			where kept = 'blob' and message = (select id from mailrow.messages where subject = 'attached 1')`, kinds(verify.Part), kinds(verify.Part)},
		{"attachment that does not decode", `update mailrow.message_parts set kept = 'base64' where ` + part, kinds(verify.Part), nil},
		{"part beyond", `update mailrow.message_parts set body_end = 100000 where ` + part, kinds(verify.Part), kinds(verify.Part)},
		{"part backwards", `update mailrow.message_parts set body_end = body_start - 1 where ` + part, kinds(verify.Part), kinds(verify.Part)},
		{"part is missing", `delete from mailrow.message_parts where section = '1' and ` + named2, kinds(verify.PartsMissing), kinds(verify.PartsMissing)},
		{"last part is missing", `delete from mailrow.message_parts where section = '2' and ` + named2, kinds(verify.PartsMissing), kinds(verify.PartsMissing)},
		{"all parts are missing", `delete from mailrow.message_parts where message = (select id from mailrow.messages where subject = 'plain')`,
			kinds(verify.PartsMissing), kinds(verify.PartsMissing)},
		{"attachment has another name", `update mailrow.message_parts set filename = 'y.log' where ` + part, kinds(verify.PartsMissing), kinds(verify.PartsMissing)},
		{"attachment names are gone", `update mailrow.messages set attachment_names = null where subject = 'named'`,
			kinds(verify.PartsMissing), kinds(verify.PartsMissing)},
		{"attachment name too many", `update mailrow.messages set attachment_names = '{a/b,c}' where subject = 'plain'`,
			kinds(verify.PartsMissing), kinds(verify.PartsMissing)},
		{"address is missing", `delete from mailrow.message_addresses where message = (select id from mailrow.messages where subject = 'attached 1')`,
			kinds(verify.AddressesMissing), kinds(verify.AddressesMissing)},
		{"recipient is missing", `update mailrow.messages set to_addresses = '{x@example.org}' where ` + first,
			kinds(verify.AddressesMissing), kinds(verify.AddressesMissing)},
		{"thread has no ids", `delete from mailrow.thread_ids where thread = (select thread from mailrow.messages where subject = 'attached 1')`,
			kinds(verify.ThreadMissing), kinds(verify.ThreadMissing)},
		{"no delivery", `delete from mailrow.deliveries where message = (select id from mailrow.messages where subject = 'plain')`,
			kinds(verify.NoDelivery), kinds(verify.NoDelivery)},
		{"no message", `delete from mailrow.messages where subject = 'plain'`,
			kinds(verify.NoMessage), kinds(verify.NoMessage)},
		{"no mailbox", `delete from mailrow.mailboxes`, kinds(verify.NoMailbox), kinds(verify.NoMailbox)},
		{"no account", `delete from mailrow.accounts`, kinds(verify.NoAccount, verify.NoMailbox), kinds(verify.NoAccount, verify.NoMailbox)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := fill(t, deliverytest.Database(t))
			if tag, err := conn.Exec(context.Background(), test.sql); err != nil || tag.RowsAffected() == 0 {
				t.Fatalf("%v, %v", tag, err)
			}
			reread := []verify.Kind{verify.Part, verify.PartsMissing, verify.AddressesMissing, verify.ThreadMissing}
			for _, o := range []verify.Options{{Quick: true}, {}, {Repair: true}} {
				want := test.want
				if o.Quick {
					want = test.quick
				}
				slices.Sort(want)
				if got, all, _ := run(t, conn, o); !slices.Equal(got, want) {
					t.Errorf("%+v: got %v, want %v: %+v", o, got, want, all)
				}
			}
			if slices.Contains(reread, test.want[0]) {
				if _, all, _ := run(t, conn, verify.Options{}); len(all) > 0 {
					t.Errorf("after the repair: %+v", all)
				}
			}
		})
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	ctx := context.Background()
	conn := fill(t, deliverytest.Database(t))
	if _, err := conn.Exec(ctx, `
		insert into mailrow.message_parts select 1, 9999, size, header_start, body_start, body_end, "position", attachment,
			section, content_type, encoding, kept, charset, disposition, filename, content_id, sha256 from mailrow.message_parts limit 1;
		insert into mailrow.message_addresses values (1, 9999, 1, 'from', 'a@example.org', null);
		insert into mailrow.blobs values (1, sha256('x'), 'x');
		insert into mailrow.identities values (1, 0, 'r', 'x', 9999);
		insert into mailrow.thread_ids values (1, 4711, 9999);
		insert into mailrow.consumers (owner, name, life, known, seen) values ('o', 'n', 1, 0, '1:1:');
		insert into mailrow.claims (consumer_id, mail, account_id, state) select consumer_id, 9999, 1, 'dead' from mailrow.consumers`); err != nil {
		t.Fatal(err)
	}
	want := []verify.Kind{verify.StrayAddress, verify.StrayClaim, verify.StrayContent, verify.StrayIdentity, verify.StrayPart, verify.StrayThread}
	got, all, count := run(t, conn, verify.Options{Quick: true})
	if !slices.Equal(got, want) || count.Repaired != 0 {
		t.Errorf("got %v, want %v: %+v", got, want, all)
	}
	got, all, count = run(t, conn, verify.Options{Repair: true})
	if !slices.Equal(got, want) || count.Repaired != 6 {
		t.Errorf("got %v, want %v: %+v", got, want, all)
	}
	if _, all, count := run(t, conn, verify.Options{}); len(all) > 0 || count.Messages != 6 || count.Contents != 3 {
		t.Errorf("after the repair: %+v, %+v", count, all)
	}
}

// The page of a table and that of a long value are overwritten in their files.
func TestTornPages(t *testing.T) {
	ctx := context.Background()
	cluster := pgtest.New(t, nil)
	dsn := deliverytest.DatabaseOn(t, cluster)
	random := make([]byte, 100_000)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(random)
	long := archivetest.Deliver(t, dsn, account, "Subject: long\n\n"+string(random))
	for i := range 40 {
		source.Read(random)
		archivetest.Deliver(t, dsn, account, fmt.Sprintf("Subject: %d\n\n%x", i, random[:1000+i]))
	}
	conn := archivetest.Connect(t, dsn)
	var folder, heap, toast string
	if err := conn.QueryRow(ctx, `select current_setting('data_directory'), pg_relation_filepath('mailrow.messages'),
		pg_relation_filepath(reltoastrelid) from pg_class where oid = 'mailrow.messages'::regclass`).Scan(&folder, &heap, &toast); err != nil {
		t.Fatal(err)
	}
	conn.Close(ctx)
	cluster.Stop(t, "fast")
	scribble(t, filepath.Join(folder, heap), 8192, 16)
	scribble(t, filepath.Join(folder, toast), 2*8192, 8192)
	cluster.Start(t)
	conn = archivetest.Connect(t, dsn)
	got, all, count := run(t, conn, verify.Options{})
	var rows int64
	for _, f := range all {
		if f.Kind == verify.RowUnreadable {
			rows++
		}
		if f.Kind == verify.Unreadable && !slices.Equal(f.Mails, []int64{long}) {
			t.Errorf("not the long one: %+v", f)
		}
	}
	if !slices.Contains(got, verify.RowUnreadable) || !slices.Contains(got, verify.Unreadable) || rows+count.Messages != 41 || rows > 20 {
		t.Errorf("%v, %d rows cannot be read and %d can: %+v", got, rows, count.Messages, all)
	}
}

func scribble(t *testing.T, name string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	garbage := make([]byte, n)
	for i := range garbage {
		garbage[i] = 0xa5
	}
	if _, err := f.WriteAt(garbage, at); err != nil {
		t.Fatal(err)
	}
}

// Whoever delivers and deletes meanwhile gives no false alarm.
func TestMeanwhile(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := fill(t, dsn)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for worker := range 3 {
		busy.Go(func() {
			own, err := pgx.Connect(ctx, dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer own.Close(ctx)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id, err := archivetest.Store(dsn, account, attached(100*worker+i%10))
				if err == nil && i%3 == 0 {
					_, err = own.Exec(ctx, `select mailrow.index_mail(5)`)
				}
				if err == nil {
					err = archive.Delete(ctx, own, id)
				}
				if err != nil && !errors.Is(err, archive.ErrNotFound) && !strings.Contains(err.Error(), "deadlock") {
					t.Error(err)
					return
				}
			}
		})
	}
	checked := int64(0)
	for range 15 {
		kinds, all, count := run(t, conn, verify.Options{Repair: checked%2 == 1})
		checked += count.Messages
		// Two that delete the last mails of a thread at once may leave its ids.
		for _, kind := range kinds {
			if kind != verify.StrayThread {
				t.Errorf("false alarm: %+v", all)
			}
		}
	}
	close(stop)
	busy.Wait()
	if _, all, _ := run(t, conn, verify.Options{Repair: true}); len(all) > 10 {
		t.Errorf("left: %+v", all)
	}
}
