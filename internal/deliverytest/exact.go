package deliverytest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/corpus"
	"mailrow/internal/mtatest"
)

// Server is a mail server that runs a recorder in front of the program.
type Server interface {
	Send(t testing.TB, from string, to []string, msg []byte)
	WaitResults(t testing.TB, n int, timeout time.Duration) []mtatest.Result
	Bounces() int
}

// sessions are the SMTP sessions at a time: Exim waits 200 ms in each for a
// client that hangs up.
const sessions = 16

// Exact sends all mails, each to a recipient of its own, such as m%d@row.test,
// and checks that every one has its row with the bytes that the server handed
// over. recipientOf reads a run's recipient.
func Exact(t *testing.T, s Server, r *mtatest.Recorder, dsn, to string, mails []corpus.Mail, recipientOf func(mtatest.Run) string) {
	t.Helper()
	recipient := func(i int) string { return fmt.Sprintf(to, i) }
	var all sync.WaitGroup
	for first := range sessions {
		all.Go(func() {
			for i := first; i < len(mails); i += sessions {
				s.Send(t, "s@sender.test", []string{recipient(i)}, mails[i].Raw)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for _, result := range s.WaitResults(t, len(mails), time.Minute) {
		if result.Status != "sent" {
			t.Errorf("%+v", result)
		}
	}
	if n := s.Bounces(); n != 0 {
		t.Errorf("%d bounces", n)
	}

	rows := stored(t, dsn)
	runs := r.Runs(t)
	if len(runs) != len(mails) {
		t.Errorf("%d runs for %d mails", len(runs), len(mails))
	}
	given := map[string][]byte{}
	for _, run := range runs {
		mail := run.Stdin
		if bytes.HasPrefix(mail, []byte("From ")) {
			_, mail, _ = bytes.Cut(mail, []byte("\n"))
		}
		given[recipientOf(run)] = mail
	}
	for i, mail := range mails {
		raws := rows[recipient(i)]
		switch got, want := raws, given[recipient(i)]; {
		case want == nil:
			t.Errorf("%s: the command did not run", mail.Name)
		case len(got) != 1:
			t.Errorf("%s: %d rows", mail.Name, len(got))
		case !bytes.Equal(got[0], want):
			at := 0
			for at < min(len(got[0]), len(want)) && got[0][at] == want[at] {
				at++
			}
			t.Errorf("%s: %d bytes in, %d bytes in its row, the first other one at %d: %.60q instead of %.60q",
				mail.Name, len(want), len(got[0]), at, got[0][at:], want[at:])
		}
		delete(rows, recipient(i))
	}
	for to := range rows {
		t.Errorf("mail for %q, who got none", to)
	}
}

// stored is the raw of every arrival, by recipient.
func stored(t *testing.T, dsn string) map[string][][]byte {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `select m.recipient, mailrow.raw(m.id) from mailrow.mail m`)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][][]byte{}
	var to string
	var raw []byte
	_, err = pgx.ForEachRow(rows, []any{&to, &raw}, func() error {
		all[to] = append(all[to], bytes.Clone(raw))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
