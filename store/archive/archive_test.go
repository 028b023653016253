package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestList(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	old := archivetest.Deliver(t, dsn, "a@example.org", "Subject: old\n\nold\n")
	recent := archivetest.Deliver(t, dsn, "a@example.org", "Subject: recent\n\nrecent\n")
	other := archivetest.Deliver(t, dsn, "b@example.org", "Subject: other\n\nother\n")
	for id, age := range map[int64]string{old: "48 hours", recent: "1 hour", other: "2 hours"} {
		if _, err := conn.Exec(ctx, `update mailrow.deliveries set received_at = now() - $2::interval where id = $1`, id, age); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		filter archive.Filter
		want   []int64
	}{
		{"all", archive.Filter{}, []int64{recent, other, old}},
		{"limit", archive.Filter{Limit: 2}, []int64{recent, other}},
		{"account", archive.Filter{Account: "a@example.org"}, []int64{recent, old}},
		{"mailbox", archive.Filter{Mailbox: "Archive"}, nil},
		{"since", archive.Filter{Since: time.Now().Add(-3 * time.Hour)}, []int64{recent, other}},
		{"both", archive.Filter{Since: time.Now().Add(-3 * time.Hour), Account: "b@example.org"}, []int64{other}},
	}
	for _, test := range tests {
		list, err := archive.List(ctx, conn, test.filter)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []int64
		for _, m := range list {
			got = append(got, m.ID)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: got %v, want %v", test.name, got, test.want)
				break
			}
		}
	}
}

func TestFindKeepsTheSendersZone(t *testing.T) {
	dsn := deliverytest.Database(t)
	id := archivetest.Deliver(t, dsn, "a@example.org", "Date: Tue, 3 Feb 2026 04:05:06 -0330\nSubject: x\n\nx\n")
	m, err := archive.Find(context.Background(), archivetest.Connect(t, dsn), id)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.SentAt.Format(time.RFC3339), "2026-02-03T04:05:06-03:30"; got != want {
		t.Errorf("sent at %s, want %s", got, want)
	}
}

func TestHeader(t *testing.T) {
	dsn := deliverytest.Database(t)
	id := archivetest.Deliver(t, dsn, "a@example.org", "Subject: =?utf-8?q?caf=C3=A9?=\r\nX-Folded: a\r\n b\r\nSubject: again\r\n\r\nbody\r\n")
	fields, err := archive.Header(context.Background(), archivetest.Connect(t, dsn), id)
	if err != nil || len(fields) != 3 {
		t.Fatalf("%v, %v", fields, err)
	}
	for i, want := range []string{"café", "a b", "again"} {
		if fields[i].Value != want {
			t.Errorf("field %d is %q, want %q", i, fields[i].Value, want)
		}
	}
}

