package poller

import (
	"context"
	"errors"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/poller/sasl"
	"mailrow/store/source"
)

// A run that is told to stop has neither failed nor got to its end: what is known of
// its source stays, and the next one is due at once.
func TestStoppedRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p, s, dsn := oddPoller(t, &odd{begin: stop})
	deliverytest.Rows(t, dsn, `select mailrow.raise_alarm(source_id, 'failing', 'away') is null from mailrow.sources`)
	deliverytest.Rows(t, dsn, `update mailrow.sources set failures = 3, last_error = 'away', next_run_at = now() + interval '1 hour' returning 1`)
	if count, err := p.Run(ctx, s); err != nil || count.Seen != 0 {
		t.Fatalf("%+v, %v", count, err)
	}
	if got := deliverytest.Rows(t, dsn, `select failures, last_error, succeeded_at is null, next_run_at <= now(), alarms::text from mailrow.sources join (select source_id, alarms from mailrow.source_status) a using (source_id)`); len(got) != 1 || got[0] != "3|away|t|t|{failing}" {
		t.Errorf("source: %q", got)
	}
	if got := deliverytest.Rows(t, dsn, `select finished_at is not null, error from mailrow.source_runs`); len(got) != 1 || got[0] != "t|stopped before its end" {
		t.Errorf("runs: %q", got)
	}
}

// Who was let in is not denied, whatever goes wrong then.
func TestAlarmOfLoginEnds(t *testing.T) {
	p, s, dsn := oddPoller(t, &odd{begin: func() {}})
	open := p.Open
	alarms := func(want string, opened error) {
		t.Helper()
		p.Open = func(ctx context.Context, s source.Source, u URI) (Source, error) {
			if opened != nil {
				return nil, opened
			}
			return open(ctx, s, u)
		}
		_, _ = p.Run(t.Context(), s)
		if got := deliverytest.Rows(t, dsn, `select alarms::text from mailrow.source_status`); len(got) != 1 || got[0] != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	alarms("{authentication}", &sasl.DeniedError{User: "ann"})
	alarms("{authentication}", errors.New("away"))
	s.URI += "?folder=Missing&after=seen" // which it cannot
	alarms("{failing}", nil)
}
