package kinds_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/poller"
	"mailrow/poller/kinds"
	"mailrow/poller/pollertest"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

// Small mails are stored together: in few transactions, with what is known of each. One
// that the database refuses keeps none of the others, and a copy is no other mail.
func TestMailsAreStoredTogether(t *testing.T) {
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	_, err := conn.Exec(t.Context(), `
		create table transactions (of bigint primary key);
		create function note_transaction() returns trigger language plpgsql security definer as $$
		begin
			if new.id like '%refused%' and new.state = 'stored' then
				raise exception 'not this one';
			end if;
			insert into public.transactions values (txid_current()) on conflict do nothing;
			return null;
		end $$;
		create trigger note_transaction after insert on mailrow.source_messages for each row execute function note_transaction()`)
	if err != nil {
		t.Fatal(err)
	}
	box := pollertest.Maildir(t)
	const mails = 300
	for i := range mails {
		box.Add(t, fmt.Appendf(nil, "Subject: %d\nMessage-ID: <%d@example.com>\n\nhello\n", i, i%(mails-10)))
	}
	for range 2 {
		box.Add(t, []byte("Subject: twice\n\nthe same\n"))
	}
	account := "ann"
	of := source.Source{URI: box.URI() + "?after=delete", Account: &account}
	if of.ID, err = source.Add(t.Context(), conn, of); err != nil {
		t.Fatal(err)
	}
	run := func(want source.Count) {
		t.Helper()
		p := poller.Poller{
			Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
			Open:    kinds.Opener{}.Open,
			Config:  deliver.DefaultConfig(),
			Warn:    func(_ source.Source, err error) { t.Log(err) },
		}
		count, err := p.Run(t.Context(), of)
		count.Bytes = 0
		if diff := cmp.Diff(want, count); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	run(source.Count{Seen: mails + 2, Stored: mails + 1, Duplicate: 1, Done: mails + 2})
	if diff := cmp.Diff([]string{"few"}, deliverytest.Rows(t, dsn,
		`select case when count(*) between 1 and 20 then 'few' else count(*)::text end from transactions`)); diff != "" {
		t.Errorf("transactions for %d mails: %s", mails, diff)
	}
	want := []string{fmt.Sprintf("%d|%d|%d", mails+2, mails+1, mails+1)}
	got := deliverytest.Rows(t, dsn, `
		select count(*), count(distinct s.mail), count(distinct d.id) from mailrow.source_messages s
		join mailrow.deliveries d on d.id = s.mail
		join mailrow.messages m on (m.account_id, m.id) = (d.account_id, d.message)
		where s.content is not null and s.state = 'done'`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	for i := range 10 {
		box.Add(t, fmt.Appendf(nil, "Subject: more %d\n\nhello\n", i))
	}
	box.(interface {
		AddAs(t testing.TB, name string, mail []byte)
	}).AddAs(t, "1.refused.host", []byte("Subject: refused\n\nhello\n"))
	run(source.Count{Seen: 11, Stored: 10, Failed: 1, Done: 10})
	if diff := cmp.Diff([]string{"1"}, deliverytest.Rows(t, dsn, `select count(*) from mailrow.source_messages where state = 'failed'`)); diff != "" {
		t.Error(diff)
	}
}
