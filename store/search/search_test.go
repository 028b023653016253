package search_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailrow/store/search"
)

var queries = []struct {
	query string
	want  string // names with blanks between
}{
	// Words.
	{"invoice", "invoice odd report"},
	{"INVOICE", "invoice odd report"},
	{"invoice paid", "invoice report"},
	{"nothing", ""},
	{"12.50", "invoice"},
	{"2026-114", "invoice"},
	{"smith", "invoice"},
	{"jones", "invoice"},
	{"bilanz", "report"},
	{"run*", "invoice"},
	{"runn*", "invoice"},
	{"running", "invoice"},
	// Phrases.
	{`"paid invoice"`, "invoice"},
	{`"invoice paid"`, ""},
	{`"Invoice was NOT"`, "report"},
	{`"not paid in ti"*`, "report"},
	{`"invoice attached"`, "invoice"},
	{`“paid invoice”`, "invoice"},
	{`"smith ann"`, ""},
	{`"an der strasse liegen"`, "german"},
	{`"an der stras"*`, "german"},
	{`"an der strass"*`, "german"},
	{`"an der stra"`, ""},
	{`"die hauser an"`, "german"},
	{`"in voice soft"`, ""},
	{`"invoice soft"`, "odd"},
	{`"brien said well done twice"`, "odd"},
	{`"garcon ou ca"`, "french"},
	{`"coeur leger"`, "french"},
	{`-"coeur leger" -"an der strasse" from:x from:fr`, ""},
	{`subject:"aus ko"*`, "german"},
	{`from:"reporting te"* -subject:invoice`, "report"},
	{`(subject:scan or from:reports) has:attachment`, "pdf report"},
	{`-from:ann has:attachment account:bob*`, "report"},
	{`"invoice`, "invoice odd report"},
	// Not, or, groups.
	{"invoice -paid", "odd"},
	{"-paid subject:invoice", ""},
	{`invoice -"not paid"`, "invoice odd"},
	{`-invoice -from:x -from:ann -from:juergen`, "empty large"},
	{"scan or quarterly", "pdf report"},
	{"scan OR quarterly", "pdf report"},
	{"scan | quarterly", "pdf report"},
	{"invoice paid or scan", "invoice report"},
	{"scan or paid invoice", "invoice report"},
	{"scan or -figures subject:quarterly", ""},
	{"(scan or quarterly) see", "pdf"},
	{"scan or (paid invoice)", "invoice pdf report"},
	{"invoice -(paid attached)", "odd report"},
	{"invoice -(paid or attached)", "odd"},
	{`(subject:scan or "not paid") -see`, "report"},
	{"((invoice) ((paid)))", "invoice report"},
	// Stray characters.
	{`invoice )) ((`, "invoice odd report"},
	{`or invoice or`, "invoice odd report"},
	{`- -- invoice "" () -() -"" : *`, "invoice odd report"},
	{`'invoice' & ! <-> \`, "invoice odd report"},
	{`invoice \' %s $1 {} ; drop`, ""},
	// Fields.
	{"from:ann", "invoice pdf"},
	{"from:ann@example.com", "invoice pdf"},
	{"from:example", "arabic chinese decomposed french german greek invoice japanese korean large odd pdf report russian thai turkish"},
	{"from:example.com", "decomposed invoice large pdf report"},
	{`from:"reporting team"`, "report"},
	{"from:jürgen", "german"},
	{"from:Jurgen", "german"},
	{"from:repor*", "report"},
	{"from:bob", "odd"},
	{"-from:x to:bob@example.org -subject:scan -invoice", "empty german large"},
	{"to:ann", "odd"},
	{"to:list@lists.example.org", "report"},
	{"cc:carl", "invoice"},
	{"cc:bob", ""},
	{"recipient:bob subject:scan", "pdf"},
	{"subject:invoice", "invoice"},
	{`subject:"quarterly figures"`, "report"},
	{"subject:koln", "german"},
	{"SUBJECT:Grüsse", "german"},
	{"filename:bilanz", "report"},
	{"filename:Bilanz-2025.xlsx", "report"},
	{"filename:2024", ""},
	{"list:weekly-news", "report"},
	{"list:lists.example.org", "report"},
	// Attachments.
	{"has:attachment", "pdf report"},
	{"invoice has:attachment", "report"},
	{"-has:attachment invoice", "invoice odd"},
	{"type:pdf", "pdf"},
	{"type:application/pdf", "pdf"},
	{"type:xlsx", "report"},
	{"type:spreadsheet", "report"},
	{"type:excel or type:pdf", "pdf report"},
	{"type:image", ""},
	// Facts.
	{"larger:20K", "large"},
	{"larger:20k from:big", "large"},
	{"larger:100M", ""},
	{"invoice smaller:1K", "invoice odd report"},
	{"smaller:20", "empty"},
	{"invoice after:3d", "invoice report"},
	{"after:today", "invoice"},
	{"after:yesterday invoice", "invoice report"},
	{"before:12d invoice", "odd"},
	{"after:1999 before:2000-02", ""},
	{"after:1999-12-31 scan", "pdf"},
	{"in:INBOX invoice", "invoice odd report"},
	{"in:inbox scan", "pdf"},
	{`in:"archive/old mail"`, "french russian"},
	{"in:Archive/*", "french russian"},
	{"-in:INBOX", "french russian"},
	{"in:nowhere", ""},
	{"account:bob@example.org scan", "pdf"},
	{"account:bob* scan", "pdf"},
	{"account:ann@example.com", ""},
	{"is:flagged", "german"},
	{"is:read -is:flagged", "odd pdf"},
	{"is:unread invoice", "invoice report"},
	{"thread:999999999", ""},
	// Scripts.
	{"grüße", "german"},
	{"grusse", "german"},
	{"GRÜSSE köln", "german"},
	{"strasse", "german"},
	{"STRASSE", "german"},
	{"hauser", "german"},
	{"ubergrossentrager", "german"},
	{"ete", "french"},
	{"ÉTÉ", "french"},
	{"coeur leger", "french"},
	{"garcon", "french"},
	{"deja", "french"},
	{"елка", "russian"},
	{"ЁЛКА", "russian"},
	{"чай", "russian"},
	{"привет", "russian"},
	{"МОЙ", "russian"},
	{"ανθρωποσ", "greek"},
	{"Οδυσσευς", "greek"},
	{"λογος", "greek"},
	{"東京", "japanese"},
	{"東京駅", "japanese"},
	{"京駅", "japanese"},
	{"東駅", ""},
	{"京", "chinese japanese"},
	{"カタカナ", "japanese"},
	{"full123", "japanese"},
	{"发票", "chinese"},
	{"票发", ""},
	{"한국어", "korean"},
	{"สวัสดี", "thai"},
	{"istanbul", "turkish"},
	{"İstanbul", "turkish"},
	{"ilik", "turkish"},
	{"ısparta", "turkish"},
	{"السلام", "arabic"},
	{"مرحبا", "arabic"},
	{"café", "decomposed"},
	{"cafe zürich", "decomposed"},
	// What is no operator is text.
	{"Re: foo-bar", "odd"},
	{"http://www.example.net/path", "odd"},
	{"foo-bar", "odd"},
	{"bar-foo", ""},
	{"qux", "odd"},
	{"file.html", "odd"},
	{"name.txt", "odd"},
	{"o'brien", "odd"},
	{`"well done"`, "odd"},
	{"1e5", "odd"},
	{"a.b@c.d", "odd"},
	{"soft", "odd"},
	{strings.Repeat("0123456789abcdef", 4), "odd"},
	{"0123456789abcdef*", ""},
}

// Every query has the same answer however much is indexed, limited or not.
func TestQueries(t *testing.T) {
	b := filled(t)
	check := func(state string) {
		t.Helper()
		for _, q := range queries {
			want := strings.Fields(q.want)
			if want == nil {
				want = []string{}
			}
			for _, limit := range []int{0, 100} {
				if diff := cmp.Diff(want, b.find(t, q.query, search.Options{Limit: limit})); diff != "" {
					t.Errorf("%s, limit %d, %s:\n%s", state, limit, q.query, diff)
				}
			}
		}
	}
	check("not indexed")
	if n := b.index(t); n != int64(len(mails)) {
		t.Errorf("indexed %d of %d", n, len(mails))
	}
	check("indexed")
	b.exec(t, `update mailrow.messages set language = null where id % 2 = 0`)
	check("half indexed")
	if n := b.index(t); n == 0 {
		t.Error("nothing indexed again")
	}
}

func TestNewestFirstWithinTheLimit(t *testing.T) {
	b := filled(t)
	b.index(t)
	b.exec(t, `update mailrow.messages set language = null where id = (select message from mailrow.deliveries where id = any ($1))`, b.ids("report"))
	for _, ranked := range []bool{false, true} {
		results, err := search.Search(context.Background(), b.conn, "invoice", search.Options{Limit: 2, Ranked: ranked})
		if err != nil || len(results) != 2 {
			t.Fatalf("%v, %v", results, err)
		}
		if got := b.names[results[0].ID]; got != "invoice" {
			t.Errorf("ranked %v: %s comes first", ranked, got)
		}
		if got := b.names[results[1].ID]; !ranked && got != "report" {
			t.Errorf("%s comes second", got)
		}
	}
	all, few := b.find(t, "invoice", search.Options{}), b.find(t, "invoice", search.Options{Limit: math.MaxInt32})
	if diff := cmp.Diff(all, few); diff != "" {
		t.Errorf("with the largest limit:\n%s", diff)
	}
}

func TestExcerpt(t *testing.T) {
	b := filled(t)
	tests := []struct{ query, want string }{
		{"attached", "Please find the paid invoice «attached». The running total is 12.50 EUR."},
		{`"paid invoice"`, "Please find the «paid invoice» attached. The running total is 12.50 EUR."},
		{"haus* strasse", "Die Rechnungen für die «Häuser» an der «Straße» liegen bei. Übergrößenträger!"},
		{"rechnung*", "Die «Rechnungen» für die Häuser an der Straße liegen bei. Übergrößenträger!"},
		{"東京駅", "明日の会議は«東京駅»で行います。ｶﾀｶﾅとＦＵＬＬ１２３"},
		{"subject:scan", "see there"},
	}
	for _, test := range tests {
		results, err := search.Search(context.Background(), b.conn, test.query, search.Options{Limit: 1})
		if err != nil || len(results) != 1 {
			t.Errorf("%s: %v, %v", test.query, results, err)
			continue
		}
		if got := results[0].Excerpt; got != test.want {
			t.Errorf("%s: got %q, want %q", test.query, got, test.want)
		}
	}
	results, err := search.Search(context.Background(), b.conn, "invoice", search.Options{Limit: 1, Highlight: [2]string{`<b class="\1">`, `</b>`}})
	if err != nil || !strings.Contains(results[0].Excerpt, `paid <b class="\1">invoice</b> attached`) {
		t.Errorf("%+v, %v", results, err)
	}
	long := "far away " + strings.Repeat("ein Wort ", 500) + "needle " + strings.Repeat("nach dem Wort ", 500)
	b.deliver(t, "bob@example.org", "long", "Subject: long\n\n"+long)
	results, err = search.Search(context.Background(), b.conn, "needle", search.Options{})
	if err != nil || len(results) != 1 {
		t.Fatal(results, err)
	}
	got := results[0].Excerpt
	if !strings.HasPrefix(got, "… ") || !strings.HasSuffix(got, " …") || !strings.Contains(got, "Wort «needle» nach") || len(got) > 200 {
		t.Errorf("%q", got)
	}
}

func TestQueriesThatCannotBeUnderstood(t *testing.T) {
	b := newBox(t)
	for _, query := range []string{
		"before:soon", "after:2026-13", "after:2026-02-30", "before:0000", "before:99999y", "before:9999999y", "after:-1d",
		"subject:", "from: bob", "in:inbox account:", "()", "-", "%", `""`, "- - ()",
		"larger:big", "smaller:-5", "larger:1e9", "larger:999999999999G", "is:happy", "thread:x", "thread:-1", "thread:99999999999999999999",
		strings.Repeat("x ", 501), strings.Repeat("x", 10001), strings.Repeat("word ", 10000),
	} {
		_, err := search.Search(context.Background(), b.conn, query, search.Options{})
		var problem *search.QueryError
		ok := errors.As(err, &problem)
		if !ok || problem.Problem == "" || problem.Remedy == "" || len(problem.Error()) > 400 {
			t.Errorf("%.50q: %v", query, err)
		}
	}
}

func TestThreadAndAccount(t *testing.T) {
	b := newBox(t)
	first := b.deliver(t, "ann@example.com", "first", "Message-ID: <1@x>\nSubject: one\n\nhello world\n")
	b.deliver(t, "ann@example.com", "second", "Message-ID: <2@x>\nIn-Reply-To: <1@x>\nSubject: Re: one\n\nhello again\n")
	b.deliver(t, "ann@example.com", "other", "Message-ID: <3@x>\nSubject: else\n\nhello world\n")
	b.deliver(t, "bob@example.com", "bobs", "Message-ID: <1@x>\nSubject: one\n\nhello world\n")
	for _, indexed := range []bool{false, true} {
		for _, test := range []struct{ query, account, want string }{
			{fmt.Sprintf("thread:%d", first), "", "first second"},
			{fmt.Sprintf("thread:%d again", first), "", "second"},
			{fmt.Sprintf("-thread:%d world", first), "", "bobs other"},
			{"world", "ann@example.com", "first other"},
			{"world or again) or x", "ann@example.com", "first other second"},
			{"account:bob@example.com", "ann@example.com", ""},
			{"to:bob@example.com", "", "bobs"},
			{"recipient:ann again", "", "second"},
			{"world -account:ann*", "", "bobs"},
		} {
			want := append([]string{}, strings.Fields(test.want)...)
			if diff := cmp.Diff(want, b.find(t, test.query, search.Options{Account: test.account})); diff != "" {
				t.Errorf("indexed %v, %s in %q:\n%s", indexed, test.query, test.account, diff)
			}
		}
		b.index(t)
	}
}

// Nothing that a mail holds keeps it from being indexed, and no time is lost on it.
func TestHugeTexts(t *testing.T) {
	b := newBox(t)
	var words, distinct strings.Builder
	for i := range 600_000 {
		fmt.Fprintf(&words, "word%d ", i%5000)
		fmt.Fprintf(&distinct, "%x%x ", i*7919, i)
	}
	for name, text := range map[string]string{
		"five megabytes": words.String() + "needle\n",
		"one word":       strings.Repeat("x", 3<<20) + " needle\n",
		"too many words": distinct.String() + " needle\n",
		"blanks":         strings.Repeat(" ", 3<<20) + " needle\n",
		"marks":          strings.Repeat("a\u0301\u0301", 1<<20) + " needle\n",
		"chinese":        strings.Repeat("发票", 1<<19) + " needle\n",
		"line":           "needle " + strings.Repeat("a-", 1<<20),
	} {
		b.deliver(t, "bob@example.org", name, "Subject: huge\nContent-Type: text/plain; charset=utf-8\n\n"+text)
	}
	start := time.Now()
	before := b.find(t, "needle", search.Options{})
	b.index(t)
	after := b.find(t, "needle", search.Options{})
	t.Log(time.Since(start))
	if len(before) != 7 || len(after) != 7 {
		t.Errorf("before %q, after %q", before, after)
	}
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("took %v", took)
	}
}

// The language of queries cannot quote these; the account is meant all the same.
func TestAccountsWithOddNames(t *testing.T) {
	b := newBox(t)
	names := []string{`o"b@example.org`, "ob@example.org", "ob*", "o b@example.org", `o\b@example.org`, "(ob)", "-ob"}
	for _, name := range names {
		b.deliver(t, name, name, "Subject: hello\n\nx\n")
		b.deliver(t, name, name, "Subject: hello again\n\nx\n")
	}
	for _, name := range names {
		want := []string{name, name}
		if got := b.find(t, "hello", search.Options{Account: name}); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", name, got)
		}
		if got := b.find(t, "hello", search.Options{Account: name, Limit: 1}); !slices.Equal(got, want[:1]) {
			t.Errorf("%s: the first is %q", name, got)
		}
	}
}
