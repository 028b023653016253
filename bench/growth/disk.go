package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/report"
	"mailrow/bench/server"
)

// relation is a table without its indexes, or an index.
type relation struct {
	Name  string
	Index bool
	Bytes int64
}

const (
	allTables  = "all tables"
	allIndexes = "all indexes"
	everything = "all"
)

// perMail gives the bytes a mail of each relation, and of all of them.
func (a *archive) perMail(ctx context.Context) (map[string]float64, error) {
	var found []relation
	err := server.With(ctx, a.dsn, func(conn *pgx.Conn) error {
		// TOAST counts as its table.
		rows, err := conn.Query(ctx, `
			select relname, relkind = 'i', case relkind when 'i' then pg_relation_size(oid) else pg_table_size(oid) end
			from pg_class where relnamespace = 'mailrow'::regnamespace and relkind in ('r', 'i')`)
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	bytes, mails := map[string]float64{}, float64(a.imported+a.delivered)
	for _, r := range found {
		bytes[r.Name] = float64(r.Bytes) / mails
		bytes[everything] += bytes[r.Name]
		if r.Index {
			bytes[allIndexes] += bytes[r.Name]
		} else {
			bytes[allTables] += bytes[r.Name]
		}
	}
	return bytes, nil
}

// measureDisk gives the bytes a mail of each relation that has a hundredth of all or
// more in the last archive, where the largest is first.
func measureDisk(ctx context.Context, archives []*archive) ([]*trait, error) {
	note("disk")
	named := map[string]*trait{}
	for i, a := range archives {
		bytes, err := a.perMail(ctx)
		if err != nil {
			return nil, fmt.Errorf("look at the disk: %w", err)
		}
		for name, b := range bytes {
			if named[name] == nil {
				named[name] = &trait{name: name, series: make([]report.Series, len(archives))}
			}
			named[name].series[i] = report.Series{b}
		}
	}
	last := func(t *trait) float64 { return t.series[len(archives)-1].Median() }
	least := last(named[everything]) / 100
	maps.DeleteFunc(named, func(_ string, t *trait) bool { return last(t) < least })
	return slices.SortedFunc(maps.Values(named), func(a, b *trait) int {
		return cmp.Or(cmp.Compare(last(b), last(a)), cmp.Compare(a.name, b.name))
	}), nil
}
