package source

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Channel is what a program listens on to hear at once when an alarm begins or ends.
const Channel = "mailrow_alarms"

// Alarm is what is wrong with a source for longer than one run.
type Alarm struct {
	ID      int64      `json:"source_id"`
	Source  string     `json:"source"`
	Account *string    `json:"account"`
	Kind    string     `json:"kind"` // authentication, failing, quarantined or silent
	Since   time.Time  `json:"since"`
	Until   *time.Time `json:"until"` // nil while it lasts
	Runs    int64      `json:"runs"`  // that found it so
	Reason  string     `json:"reason"`
}

// Alarms lists the alarms that last and, if all are asked for, those of the last 90
// days: of one source, or of all where it is 0. The oldest is first.
func Alarms(ctx context.Context, conn *pgx.Conn, source int64, all bool) ([]Alarm, error) {
	rows, err := conn.Query(ctx, `
		select source_id, name, account, kind, since, until, runs, reason from mailrow.alarms
		where ($1 = 0 or source_id = $1) and ($2 or until is null) order by since, source_id, kind`, source, all)
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Alarm])
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	return list, nil
}

// Health is how a source does, for a monitoring system.
type Health struct {
	Behind      time.Duration // since a run got to its end, or the source was made
	Quarantined int64         // mails that were given up
	Alarms      []string      // the kinds of those that last
}

// HealthOf gives the health of all sources that are not paused, by their ids.
func HealthOf(ctx context.Context, conn *pgx.Conn) (map[int64]Health, error) {
	rows, err := conn.Query(ctx, `
		select s.source_id, extract(epoch from now() - coalesce(s.succeeded_at, s.created_at))::float8,
		       (select count(*) from mailrow.source_messages m
		        where m.source_id = s.source_id and m.state in ('failed', 'quarantined') and m.state = 'quarantined' and m.gone_at is null),
		       array(select a.kind from mailrow.source_alarms a where a.source_id = s.source_id and a.until is null)
		from mailrow.sources s where s.state = 'active'`)
	if err != nil {
		return nil, fmt.Errorf("read health of sources: %w", err)
	}
	all := map[int64]Health{}
	var id int64
	var behind float64
	var h Health
	_, err = pgx.ForEachRow(rows, []any{&id, &behind, &h.Quarantined, &h.Alarms}, func() error {
		h.Behind = time.Duration(behind * float64(time.Second))
		all[id], h = h, Health{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read health of sources: %w", err)
	}
	return all, nil
}
