package source_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"mailrow/store/source"
)

// Whether a run was denied.
var no, yes = new(false), new(true)

// look is a run that ends so.
func look(t *testing.T, conn *pgx.Conn, id int64, count source.Count, failed error, denied *bool) {
	t.Helper()
	run, err := source.Begin(ctx, conn, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.End(ctx, conn, count, failed, denied); err != nil {
		t.Fatal(err)
	}
}

// alarmed gives the kinds of the alarms that last, with how many runs found them.
func alarmed(t *testing.T, conn *pgx.Conn, id int64) string {
	t.Helper()
	list, err := source.Alarms(ctx, conn, id, false)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, a := range list {
		kinds = append(kinds, fmt.Sprint(a.Kind, a.Runs))
	}
	health, err := source.HealthOf(ctx, conn)
	if err != nil || len(health[id].Alarms) != len(list) {
		t.Errorf("health %v, %v; alarms %v", health[id], err, list)
	}
	return strings.Join(kinds, " ")
}

func TestAlarmsOfRuns(t *testing.T) {
	conn, _ := connect(t)
	id := add(t, conn, source.Source{Name: text("ann"), URI: "maildir:///a", Account: text("ann")})
	down, denied := errors.New("the server is away"), errors.New("log in: denied: check user and password")
	for i, step := range []struct {
		failed error
		denied *bool
		want   string
	}{
		{nil, no, ""},
		{down, nil, ""}, {down, nil, ""}, {down, nil, "failing1"}, {down, nil, "failing2"},
		{denied, yes, "authentication1"}, // the server is there again
		{denied, yes, "authentication2"},
		{down, nil, "authentication2 failing1"}, // nobody knows whether it would let us in
		{down, no, "failing2"},                  // it did, and went away then
		{nil, no, ""},
		{denied, yes, "authentication1"},
		{nil, no, ""},
	} {
		look(t, conn, id, source.Count{}, step.failed, step.denied)
		if got := alarmed(t, conn, id); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	all, err := source.Alarms(ctx, conn, id, true)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d alarms, %v", len(all), err)
	}
	for _, a := range all {
		want := down.Error()
		if a.Kind == "authentication" {
			want = denied.Error()
		}
		if a.Source != "ann" || *a.Account != "ann" || a.Reason != want || a.Until == nil || a.Until.Before(a.Since) {
			t.Errorf("%+v", a)
		}
	}
	// A poller of before calls the function of before.
	run, err := source.Begin(ctx, conn, id)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `select mailrow_polling.end_run($1, $2, 'old')`, id, run.ID)
	if s, err := source.Find(ctx, conn, "ann", ""); err != nil || s.Failures != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAlarmOfQuarantine(t *testing.T) {
	conn, _ := connect(t)
	f := folder(t, conn)
	for i, id := range []string{"1", "2"} {
		if _, err := f.Fail(ctx, conn, id, errors.New("unreadable"), 1); err != nil {
			t.Fatal(err)
		}
		look(t, conn, f.Source, source.Count{Failed: 1}, nil, no)
		if got, want := alarmed(t, conn, f.Source), fmt.Sprint("quarantined", i+1); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	list, err := source.Alarms(ctx, conn, 0, false)
	want := "given up: 2: mailrow source failed 'maildir:///" + t.Name() + "' says why, mailrow source retry"
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Reason, want) {
		t.Errorf("%v, %v; want %q", list, err, want)
	}
	if _, err := source.Retry(ctx, conn, f.Source); err != nil {
		t.Fatal(err)
	}
	look(t, conn, f.Source, source.Count{}, nil, no)
	if got := alarmed(t, conn, f.Source); got != "" {
		t.Errorf("after retry: %q", got)
	}
}

// history makes runs that stored mail, each so long ago, and one that found nothing.
func history(t *testing.T, conn *pgx.Conn, id int64, ago []time.Duration) {
	t.Helper()
	exec(t, conn, `
		insert into mailrow.source_runs (source_id, started_at, finished_at, alive_until, stored)
		select $1, now() - a, now() - a, now(), 1 from unnest($2::interval[]) a`, id, ago)
	look(t, conn, id, source.Count{}, nil, no)
}

// every gives n times, such a gap apart, the last of them so long ago.
func every(gap, last time.Duration, n int) (ago []time.Duration) {
	for i := range n {
		ago = append(ago, last+time.Duration(i)*gap)
	}
	return ago
}

const day = 24 * time.Hour

// office is when mail comes on five days of the week, from nine to five each half
// hour, for three weeks before a Friday evening; since is how long ago that was.
func office(since time.Duration) (ago []time.Duration) {
	for d := range 21 * day / day {
		if d%7 == 5 || d%7 == 6 { // the days before Friday are counted backwards
			continue
		}
		for half := range time.Duration(16) {
			ago = append(ago, since+d*day+half*30*time.Minute)
		}
	}
	return ago
}

func TestSilence(t *testing.T) {
	conn, _ := connect(t)
	for name, test := range map[string]struct {
		ago  []time.Duration
		want string
	}{
		"new":                                    {nil, ""},
		"a first import":                         {every(0, 20*day, 1), ""},
		"not for a week yet":                     {every(time.Hour, 12*time.Hour, 150), ""},
		"rarely used":                            {every(3*day, 9*day, 7), ""},
		"each hour, silent for two":              {every(time.Hour, 2*time.Hour, 200), ""},
		"each hour, silent for four":             {every(time.Hour, 4*time.Hour, 200), "silent1"},
		"each minute, silent for half an hour":   {every(time.Minute, 30*time.Minute, 12000), ""},
		"each minute, silent for an hour":        {every(time.Minute, 61*time.Minute, 12000), "silent1"},
		"each day, silent for two":               {every(day, 2*day, 20), ""},
		"each day, silent for four":              {every(day, 4*day, 20), "silent1"},
		"in the office, over night":              {office(16 * time.Hour), ""},
		"in the office, over the weekend":        {office(64 * time.Hour), ""},
		"in the office, but not on Monday":       {office(88 * time.Hour), ""},
		"in the office, but not until Wednesday": {office(112 * time.Hour), "silent1"},
	} {
		t.Run(name, func(t *testing.T) {
			id := add(t, conn, source.Source{URI: "maildir:///" + t.Name(), Account: text("ann")})
			history(t, conn, id, test.ago)
			if got := alarmed(t, conn, id); got != test.want {
				t.Fatalf("%q, want %q", got, test.want)
			}
			if test.want == "" {
				return
			}
			list, err := source.Alarms(ctx, conn, id, false)
			if err != nil || !strings.Contains(list[0].Reason, "no mail since 20") || !strings.Contains(list[0].Reason, "mailrow source test '"+list[0].Source+"'") {
				t.Errorf("%v, %v", list, err)
			}
			look(t, conn, id, source.Count{}, errors.New("away"), nil) // who cannot look does not know
			if got := alarmed(t, conn, id); got != test.want {
				t.Errorf("after a failed look: %q", got)
			}
			look(t, conn, id, source.Count{Duplicate: 1}, nil, no)
			if got := alarmed(t, conn, id); got != "" {
				t.Errorf("after mail: %q", got)
			}
		})
	}
}

// A program hears of alarms that begin and end, and of nothing between.
func TestAlarmsNotify(t *testing.T) {
	conn, dsn := connect(t)
	listener, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close(ctx)
	exec(t, listener, "listen "+source.Channel)
	id := add(t, conn, source.Source{Name: text("ann"), URI: "maildir:///a", Account: text("ann")})
	for range 3 {
		look(t, conn, id, source.Count{}, errors.New("no"), yes)
	}
	look(t, conn, id, source.Count{}, nil, no)
	look(t, conn, id, source.Count{}, nil, no)
	exec(t, conn, "notify "+source.Channel+", 'last'")
	var heard []string
	for range 3 {
		n, err := listener.WaitForNotification(ctx)
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, n.Payload)
	}
	want := []string{
		fmt.Sprintf(`{"kind": "authentication", "open": true, "source_id": %d}`, id),
		fmt.Sprintf(`{"kind": "authentication", "open": false, "source_id": %d}`, id),
		"last",
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error(diff)
	}
}