// Larger than a piece, in both ways that PostgreSQL stores a value: compressed
// and not.
func TestWriteRawIsExact(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	header := "Subject: large\n\n"
	random := make([]byte, 20<<20)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(random)
	for name, raw := range map[string]string{
		"empty":        "",
		"one piece":    header + string(make([]byte, 8<<20-len(header))),
		"compressible": header + string(bytes.Repeat([]byte("a line like every other\r\n"), 1<<20)),
		"random":       header + string(random),
	} {
		id := archivetest.Deliver(t, dsn, "a@example.org", raw)
		var got bytes.Buffer
		if err := archive.WriteRaw(ctx, conn, id, &got); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got.String() != raw {
			t.Errorf("%s: %d bytes that are not the %d delivered", name, got.Len(), len(raw))
		}
	}
	if err := archive.WriteRaw(ctx, conn, 1<<40, &bytes.Buffer{}); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// What the database gives is compared with what it was given.
func TestChangedBytesAreAnError(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	long := strings.Repeat("QUJD", 19) + "\n"
	id := archivetest.Deliver(t, dsn, "a@example.org", "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"+
		"--b\nContent-Type: text/x-log; name=x.log\n\na line\n--b\nContent-Type: application/pdf; name=x.pdf\n"+
		"Content-Transfer-Encoding: base64\n\n"+strings.Repeat(long, 40)+"--b--\n")
	try := func(name string, want error, err error) {
		t.Helper()
		if !errors.Is(err, want) || archive.IsDamage(err) != (want != nil) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	all := func(name string, want error, contents error) {
		t.Helper()
		try(name+" raw", want, archive.WriteRaw(ctx, conn, id, io.Discard))
		try(name+" check", want, archive.CheckRaw(ctx, conn, id))
		try(name+" log", want, archive.WriteAttachment(ctx, conn, id, "1", io.Discard))
		try(name+" pdf", contents, archive.WriteAttachment(ctx, conn, id, "2", io.Discard))
	}
	all("stored", nil, nil)
	if _, err := conn.Exec(ctx, `update mailrow.messages set raw = replace(encode(raw, 'escape'), 'a line', 'b line')::bytea`); err != nil {
		t.Fatal(err)
	}
	all("changed", archive.ErrChanged, nil)
	if _, err := conn.Exec(ctx, `delete from mailrow.blobs`); err != nil {
		t.Fatal(err)
	}
	try("missing pdf", archive.ErrChanged, archive.WriteAttachment(ctx, conn, id, "2", io.Discard))
}

func TestDelete(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	id := archivetest.Deliver(t, dsn, "a@example.org", "Subject: x\n\nx\n")
	if err := archive.Delete(ctx, conn, id); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"delete": archive.Delete(ctx, conn, id),
		"find":   func() error { _, err := archive.Find(ctx, conn, id); return err }(),
		"raw":    archive.WriteRaw(ctx, conn, id, &bytes.Buffer{}),
	} {
		if !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
	var messages int
	if err := conn.QueryRow(ctx, `select count(*) from mailrow.messages`).Scan(&messages); err != nil || messages != 0 {
		t.Errorf("%d messages left, %v", messages, err)
	}
	archivetest.Deliver(t, dsn, "a@example.org", "Subject: x\n\nx\n")
	for range 2 {
		if err := archive.DeleteAccount(ctx, conn, "a@example.org"); err != nil {
			t.Error(err)
		}
	}
	if list, err := archive.List(ctx, conn, archive.Filter{}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// In an older snapshot a delivery of the same content that came meanwhile does
// not show, and the content would be removed under it.
func TestDeleteSeesWhatCameMeanwhile(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	id := archivetest.Deliver(t, dsn, "a@example.org", "Subject: x\n\nx\n")
	for _, level := range []string{"repeatable read", "serializable"} {
		if _, err := conn.Exec(ctx, `set default_transaction_isolation = '`+level+`'`); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{`select mailrow.delete_mail(1)`, `select mailrow.delete_account('a@example.org')`} {
			var pg *pgconn.PgError
			if _, err := conn.Exec(ctx, sql); !errors.As(err, &pg) || pg.Code != "25000" {
				t.Errorf("%s, %s: got %v", level, sql, err)
			}
		}
	}
	if err := archive.Delete(ctx, conn, id); err != nil {
		t.Error(err)
	}
	if err := archive.DeleteAccount(ctx, conn, "a@example.org"); err != nil {
		t.Error(err)
	}
}

func TestRawWhateverTheByteaOutput(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	if _, err := conn.Exec(ctx, `set bytea_output = 'escape'`); err != nil {
		t.Fatal(err)
	}
	raw := "Subject: x\n\n\\x41 \\\\ \x00\xff\n"
	id := archivetest.Deliver(t, dsn, "a@example.org", raw)
	var got bytes.Buffer
	if err := archive.WriteRaw(ctx, conn, id, &got); err != nil || got.String() != raw {
		t.Errorf("got %q, %v", got.String(), err)
	}
}

// Many that are kept in raw are cut out of the mail here, few are fetched.
func TestManyAttachments(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	const plain = 12
	raw := "Subject: many\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
	var want []string
	for i := range plain {
		raw += fmt.Sprintf("--b\nContent-Type: text/x-log; name=%d.log\n\nline %[1]d\n", i)
		want = append(want, fmt.Sprintf("line %d", i))
	}
	raw += "--b\nContent-Type: text/x-log; name=q.log\nContent-Transfer-Encoding: quoted-printable\n\nca=C3=A9\n" +
		"--b\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 40) + "--b--\n"
	want = append(want, "caé", strings.Repeat("ABC", 19*40))
	id := archivetest.Deliver(t, dsn, "a@example.org", raw)
	check := func(what string, wanted int, failing string) {
		t.Helper()
		m, err := archive.Find(ctx, conn, id)
		if err != nil {
			t.Fatal(err)
		}
		list, err := archive.Attachments(ctx, conn, id)
		if err != nil || len(list) != len(want) {
			t.Fatalf("%d attachments, %v", len(list), err)
		}
		contents, err := archive.OpenAttachments(ctx, conn, m, list[:wanted])
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range list[:wanted] {
			var got bytes.Buffer
			err := contents.Write(ctx, a, &got)
			if a.Section == failing {
				if !errors.Is(err, archive.ErrChanged) {
					t.Errorf("%s: attachment %s: got %v, want ErrChanged", what, a.Section, err)
				}
				continue
			}
			if err != nil || got.String() != want[i] {
				t.Errorf("%s: attachment %s: got %q, %v, want %q", what, a.Section, got.String(), err, want[i])
			}
		}
	}
	check("few", 3, "")
	check("many", len(want), "")
	if _, err := conn.Exec(ctx, `update mailrow.message_parts set sha256 = sha256('x') where section = '2'`); err != nil {
		t.Fatal(err)
	}
	check("one of another hash", len(want), "2")
	if _, err := conn.Exec(ctx, `update mailrow.messages set raw = raw || 'x'`); err != nil {
		t.Fatal(err)
	}
	check("damaged mail", len(want), "2")
}

// attachment_contents gives what the view gives, and reads the mail once for all.
func TestAttachmentContents(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	const many = 2000
	base64 := strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 40)
	var raw strings.Builder
	raw.WriteString("Subject: many\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" +
		"--b\nContent-Type: text/plain; name=q.txt\nContent-Transfer-Encoding: quoted-printable\n\nca=C3=A9\n" +
		"--b\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n" + base64 +
		"--b\nContent-Type: message/rfc822\n\nSubject: inside\nMIME-Version: 1.0\n" +
		"Content-Type: application/pdf; name=y.pdf\nContent-Transfer-Encoding: base64\n\n" + base64)
	for i := range many {
		fmt.Fprintf(&raw, "--b\nContent-Type: text/x-log; name=%d.log\n\nline %[1]d\n", i)
		for range 100 {
			fmt.Fprintf(&raw, "%d ", rand.Uint32())
		}
		raw.WriteString("\n")
	}
	raw.WriteString("--b--\n")
	id := archivetest.Deliver(t, dsn, "a@example.org", raw.String())
	took := map[string]time.Duration{}
	for name, from := range map[string]string{
		"view":     "(select section, filename, content from mailrow.attachments where mail_id = $1)",
		"function": "mailrow.attachment_contents($1)",
	} {
		start := time.Now()
		var n int
		err := conn.QueryRow(ctx, "select count(*) filter (where length(content) > 0) from "+from+" c", id).Scan(&n)
		if err != nil || n != many+4 {
			t.Fatalf("%s: %d attachments, %v", name, n, err)
		}
		took[name] = time.Since(start)
	}
	if took["function"] > took["view"]/4 {
		t.Errorf("the function took %v, the view %v", took["function"], took["view"])
	}
	var differ int
	err := conn.QueryRow(ctx, `
		select count(*) from mailrow.attachment_contents($1) c
		full join (select * from mailrow.attachments where mail_id = $1) a using (section)
		where c.content is distinct from a.content or c.filename is distinct from a.filename or sha256(c.content) is distinct from a.sha256`,
		id).Scan(&differ)
	if err != nil || differ > 0 {
		t.Errorf("%d attachments are not those of the view, %v", differ, err)
	}
	var sections []string
	err = conn.QueryRow(ctx, `select array_agg(section) from (select section from mailrow.attachment_contents($1) limit 5) s`, id).Scan(&sections)
	if got := strings.Join(sections, " "); err != nil || got != "1 2 3 3.1 4" {
		t.Errorf("sections %s, %v", got, err)
	}
	t.Log(took)
}
