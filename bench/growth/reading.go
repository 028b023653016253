package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/report"
)

// question is what a reader asks, in several forms of one kind.
type question struct {
	name string
	sql  string
	args func(a *archive, n int) []any // in its n-th form
}

const newestSQL = `
	select id, received_at, mailbox, from_name, from_address, subject, attachments
	from mailrow.mail where account = $1 and mailbox = $2 order by received_at desc limit 50`

const newestFunction = `
	select id, received_at, mailbox, from_name, from_address, subject, attachments from mailrow.newest($1, $2)`

// smallMailbox has littleMail mails from all over the archive.
const (
	smallMailbox = "Drafts"
	littleMail   = 20
)

// questions are asked of an archive beside the searches.
var questions = []question{
	{"the newest 50 of a mailbox", newestSQL, func(_ *archive, n int) []any { return []any{archiveOwner, mailboxOf(n)} }},
	{"the same by newest()", newestFunction, func(_ *archive, n int) []any { return []any{archiveOwner, mailboxOf(n)} }},
	{"all of a mailbox of 20, by newest()", newestFunction, func(*archive, int) []any { return []any{archiveOwner, smallMailbox} }},
	{"a mail with its text", `select subject, text from mailrow.mail where message_id = $1`,
		func(a *archive, n int) []any { return []any{messageID(a.anyMail(n))} }},
	{"its conversation", `select t.id, t.received_at, t.from_name, t.reply_text
		from mailrow.thread((select id from mailrow.mail where message_id = $1)) t`,
		func(a *archive, n int) []any { return []any{messageID(a.anyMail(n))} }},
	{"10 mails from the queue, and done", `select mailrow.ack_all('growth', array(select mail_id from mailrow.claim('growth', 10)))`,
		func(*archive, int) []any { return nil }},
}

// anyMail gives the number of a mail from all over the archive.
func (a *archive) anyMail(n int) int { return int(draw(n, drawAny) % uint64(a.mails)) }

const searchSQL = `select id, received_at, from_address, subject, excerpt from mailrow.search($1, 20)`

// searchOf is a question of queries that are of one kind.
func searchOf(name string, queries []string) question {
	return question{name, searchSQL, func(_ *archive, n int) []any { return []any{queries[n%len(queries)]} }}
}

// searches are queries of all kinds, of words by how much of the mail has them.
func searches(p *prose) []question {
	words := p.vocabulary()
	join := func(format string, lists ...[]string) (queries []string) {
		for i := range perKind {
			args := make([]any, len(lists))
			for k, list := range lists {
				args[k] = list[(i+k)%len(list)]
			}
			queries = append(queries, fmt.Sprintf(format, args...))
		}
		return queries
	}
	return []question{
		searchOf("search: a word of one mail", referenceQueries()),
		searchOf("search: a rare word", words.rare),
		searchOf("search: a usual word", words.usual),
		searchOf("search: a common word", words.common),
		searchOf("search: two words", join("%s %s", words.usual, words.common)),
		searchOf("search: a usual and a rare word", join("%s %s", words.usual, words.rare)),
		searchOf("search: a phrase", words.phrases),
		searchOf("search: from:", fromQueries()),
		searchOf("search: subject:", join("subject:%s", words.usual)),
		searchOf("search: word and condition", join("%s has:attachment in:INBOX before:2024", words.usual)),
		searchOf("search: or, not", join("(%s or %s) -%s", words.usual, words.rare, words.common)),
		searchOf("search: nothing has it", join("%sqqzz", words.rare)),
	}
}

const perKind = 6 // queries

// vocabulary is words by how much of the mail has them, and phrases.
type vocabulary struct{ common, usual, rare, phrases []string }

var plainWord = regexp.MustCompile(`^[a-z]{4,20}$`)

// vocabulary looks at some mails for words that a fifth of them has or more, that one
// in a hundred has, and that hardly any has; and at lines for phrases.
func (p *prose) vocabulary() vocabulary {
	const looked = 3000
	made, in := &madeArchive{prose: p, mails: looked}, map[string]int{}
	for n := range looked {
		_, text, _ := strings.Cut(string(made.mail(n).raw), "\n\n")
		seen := map[string]bool{}
		for word := range strings.FieldsSeq(text) {
			if !seen[word] && plainWord.MatchString(word) {
				in[word]++
				seen[word] = true
			}
		}
	}
	pick := func(least, most int) (words []string) {
		for word, mails := range in {
			if least <= mails && mails <= most {
				words = append(words, word)
			}
		}
		slices.SortFunc(words, func(a, b string) int { return cmp.Or(cmp.Compare(hash(a), hash(b)), cmp.Compare(a, b)) })
		return words[:min(len(words), perKind)]
	}
	return vocabulary{common: pick(looked/5, looked), usual: pick(looked/130, looked/75), rare: pick(1, 1),
		phrases: p.phrases(func(word string) bool { return in[word] <= looked/500 })}
}

