package store_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/store/archive"
)

const twoParts = "From: ann@example.com\nSubject: two parts\nMessage-ID: <two@x>\nContent-Type: multipart/mixed; boundary=x\n\n" +
	"--x\n\nhello\n--x\nContent-Type: image/png; name=a.png\n\nfile\n--x--\n"

// A body that the server cannot take, by a mistake of ours, does not keep a mail
// out, and is read when the mistake is mended.
func TestBodyThatTheServerCannotTake(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	var works string
	if err := conn.QueryRow(ctx, `select pg_get_functiondef('mailrow.blob_of'::regproc)`).Scan(&works); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `create or replace function mailrow.blob_of(p_cut integer, p_content integer, p_recipe integer[]) returns integer
		language plpgsql as $$ begin raise exception 'no' using errcode = 'invalid_text_representation'; end $$`)
	id := deliverTo(t, dsn, "ann@example.com", []byte(twoParts), true)
	got := rows(t, conn, `select convert_from(mailrow.raw(id), 'UTF8'), subject, attachments::text, defects::text from mailrow.mail where id = $1`, id)
	if want := []string{twoParts + "|two parts|0|{body-not-stored}"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	exec(t, conn, works)
	sum, err := archive.Reparse(ctx, conn, archive.Reparsing{}, func(archive.Reparsed) {})
	if err != nil || sum.Messages != 1 || sum.Changed != 1 {
		t.Errorf("reparse: %+v, %v", sum, err)
	}
	for _, problem := range different(t, conn, id, []byte(twoParts)) {
		t.Error(problem)
	}
}

// No index keeps a mail out, whatever its addresses and ids are.
func TestNothingIsTooLongForAnIndex(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	long := make([]byte, 12_000)
	rand.NewChaCha8([32]byte{}).Read(long) // what cannot be compressed
	word := hex.EncodeToString(long)
	mail := func(n string) []byte {
		return fmt.Appendf(nil, "From: %[1]s@example.com\nSender: %[1]s@example.com\nReply-To: %[1]s@example.com\nTo: %[1]s@example.com\n"+
			"Message-ID: <%[1]s%[2]s@x>\nIn-Reply-To: <%[1]s@y>\nReferences: <%[1]s@y>\nList-Id: <%[1]s.example.com>\nSubject: %[2]s\n"+
			"Content-Type: application/%[1]s; name=%[1]s\n\nfile\n", word, n)
	}
	deliverTo(t, dsn, "ann@example.com", mail("once"), false)
	deliverTo(t, dsn, "ann@example.com", mail("goes on"), true)
	got := rows(t, conn, `select subject from mailrow.mail where from_address = $1 order by id`, word+"@example.com")
	if want := []string{"once", "goes on"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// A row whose text is not where it says is taken out of the way of all others.
func TestIndexPassesWhatCannotBeRead(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	for i := range 5 {
		deliverTo(t, dsn, "ann@example.com", fmt.Appendf(nil, "Subject: %d\n\nhello\n", i), true)
	}
	exec(t, conn, `update mailrow.messages set text_pieces = '{0,3,2}' where subject = '2'`) // Sub is no base64
	for n := 1; n > 0; {
		if err := conn.QueryRow(ctx, `select mailrow.index_mail(100)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	got := rows(t, conn, `select subject, coalesce("text", 'none'), defects::text from mailrow.mail order by subject`)
	want := []string{"0|hello\n|{}", "1|hello\n|{}", "2|none|{text-unreadable}", "3|hello\n|{}", "4|hello\n|{}"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The server's work on a mail with many parts grows with their number, not with
// its square. What is compared runs in turns; eight times the parts may take
// twenty-four times as long.
func TestManyPartsAreLinearInTheDatabase(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	content := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0123456789abcdef", 96)))
	for _, test := range []struct{ name, header, body, read string }{
		{"base64 files", "Content-Type: image/png\nContent-Transfer-Encoding: base64", content, "select length(mailrow.raw($1))"},
		{"files as they are", "Content-Type: application/x-log", strings.Repeat("some line\n", 200), "select length(mailrow.raw($1))"},
		{"texts", "Content-Type: text/plain", strings.Repeat("some text ", 60), `select length("text") from mailrow.mail where id = $1`},
		{"quoted-printable", "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", strings.Repeat("=C3=A4", 100), `select length("text") from mailrow.mail where id = $1`},
	} {
		took := func(parts int) time.Duration {
			best := time.Hour
			for try := range 3 {
				raw := fmt.Sprintf("Subject: %d\nContent-Type: multipart/mixed; boundary=x\n\n", try) +
					strings.Repeat("--x\n"+test.header+"\n\n"+test.body+"\n", parts) + "--x--\n"
				start := time.Now()
				id := deliverTo(t, dsn, "ann@example.com", []byte(raw), true)
				var n int
				if err := conn.QueryRow(ctx, test.read, id).Scan(&n); err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		took(10)
		few, many := took(1000), took(8000)
		t.Logf("%s: %v for 1000, %v for 8000", test.name, few, many)
		if many > 24*few {
			t.Errorf("%s: %v for 1000, %v for 8000", test.name, few, many)
		}
	}
}

// Whoever heard "stored" has a whole mail, also when its account is deleted at
// that moment.
func TestAccountDeletedDuringDeliveries(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := connect(t, dsn)
	over := connections(t, dsn, 4)
	ended := make(chan error)
	go func() {
		deleter, err := pgx.Connect(ctx, dsn)
		for range 20 {
			if err == nil {
				err = archive.DeleteAccount(ctx, deleter, "ann@example.com")
			}
			time.Sleep(10 * time.Millisecond)
		}
		ended <- err
	}()
	var mails []string
	file := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("the same file ", 200)))
	for i := range 300 {
		mails = append(mails, fmt.Sprintf("Subject: %d\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n%s\n", i, file))
	}
	storm(t, over, mails, "ann@example.com")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	storm(t, over, []string{"Subject: last\n\nhello\n"}, "ann@example.com")
	astray := rows(t, conn, `
		select d.id::text from mailrow.deliveries d
		left join mailrow.accounts a on a.account_id = d.account_id
		left join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
		where a.account_id is null or m.id is null
		   or sha256(mailrow.whole(m.account_id, m.raw, m.recipe, m.blobs)) <> m.sha256`)
	left := rows(t, conn, `
		select 'message ' || id from mailrow.messages m where not exists (select from mailrow.deliveries d where d.account_id = m.account_id and d.message = m.id)
		union all select 'blob' from mailrow.blobs b where not exists (select from mailrow.messages m where m.account_id = b.account_id and m.blobs @> array[b.sha256])`)
	if len(astray) > 0 || len(left) > 0 {
		t.Errorf("%d arrivals without all of their mail, left over: %v", len(astray), left)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}
