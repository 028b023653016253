package search_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/store/archive/archivetest"
	"mailrow/store/search"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// box is a database with mail that has names.
type box struct {
	dsn   string
	conn  *pgx.Conn
	names map[int64]string
}

func newBox(t testing.TB) *box {
	t.Helper()
	dsn := deliverytest.Database(t)
	return &box{dsn, archivetest.Connect(t, dsn), map[int64]string{}}
}

func (b *box) deliver(t testing.TB, recipient, name, raw string) int64 {
	t.Helper()
	id := archivetest.Deliver(t, b.dsn, recipient, raw)
	b.names[id] = name
	return id
}

func (b *box) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := b.conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (b *box) index(t testing.TB) int64 {
	t.Helper()
	n, err := search.Index(context.Background(), b.conn, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// find gives the names of what a query finds, in alphabetical order.
func (b *box) find(t testing.TB, query string, o search.Options) []string {
	t.Helper()
	results, err := search.Search(context.Background(), b.conn, query, o)
	if err != nil {
		t.Errorf("%q: %v", query, err)
	}
	names := []string{}
	for _, r := range results {
		names = append(names, b.names[r.ID])
	}
	slices.Sort(names)
	return names
}

// mails are what the table of queries is about.
var mails = []struct{ name, raw string }{
	{"invoice", "From: Ann Smith <ann@example.com>\nTo: Bob Jones <bob@example.org>\nCc: Carl <carl@example.net>\n" +
		"Subject: Your invoice 2026-114\n\nPlease find the paid invoice attached. The running total is 12.50 EUR.\n"},
	{"report", "From: \"Reporting, Team\" <reports@sub.example.com>\nTo: list@lists.example.org\nList-Id: Weekly News <weekly-news.lists.example.org>\n" +
		"Subject: Quarterly figures\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nThe invoice was not paid in time.\n" +
		"--b\nContent-Type: application/octet-stream; name=\"Bilanz-2025.xlsx\"\nContent-Disposition: attachment; filename=\"Bilanz-2025.xlsx\"\nContent-Transfer-Encoding: base64\n\nUEsDBA==\n--b--\n"},
	{"pdf", "From: ann@example.com\nTo: bob@example.org\nSubject: scan\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsee there\n" +
		"--b\nContent-Type: application/pdf; name=scan.pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0=\n--b--\n"},
	{"german", "From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.de>\nTo: bob@example.org\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=\n" +
		"Content-Type: text/plain; charset=utf-8\n\nDie Rechnungen für die Häuser an der Straße liegen bei. Übergrößenträger!\n"},
	{"french", "From: x@example.fr\nTo: bob@example.org\nSubject: =?utf-8?q?D=C3=A9j=C3=A0_vu?=\nContent-Type: text/plain; charset=utf-8\n\nL’été à la plage, cœur léger, garçon. Où ça?\n"},
	{"russian", "From: x@example.ru\nTo: bob@example.org\nSubject: =?utf-8?b?0J/RgNC40LLQtdGC?=\nContent-Type: text/plain; charset=utf-8\n\nЁлка и зелёный ЧАЙ, мой друг.\n"},
	{"greek", "From: x@example.gr\nTo: bob@example.org\nSubject: gr\nContent-Type: text/plain; charset=utf-8\n\nΆνθρωπος και ΟΔΥΣΣΕΎΣ, ο λόγος του κόσμου.\n"},
	{"japanese", "From: x@example.jp\nTo: bob@example.org\nSubject: jp\nContent-Type: text/plain; charset=utf-8\n\n明日の会議は東京駅で行います。ｶﾀｶﾅとＦＵＬＬ１２３\n"},
	{"chinese", "From: x@example.cn\nTo: bob@example.org\nSubject: cn\nContent-Type: text/plain; charset=utf-8\n\n京东的发票已经寄出,请查收。\n"},
	{"korean", "From: x@example.kr\nTo: bob@example.org\nSubject: kr\nContent-Type: text/plain; charset=utf-8\n\n한국어 메일 입니다\n"},
	{"thai", "From: x@example.th\nTo: bob@example.org\nSubject: th\nContent-Type: text/plain; charset=utf-8\n\nสวัสดีครับ\n"},
	{"turkish", "From: x@example.tr\nTo: bob@example.org\nSubject: tr\nContent-Type: text/plain; charset=utf-8\n\nİSTANBUL'da ılık ISPARTA iyi\n"},
	{"arabic", "From: x@example.sa\nTo: bob@example.org\nSubject: ar\nContent-Type: text/plain; charset=utf-8\n\nالسَّلامُ عليكم، مرحبا\n"},
	{"odd", "From: bob@example.org\nTo: ann@example.com\nSubject: Re: foo-bar baz_qux\nContent-Type: text/plain; charset=utf-8\n\n" +
		"See http://www.example.net/path/file.html?x=1&y=2 and C:\\dir\\name.txt; in\u00advoice so\u00adft. O'Brien said \u201cwell done\u201d \u2014 twice. 1e5 -5 +7 a.b@c.d <tag> &amp; 100%\n" +
		strings.Repeat("0123456789abcdef", 4) + "\n"},
	{"decomposed", "From: x@example.com\nTo: bob@example.org\nSubject: nfd\nContent-Type: text/plain; charset=utf-8\n\ncafe\u0301 zu\u0308rich\n"},
	{"empty", "Subject:\n\n"},
	{"large", "From: big@example.com\nTo: bob@example.org\nSubject: big\n\n" + strings.Repeat("filler words here\n", 2000)},
}

func filled(t testing.TB) *box {
	b := newBox(t)
	for i, m := range mails {
		id := b.deliver(t, "bob@example.org", m.name, m.raw)
		b.exec(t, `update mailrow.deliveries set received_at = now() - $2 * interval '1 day' where id = $1`, id, i)
	}
	b.exec(t, `insert into mailrow.mailboxes (account_id, name) select account_id, 'Archive/Old Mail' from mailrow.accounts`)
	b.exec(t, `update mailrow.deliveries d set mailbox = b.mailbox_id from mailrow.mailboxes b
		where b.account_id = d.account_id and b.name = 'Archive/Old Mail' and d.id = any ($1)`, b.ids("french", "russian"))
	b.exec(t, `update mailrow.deliveries set flags = array['\Seen'] where id = any ($1)`, b.ids("pdf", "odd"))
	b.exec(t, `update mailrow.deliveries set flags = array['\Seen', '\Flagged'] where id = any ($1)`, b.ids("german"))
	return b
}

func (b *box) ids(names ...string) (ids []int64) {
	for id, name := range b.names {
		if slices.Contains(names, name) {
			ids = append(ids, id)
		}
	}
	return ids
}
