package search_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/needs"
	"mailrow/store/search"
)

// oddWords are words as mail has them; what stands first stands in most mail.
var oddWords = []string{
	"the", "of", "and", "to", "report", "Invoice", "paid", "want", "your", "las", "mess", "art", "l'été", "foo-bar", "Straße", "STRASSE",
	"a.b@c.d", "naïve", "café", "cafe\u0301", "so\u00adft", "soft", "Ёлка", "東京", "ﬁn", "fin", "x²", "½", "trade™", "tradetm", "Œuvre", "oeuvre", "æther", "aether",
	"Þing", "thing", "laß", "m\u200bess", "İstanbul", "ısparta", "Thế", "the\u0302\u0301", "№5", "①", "１２", "😀", "한국어", "naïf", "été", "à", "ete", "la",
}

var oddBlanks = []string{" ", " ", " ", " ", "\n", ", ", ". ", "—", "\u00a0", " … ", "'", "| ", "-", "\u200b ", "«", "_", "/"}

// odd makes a text of so many words.
func odd(numbers *rand.Rand, words int) string {
	var b strings.Builder
	for range words {
		b.WriteString(oddWords[int(float64(len(oddWords))*numbers.Float64()*numbers.Float64()*numbers.Float64())])
		b.WriteString(oddBlanks[numbers.IntN(len(oddBlanks))])
	}
	return b.String()
}

