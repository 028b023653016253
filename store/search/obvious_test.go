package search_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
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
	const apart = 8 // ids, of which the index knows ranges of 1024
	for n := 1; n <= mails; n++ {
		id, age := n*apart, mails-n+numbers.IntN(20)
		if numbers.IntN(4) == 0 {
			age += numbers.IntN(mails / 2)
		}
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
			values ($1, $2, $2, $3, now() - $4 * interval '1 hour', 'x', 'user@example.org')`, account, id, numbers.IntN(2), age)
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
	b.exec(t, `update mailrow.messages set language = null where id % 97 = 0 or id > $1`, (mails-5)*apart)
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
	for range needs.Times(40, 3000) {
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

// Of a character that known_characters() names it is known what becomes of it: a letter
// with an accent, nothing, or no ASCII; those that become two letters it names only
// beside words that do not have the two.
func TestKnownCharacters(t *testing.T) {
	b := newBox(t)
	type character struct{ Character, Folded string }
	rows, err := b.conn.Query(context.Background(), `
		select c, f
		from (select chr(i) as c, mailrow.fold('x' || chr(i) || 'y') as f from generate_series(128, 131071) i where i not between 55296 and 57343) s
		where c ~ mailrow.known_characters('x') and f ~ '^x(|.*[a-z0-9].*)y$'
		  and (length(f) > 3 or lower('x' || c || 'y' collate "C") !~ ('^' || mailrow.accented_pattern(f) || '$'))`)
	if err != nil {
		t.Fatal(err)
	}
	double, err := pgx.CollectRows(rows, pgx.RowToStructByPos[character])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range double {
		known := deliverytest.Rows(t, b.dsn, fmt.Sprintf("select '%s' ~ mailrow.known_characters('%s')", c.Character, c.Folded))
		if len(c.Folded) != 4 || known[0] != "f" {
			t.Errorf("%s becomes %q, and is known beside that: %s", c.Character, c.Folded, known[0])
		}
	}
	if len(double) != 8 {
		t.Errorf("%d characters become two letters, want 8", len(double))
	}
}

// A phrase is found where folding the text and the phrase finds it, whatever both hold.
func TestPhrasesAreFoundAsIfFolded(t *testing.T) {
	ctx := context.Background()
	b := newBox(t)
	numbers := rand.New(rand.NewPCG(15, 16))
	found := 0
	for range needs.Times(500, 200_000) {
		text, phrase := odd(numbers, 1+numbers.IntN(12)), odd(numbers, 1+numbers.IntN(3))
		if cut := []rune(text); numbers.IntN(2) == 0 {
			from := numbers.IntN(len(cut))
			phrase = string(cut[from:min(len(cut), from+1+numbers.IntN(12))])
		}
		prefix := numbers.IntN(3) == 0
		var folded, sql string
		if err := b.conn.QueryRow(ctx, `select mailrow.fold($1), mailrow.says_sql(mailrow.fold($1), $2, 'array[null, $1, ''x'']')`, phrase, prefix).Scan(&folded, &sql); err != nil {
			t.Fatal(err)
		}
		if folded == "" {
			continue
		}
		var says, holds bool
		if err := b.conn.QueryRow(ctx, `select `+sql+`, strpos(' ' || mailrow.fold($1) || ' ', mailrow.phrase($2, $3)) > 0`,
			pgx.QueryExecModeExec, text, folded, prefix).Scan(&says, &holds); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if says != holds {
			t.Errorf("%q in %q, prefix %v: %v, folded %v", phrase, text, prefix, says, holds)
		}
		if holds {
			found++
		}
	}
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

// A mail whose fields hold more than an index takes is indexed and found all the same.
func TestFieldsWithoutEnd(t *testing.T) {
	b := newBox(t)
	var many strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, "word%d ", i)
	}
	b.deliver(t, "bob@example.org", "long", "From: ann@example.com\nSubject: "+many.String()+"\n\nx\n")
	b.deliver(t, "bob@example.org", "one word", "From: ann@example.com\nSubject: "+strings.Repeat("abcdefghij", 90)+"\n\nx\n")
	b.deliver(t, "bob@example.org", "short", "From: bob@example.com\nSubject: word77777\n\nx\n")
	b.index(t)
	for query, want := range map[string]string{
		"subject:word77777":                                    "long short",
		"subject:word77777 from:ann":                           "long",
		"subject:nothing":                                      "",
		"subject:" + strings.Repeat("abcdefghij", 90):          "one word",
		"subject:" + strings.Repeat("abcdefghij", 89) + "*":    "one word",
		"subject:" + strings.Repeat("abcdefghij", 6):           "",
		"subject:" + strings.Repeat("abcdefghij", 6) + "* -zz": "one word",
	} {
		for _, limit := range []int{0, 20} {
			if got := strings.Join(b.find(t, query, search.Options{Limit: limit}), " "); got != want {
				t.Errorf("%.60s, limit %d: got %q, want %q", query, limit, got, want)
			}
		}
	}
}