func TestLag(t *testing.T) {
	conn, _ := connect(t)
	id := add(t, conn, source.Source{Name: text("ann"), URI: "maildir:///a", Account: text("ann"), Every: time.Minute})
	lag := func() (seconds float64) {
		t.Helper()
		err := conn.QueryRow(ctx, `select extract(epoch from lag)::float8 from mailrow.source_status where source_id = $1`, id).Scan(&seconds)
		if err != nil {
			t.Fatal(err)
		}
		return seconds
	}
	if got := lag(); got != 0 {
		t.Errorf("of a new source: %v", got)
	}
	exec(t, conn, `update mailrow.sources set created_at = now() - interval '11 minutes'`)
	if got := lag(); got < 600 || got > 700 {
		t.Errorf("of one that nobody looked into: %v", got)
	}
	look(t, conn, id, source.Count{}, errors.New("away"), nil)
	if got := lag(); got < 600 {
		t.Errorf("after a run that failed: %v", got)
	}
	look(t, conn, id, source.Count{}, nil, no)
	if got := lag(); got != 0 {
		t.Errorf("after a run: %v", got)
	}
	exec(t, conn, `update mailrow.sources set succeeded_at = now() - interval '3 minutes'`)
	if got := lag(); got < 120 || got > 200 {
		t.Errorf("three minutes after a run: %v", got)
	}
	health, err := source.HealthOf(ctx, conn)
	if behind := health[id].Behind; err != nil || behind < 3*time.Minute || behind > 5*time.Minute {
		t.Errorf("behind %v, %v", behind, err)
	}
}