// oddMail fills a database with mails of two accounts, the newest nearly the last, and a
// table of what is in each, folded; and leaves a few of them to be indexed.
func oddMail(t *testing.T, numbers *rand.Rand, mails int) *box {
	ctx := context.Background()
	b := newBox(t)
	b.exec(t, `insert into mailrow.accounts (account_id, name) values (1, 'ann@example.com'), (2, 'bob@example.com')`)
	b.exec(t, `insert into mailrow.mailboxes (account_id, mailbox_id, name) select a, m, (array['INBOX', 'Archive'])[m + 1] from generate_series(1, 2) a, generate_series(0, 1) m`)
	batch := &pgx.Batch{}
	text := func(words int) *string {
		if numbers.IntN(5) == 0 {
			return nil
		}
		s := odd(numbers, numbers.IntN(words))
		return &s
	}
	list := func() (list []string) {
		for range numbers.IntN(3) {
			list = append(list, odd(numbers, 2))
		}
		return list
	}
	for id := 1; id <= mails; id++ {
		account := 1 + min(1, numbers.IntN(4))
		names, tos, ccs := list(), list(), list()
		var files []string
		if numbers.IntN(10) == 0 {
			files = []string{"application/pdf", odd(numbers, 2) + ".pdf"}
		}
		batch.Queue(`
			insert into mailrow.messages (account_id, id, sha256, size, line_ends, header_size, parser, thread, raw, subject, from_name, from_address, sender_address,
				to_addresses, cc_addresses, recipient_names, list_id, attachment_names, "text")
			values ($1, $2::bigint, decode(md5($2::text), 'hex'), 1000, 'lf', 10, 2, $2, 'x', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			account, id, text(6), text(3), text(3), text(2), tos, ccs, names, text(3), files, text(20))
		batch.Queue(`
			insert into mailrow.deliveries (account_id, id, message, mailbox, received_at, source, recipient)
			values ($1, $2, $2, $3, now() - $4 * interval '1 hour', 'x', 'user@example.org')`, account, id, numbers.IntN(2), mails-id+numbers.IntN(20))
		for i, address := range slices.Concat(tos, ccs) {
			field, name := "to", ""
			if i >= len(tos) {
				field = "cc"
			}
			if len(names) > 0 {
				name = names[i%len(names)]
			}
			batch.Queue(`insert into mailrow.message_addresses (account_id, message, "position", field, address, name) values ($1, $2, $3, $4, $5, $6)`,
				account, id, i+1, field, address, name)
		}
	}
	if err := b.conn.SendBatch(ctx, batch).Close(); err != nil {
		t.Fatal(err)
	}
	b.index(t)
	b.exec(t, `update mailrow.messages set language = null where id % 97 = 0 or id > $1 - 5`, mails)
	b.exec(t, `analyze mailrow.deliveries`)
	b.exec(t, `
		create table public.obvious as
		select d.account_id, d.id, d.received_at, d.mailbox, m.attachment_names is not null as attachment,
		       mailrow.search_text(m.subject, m.from_name, m.from_address, m.sender_address, m.to_addresses, m.cc_addresses, m.reply_to, m.recipient_names,
		                           m.attachment_names, m.list_id, m."text") as anywhere,
		       ' ' || coalesce(mailrow.fold(m.subject), '') || ' ' as subject,
		       ' ' || coalesce(mailrow.fold_each(array[m.from_name, m.from_address, m.sender_address]), '') || ' ' as "from",
		       ' ' || coalesce(mailrow.fold(m.list_id), '') || ' ' as list,
		       ' ' || coalesce(mailrow.fold_each(mailrow.file_names(m.attachment_names)), '') || ' ' as filename,
		       ' ' || (select coalesce(string_agg(mailrow.fold_each(array[l.name, l.address]), ' | ') filter (where l.field = 'to'), '') from mailrow.message_addresses l where (l.account_id, l.message) = (m.account_id, m.id)) || ' ' as "to",
		       ' ' || (select coalesce(string_agg(mailrow.fold_each(array[l.name, l.address]), ' | ') filter (where l.field = 'cc'), '') from mailrow.message_addresses l where (l.account_id, l.message) = (m.account_id, m.id)) || ' ' as cc
		from mailrow.deliveries d join mailrow.messages m on (m.account_id, m.id) = (d.account_id, d.message)`)
	return b
}

// anyTerm makes a term of a query, and what it means in SQL on table obvious.
func anyTerm(numbers *rand.Rand) (query, sql string) {
	words := strings.NewReplacer("«", " ", "\n", " ").Replace(strings.TrimSpace(odd(numbers, 1+numbers.IntN(2)*numbers.IntN(3))))
	if strings.Trim(words, ` ,.—…'|-«_/`+"\u00a0\u200b😀") == "" {
		words = "the"
	}
	value, after := `"`+words+`"`, "' '"
	if numbers.IntN(4) == 0 {
		value, after = value+"*", "''"
	}
	field := "anywhere"
	switch n := numbers.IntN(16); {
	case n < 6:
		field = []string{"subject", "from", "to", "cc", "list", "filename"}[n]
		query = field + ":" + value
	case n == 6:
		return "has:attachment", "attachment"
	case n == 7:
		return "in:archive", "mailbox = 1"
	case n == 8:
		return "account:ann@example.com", "account_id = 1"
	case n == 9:
		return "after:20d", "received_at >= now() - interval '20 days'"
	default:
		query = value
	}
	return query, fmt.Sprintf(`strpos(%s, ' ' || mailrow.fold('%s') || %s) > 0`, pgx.Identifier{field}.Sanitize(), strings.ReplaceAll(words, "'", "''"), after)
}

func anyQuery(numbers *rand.Rand, depth int) (query, sql string) {
	query, sql = anyTerm(numbers)
	if depth > 0 && numbers.IntN(6) == 0 {
		query, sql = anyQuery(numbers, depth-1)
		query = "(" + query + ")"
	}
	if numbers.IntN(5) == 0 {
		query, sql = "-"+query, "not ("+sql+")"
	}
	for range numbers.IntN(3) {
		more, moreSQL := anyTerm(numbers)
		if numbers.IntN(3) == 0 {
			return "(" + query + ") or " + more, "(" + sql + " or " + moreSQL + ")"
		}
		query, sql = query+" "+more, sql+" and "+moreSQL
	}
	return query, sql
}

// Whatever is asked, search() finds what a look at every mail finds, and no reader what
// is of others, in the same order, whether all, the newest few or the newest are asked for.
func TestSearchFindsWhatIsThere(t *testing.T) {
	ctx := context.Background()
	numbers := rand.New(rand.NewPCG(13, 14))
	b := oddMail(t, numbers, needs.Times(700, 20_000))
	bob := b.role(t, "bob", "login")
	b.exec(t, `select mailrow.grant_account($1, 'bob@example.com')`, bob)
	reader := b.as(t, bob)
	found := 0
	for range needs.Times(60, 3000) {
		query, sql := anyQuery(numbers, 2)
		rows, err := b.conn.Query(ctx, `select id, account_id = 2 from public.obvious where `+sql+` order by received_at desc, id desc`, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var want, bobs []int64
		var id int64
		var his bool
		if _, err := pgx.ForEachRow(rows, []any{&id, &his}, func() error {
			want = append(want, id)
			if his {
				bobs = append(bobs, id)
			}
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		found += min(len(want), 1)
		limit := []int{0, 1, 20, 150}[numbers.IntN(4)]
		check := func(who string, b *box, want []int64) {
			t.Helper()
			if limit > 0 {
				want = want[:min(limit, len(want))]
			}
			results, err := search.Search(ctx, b.conn, query, search.Options{Limit: limit})
			if err != nil {
				t.Fatalf("%q: %v", query, err)
			}
			var got []int64
			for _, r := range results {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s finds by %q, limit %d, %d mails %v, and there are %d %v", who, query, limit, len(got), got, len(want), want)
			}
		}
		check("the superuser", b, want)
		check("bob", reader, bobs)
	}
	t.Logf("found something %d times", found)
	if found == 0 {
		t.Error("nothing was ever found")
	}
}
