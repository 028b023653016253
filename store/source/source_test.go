package source_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/message"
	"mailrow/store"
	"mailrow/store/archive/archivetest"
	"mailrow/store/source"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var ctx = context.Background()

func connect(t *testing.T) (conn *pgx.Conn, dsn string) {
	t.Helper()
	dsn = deliverytest.Database(t)
	return archivetest.Connect(t, dsn), dsn
}

func text(s string) *string { return &s }

func add(t *testing.T, conn *pgx.Conn, s source.Source) int64 {
	t.Helper()
	id, err := source.Add(ctx, conn, s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// folder is one of a new source.
func folder(t *testing.T, conn *pgx.Conn) source.Folder {
	t.Helper()
	id := add(t, conn, source.Source{URI: "maildir:///" + t.Name(), Account: text("ann")})
	f, err := source.OpenFolder(ctx, conn, id, "INBOX", "maildir:///a", "keep")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestSources(t *testing.T) {
	conn, _ := connect(t)
	named := source.Source{Name: text("ann"), URI: "maildir:///a", Account: text("ann"), Every: time.Minute}
	named.ID = add(t, conn, named)
	exec(t, conn, `insert into mailrow.sources (uri, recipient) values ('mbox:///b', 'bob@example.org')`)
	add(t, conn, source.Source{Name: text("bob"), URI: "mbox:///b", Account: text("bob")})
	add(t, conn, source.Source{Name: text("carol"), URI: "mh:///c", Account: text("carol")})
	add(t, conn, source.Source{Name: text("cecil"), URI: "mh:///c", Account: text("cecil")})

	for asked, want := range map[string]string{"ann": "ann", "maildir:///a": "ann", "bob": "bob", "mbox:///b": "mbox:///b", "cecil": "cecil"} {
		got, err := source.Find(ctx, conn, asked, asked)
		if err != nil || got.String() != want {
			t.Errorf("find %s: %v, %v", asked, got, err)
		}
	}
	for asked, want := range map[string]error{"mh:///c": source.ErrAmbiguous, "dora": source.ErrNotFound} {
		if got, err := source.Find(ctx, conn, asked, asked); !errors.Is(err, want) {
			t.Errorf("find %s: %v, %v; want %v", asked, got, err, want)
		}
	}
	got, err := source.Find(ctx, conn, "ann", "")
	named.Due = true
	if diff := cmp.Diff(named, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, s := range []source.Source{{Name: text("ann"), URI: "mbox:///x", Account: text("x")}, {URI: "mbox:///b", Account: text("x")}} {
		if _, err := source.Add(ctx, conn, s); !errors.Is(err, source.ErrExists) {
			t.Errorf("%v: %v, want ErrExists", s, err)
		}
	}
	if err := source.Pause(ctx, conn, named.ID, true); err != nil {
		t.Fatal(err)
	}
	active, err := source.Active(ctx, conn)
	if err != nil || len(active) != 4 {
		t.Errorf("active: %v, %v", active, err)
	}
	adopted, err := source.Adopt(ctx, conn, source.Source{URI: "mbox:///b", Account: text("x")})
	again, errs := source.Adopt(ctx, conn, source.Source{URI: "babyl:///new", Account: text("x")})
	if err != nil || errs != nil || adopted == 0 || again == adopted {
		t.Errorf("adopt: %d, %d, %v, %v", adopted, again, err, errs)
	}
	if err := source.Remove(ctx, conn, named.ID); err != nil {
		t.Fatal(err)
	}
	list, err := source.List(ctx, conn)
	var names []string
	for _, s := range list {
		names = append(names, s.String())
	}
	if diff := cmp.Diff([]string{"babyl:///new", "bob", "carol", "cecil", "mbox:///b"}, names); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// Each wrong value is refused by the constraint that says what is wrong.
func TestTableSaysWhatIsWrong(t *testing.T) {
	conn, _ := connect(t)
	for want, s := range map[string]source.Source{
		"sources_name_is_no_uri":           {Name: text("a://b"), URI: "mbox:///a", Account: text("a")},
		"sources_name_not_empty":           {Name: text(""), URI: "mbox:///a", Account: text("a")},
		"sources_uri_has_a_scheme":         {URI: "/a", Account: text("a")},
		"sources_uri_has_no_password":      {URI: "imap://ann:secret@host/", Account: text("a")},
		"sources_has_account_or_recipient": {URI: "mbox:///a"},
		"sources_inbox_is_in_capitals":     {URI: "mbox:///a", Account: text("a"), Mailbox: text("Inbox")},
		"sources_recipient_not_empty":      {URI: "mbox:///a", Recipient: text("")},
		"sources_every_at_least_a_second":  {URI: "mbox:///a", Account: text("a"), Every: time.Millisecond},
	} {
		_, err := source.Add(ctx, conn, s)
		var bad *source.ValueError
		if !errors.As(err, &bad) || bad.Constraint != want {
			t.Errorf("%s: got %v", want, err)
		}
	}
	add(t, conn, source.Source{URI: "mbox:///vmail/ann:b@example.com/mail", Account: text("a")})
	add(t, conn, source.Source{URI: "imap://ann%40example.com@host:993?folder=a:b@c", Account: text("a")})
}

// deliver stores a mail of a folder.
func deliver(t *testing.T, conn *store.Conn, f source.Folder, id, raw string) (store.Result, error) {
	t.Helper()
	return deliverFrom(t, conn, f.Origin(id, nil, ""), raw)
}

func deliverFrom(t *testing.T, conn *store.Conn, origin *store.Origin, raw string) (store.Result, error) {
	t.Helper()
	results, err := conn.Deliver(ctx, &store.Delivery{
		Raw: []byte(raw), Message: message.Parse([]byte(raw)),
		Envelope: &message.Envelope{Source: "maildir", Recipients: []message.Recipient{{Address: "ann"}}},
		Lookups:  []store.Lookup{{Address: "ann", Base: "ann"}}, Account: "ann", Origin: origin,
	})
	if err != nil {
		return store.Result{}, err
	}
	return results[0], nil
}

const attached = "Content-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\naGVsbG8gd29ybGQsIGhlbGxvIHdvcmxkLCBoZWxsbyB3b3JsZCwgaGVsbG8gd29ybGQ=\n"

// A mail and its state come together or not at all, whichever function stores it.
func TestDeliveryWritesTheStateInItsTransaction(t *testing.T) {
	for _, prepared := range []bool{false, true} {
		t.Run(fmt.Sprint(prepared), func(t *testing.T) {
			conn, dsn := connect(t)
			deliverer := store.On(conn.PgConn())
			if prepared {
				if err := deliverer.Prepare(ctx); err != nil {
					t.Fatal(err)
				}
			}
			f := folder(t, conn)
			// The first makes the account, the second is the common case.
			for i, raw := range []string{"Subject: 1\n\nx\n", "Subject: 2\n\nx\n", "Subject: 2\n\nx\n", attached} {
				id := fmt.Sprint("mail", i)
				result, err := deliver(t, deliverer, f, id, raw)
				if err != nil {
					t.Fatal(err)
				}
				want := []string{fmt.Sprintf("stored|%d", result.ID)}
				if diff := cmp.Diff(want, deliverytest.Rows(t, dsn, `select state, mail from mailrow.source_messages where id = $1`, id)); diff != "" {
					t.Error(diff)
				}
				if (result.Outcome == store.Redelivered) != (i == 2) {
					t.Errorf("%d: %+v", i, result)
				}
			}
			nowhere := f
			nowhere.ID = 999
			for _, raw := range []string{"Subject: 3\n\nx\n", attached + "more\n"} {
				if _, err := deliver(t, deliverer, nowhere, "x", raw); err == nil {
					t.Error("stored for a folder that is not there")
				}
			}
			if diff := cmp.Diff([]string{"3|4"}, deliverytest.Rows(t, dsn,
				`select (select count(*) from mailrow.mail), (select count(*) from mailrow.source_messages)`)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKnown(t *testing.T) {
	conn, dsn := connect(t)
	f := folder(t, conn)
	deliverer := store.On(conn.PgConn())
	odd := []string{"plain", "b\\ackslash", "b\\\\ackslash", "not \xff text", `not \xff text`, "nul\x00", "n\u00fcl",
		strings.Repeat("long", 1000), strings.Repeat("long", 1000) + "er", strings.Repeat("\xff", 999)}
	for _, id := range odd[1:] {
		if _, err := deliver(t, deliverer, f, id, "Subject: "+fmt.Sprintf("%q", id)+"\n\nx\n"); err != nil {
			t.Fatal(err)
		}
	}
	known, err := f.Known(ctx, conn, append(odd, "other"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range odd[1:] {
		if diff := cmp.Diff(source.Known{State: source.Stored}, known[id]); diff != "" {
			t.Errorf("%.20q: %s", id, diff)
		}
	}
	if len(known) != len(odd)-1 {
		t.Errorf("%d known of %d", len(known), len(odd)-1)
	}
	if err := f.CarriedOut(ctx, conn, odd[1:3], "delete"); err != nil {
		t.Fatal(err)
	}
	stamped := f.Origin("stamped", []byte("0123456789abcdef"), "1")
	if _, err := deliverFrom(t, deliverer, stamped, "Subject: stamped\n\nx\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Stamp(ctx, conn, stamped.ID, "2"); err != nil {
		t.Fatal(err)
	}
	known, err = f.Known(ctx, conn, []string{stamped.ID})
	if diff := cmp.Diff(map[string]source.Known{stamped.ID: {State: source.Stored, Content: stamped.Content, Stamp: "2"}}, known); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for n := range 3 {
		quarantined, err := f.Fail(ctx, conn, "plain", errors.New("no \xff luck"), 3)
		if err != nil || quarantined != (n == 2) {
			t.Fatalf("failure %d: %v, %v", n, quarantined, err)
		}
	}
	if quarantined, err := f.Fail(ctx, conn, odd[3], errors.New("too late"), 1); err != nil || quarantined {
		t.Errorf("what is stored failed: %v, %v", quarantined, err)
	}
	known, err = f.Known(ctx, conn, odd[:4])
	want := map[string]source.Known{"plain": {State: source.Quarantined}, odd[1]: {State: source.Stored, Done: "delete"}, odd[2]: {State: source.Stored, Done: "delete"}, odd[3]: {State: source.Stored}}
	if diff := cmp.Diff(want, known); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	list, err := source.Trouble(ctx, conn, f.Source)
	wantTrouble := []source.Troubled{{Source: "maildir:///" + t.Name(), Folder: "INBOX", ID: "plain", Quarantined: true, Tries: 3, Reason: "no \ufffd luck"}}
	if diff := cmp.Diff(wantTrouble, list, cmpopts.IgnoreFields(source.Troubled{}, "ChangedAt")); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}

	// All but two are gone, one of them comes again, and a week later the rest is forgotten.
	if err := f.Gone(ctx, conn, 2, func(id string) bool { return id == "plain" || id == "n\u00fcl" }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Known(ctx, conn, odd[1:2]); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `update mailrow.source_messages set gone_at = gone_at - interval '8 days'`)
	if err := f.Listed(ctx, conn, "r1", false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`b\\ackslash`, "n\u00fcl", "plain"}, deliverytest.Rows(t, dsn, `select id from mailrow.source_messages order by id collate "C"`)); diff != "" {
		t.Error(diff)
	}
	if mails, err := source.Retry(ctx, conn, f.Source); err != nil || mails != 1 {
		t.Errorf("retry: %d, %v", mails, err)
	}
	known, err = f.Known(ctx, conn, odd[:1])
	if diff := cmp.Diff(map[string]source.Known{"plain": {State: source.Failed}}, known); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestRevisionHoldsForItsPlaceAndPolicy(t *testing.T) {
	conn, dsn := connect(t)
	f := folder(t, conn)
	if _, err := deliver(t, store.On(conn.PgConn()), f, "1", "Subject: 1\n\nx\n"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ place, policy, revision, rows string }{
		{"maildir:///a", "keep", "r", "1"},
		{"maildir:///a", "delete", "", "1"},
		{"maildir:///a", "delete", "r", "1"},
		{"maildir:///b", "delete", "", "0"},
	} {
		got, err := source.OpenFolder(ctx, conn, f.Source, "INBOX", step.place, step.policy)
		if err == nil && got.Revision == "" && step.revision != "" {
			if err = f.Listed(ctx, conn, step.revision, false); err == nil {
				got, err = source.OpenFolder(ctx, conn, f.Source, "INBOX", step.place, step.policy)
			}
		}
		if err != nil || got.Revision != step.revision || got.ID != f.ID {
			t.Errorf("%+v: %+v, %v", step, got, err)
		}
		if diff := cmp.Diff([]string{step.rows}, deliverytest.Rows(t, dsn, `select count(*) from mailrow.source_messages`)); diff != "" {
			t.Errorf("%+v: %s", step, diff)
		}
	}
}

func TestOneRunAtATime(t *testing.T) {
	conn, dsn := connect(t)
	id := add(t, conn, source.Source{URI: "mbox:///a", Account: text("a")})
	other := archivetest.Connect(t, dsn)
	run, err := source.Begin(ctx, conn, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Begin(ctx, other, id); !errors.Is(err, source.ErrBusy) {
		t.Errorf("a second run: %v", err)
	}
	// Its poller loses the connection, comes again, and goes on.
	conn.Close(ctx)
	conn = archivetest.Connect(t, dsn)
	if err := run.GoOn(ctx, conn, source.Count{Seen: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Begin(ctx, other, id); !errors.Is(err, source.ErrBusy) {
		t.Errorf("a second run: %v", err)
	}
	// It dies: the next may begin as soon as the server knows.
	conn.Close(ctx)
	conn = archivetest.Connect(t, dsn)
	var next source.Run
	for range 100 {
		if next, err = source.Begin(ctx, other, id); !errors.Is(err, source.ErrBusy) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := run.GoOn(ctx, conn, source.Count{}); !errors.Is(err, source.ErrTakenOver) {
		t.Errorf("the first goes on: %v", err)
	}
	if err := run.End(ctx, conn, source.Count{}, nil, nil); err != nil {
		t.Errorf("the first ends: %v", err)
	}
	if err := next.End(ctx, other, source.Count{Seen: 5, Stored: 1, Duplicate: 2, Failed: 3, Done: 4, Bytes: 6}, errors.New("no luck"), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"3|the poller died", "5|no luck"}, deliverytest.Rows(t, dsn,
		`select seen, error from mailrow.source_runs where finished_at is not null order by run_id`)); diff != "" {
		t.Error(diff)
	}
	if list, err := source.Active(ctx, conn); err != nil || list[0].Due || list[0].Failures != 1 {
		t.Errorf("due after a failure: %v, %v", list, err)
	}
	// A poller that hangs holds it until its lease ends.
	if _, err = source.Begin(ctx, other, id); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `update mailrow.source_runs set alive_until = now() where finished_at is null`)
	if _, err := source.Begin(ctx, conn, id); err != nil {
		t.Errorf("after the lease: %v", err)
	}
	if _, err := source.Begin(ctx, conn, 999); !errors.Is(err, source.ErrNotFound) {
		t.Errorf("no source: %v", err)
	}
}

// A later and later next run after failures, with none at once, and the table's own
// interval after success.
func TestBackOff(t *testing.T) {
	conn, dsn := connect(t)
	id := add(t, conn, source.Source{URI: "mbox:///a", Account: text("a"), Every: time.Minute})
	wait := func(failed error) float64 {
		run, err := source.Begin(ctx, conn, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := run.End(ctx, conn, source.Count{}, failed, nil); err != nil {
			t.Fatal(err)
		}
		var seconds float64
		if err := conn.QueryRow(ctx, `select extract(epoch from next_run_at - now())::float8 from mailrow.sources`).Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return seconds
	}
	for n, around := range []float64{60, 120, 240, 480, 960, 1920, 3600, 3600} {
		if got := wait(errors.New("no luck")); got < 0.7*around || got > 1.3*around {
			t.Errorf("after %d failures: %.0f s, want about %.0f", n+1, got, around)
		}
	}
	if got := wait(nil); got < 55 || got > 61 {
		t.Errorf("after success: %.0f s", got)
	}
	if diff := cmp.Diff([]string{"0|NULL|f"}, deliverytest.Rows(t, dsn, `select failures, last_error, running from mailrow.source_status`)); diff != "" {
		t.Error(diff)
	}
}

// A folder that is only listed in part is listed whole once a day, unless nothing
// ever changes in it.
func TestListedInPart(t *testing.T) {
	conn, dsn := connect(t)
	f := folder(t, conn)
	for i, step := range []struct {
		revision string
		inPart   bool
		later    string // how much
		want     string // the revision that is given then
		since    string // whether a whole listing is counted down to
	}{
		{"r1", false, "2 days", "r1", "f"},
		{"r1", true, "2 days", "r1", "f"},
		{"r2", true, "23 hours", "r2", "t"},
		{"r2", true, "0", "r2", "t"},
		{"r3", true, "2 hours", "", "f"},
		{"", true, "23 hours", "", "t"},
		{"r4", false, "2 days", "r4", "f"},
	} {
		if err := f.Listed(ctx, conn, step.revision, step.inPart); err != nil {
			t.Fatal(err)
		}
		exec(t, conn, `update mailrow.source_folders set in_part_since = in_part_since - '`+step.later+`'::interval`)
		got, err := source.OpenFolder(ctx, conn, f.Source, "INBOX", "maildir:///a", "keep")
		if err != nil || got.Revision != step.want {
			t.Errorf("%d: revision %q, %v, want %q", i, got.Revision, err, step.want)
		}
		if diff := cmp.Diff([]string{step.since}, deliverytest.Rows(t, dsn, `select in_part_since is not null from mailrow.source_folders`)); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
}