// hash orders words in a way that has nothing to do with them.
func hash(word string) (h uint64) {
	for _, c := range []byte(word) {
		h = draw(int(h)+int(c), drawAny)
	}
	return h
}

// phrases are three words that follow each other in real mail, and one of which one
// mail in five hundred has, or fewer: what one of common words costs is known
// (docs/search.md).
func (p *prose) phrases(isSeldom func(string) bool) (queries []string) {
	numbers := rand.New(rand.NewPCG(11, 12))
	for len(queries) < perKind {
		words := p.lines[numbers.IntN(len(p.lines))][:3]
		plain := !slices.ContainsFunc(words, func(word string) bool { return !plainWord.MatchString(word) })
		if plain && slices.ContainsFunc(words, isSeldom) {
			queries = append(queries, `"`+strings.Join(words, " ")+`"`)
		}
	}
	return queries
}

func fromQueries() (queries []string) {
	for n := range perKind {
		queries = append(queries, "from:"+address(person(n)))
	}
	return queries
}

// referenceQueries are for what no other mail has.
func referenceQueries() (queries []string) {
	for n := range perKind {
		queries = append(queries, reference(n))
	}
	return queries
}

// measureReading asks each archive all questions in turn, and looks how long that takes
// and how much of it the server's processor works.
func measureReading(ctx context.Context, archives []*archive, rounds int, p *prose) (all, work []*trait, err error) {
	conns := make([]*pgx.Conn, len(archives))
	for i, a := range archives {
		if conns[i], err = pgx.Connect(ctx, a.dsn); err != nil {
			return nil, nil, err
		}
		defer conns[i].Close(ctx)
		if err := a.prepareReading(ctx, conns[i]); err != nil {
			return nil, nil, fmt.Errorf("prepare an archive of %d mails: %w", a.mails, err)
		}
	}
	for _, q := range slices.Concat(questions, searches(p)) {
		note("%s", q.name)
		wall, busy := &trait{name: q.name}, &trait{name: q.name, series: make([]report.Series, len(archives))}
		wall.series, err = turns(ctx, archives, rounds*perKind, func(ctx context.Context, which, round int) (float64, error) {
			before, err := processor(conns[which])
			if err != nil {
				return 0, err
			}
			took, err := milliseconds(func() error {
				_, err := conns[which].Exec(ctx, q.sql, q.args(archives[which], round)...)
				return err
			})
			if err != nil {
				return 0, err
			}
			after, err := processor(conns[which])
			if round > 0 {
				busy.series[which] = append(busy.series[which], after-before)
			}
			return took, err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", q.name, err)
		}
		all, work = append(all, wall), append(work, busy)
	}
	return all, work, nil
}

// processor is for how many milliseconds a connection's backend has run, as Linux tells
// its owner.
func processor(conn *pgx.Conn) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", conn.PgConn().PID()))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	nanoseconds, err := strconv.ParseFloat(first, 64)
	return nanoseconds / 1e6, err
}

// prepareReading makes a consumer that has seen nothing yet, and the small mailbox.
func (a *archive) prepareReading(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `select mailrow.drop_consumer('growth'), mailrow.consumer('growth')`); err != nil {
		return err
	}
	made, err := conn.Exec(ctx, `
		insert into mailrow.mailboxes (account_id, name) select account_id, $1 from mailrow.accounts on conflict do nothing`, smallMailbox)
	if err != nil || made.RowsAffected() == 0 {
		return err
	}
	ids := make([]string, littleMail)
	for i := range ids {
		ids[i] = messageID(a.mails / littleMail * i)
	}
	_, err = conn.Exec(ctx, `
		update mailrow.deliveries d set mailbox = b.mailbox_id
		from mailrow.mailboxes b, mailrow.mail m
		where b.name = $1 and m.message_id = any ($2) and d.account_id = m.account_id and d.id = m.id`, smallMailbox, ids)
	return err
}

// together joins traits.
func together(name string, traits []*trait) *trait {
	t := &trait{name: name, series: make([]report.Series, len(traits[0].series))}
	for _, one := range traits {
		for i, s := range one.series {
			t.series[i] = append(t.series[i], s...)
		}
	}
	return t
}
