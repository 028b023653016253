package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// relation is a table with all that belongs to it, in bytes.
type relation struct {
	Name                 string
	Heap, Toast, Indexes int64
}

// measureDisk stores the whole corpus in a database of its own and asks the
// server how much room that takes.
func measureDisk(ctx context.Context, r *report, srv *server, c *mailSet) error {
	var dsn string
	if err := srv.life.try(func() { dsn = srv.cluster.Database(srv.life) }); err != nil {
		return err
	}
	if err := prepare(ctx, dsn); err != nil {
		return err
	}
	var stores []storer
	for range 4 {
		store, shut, err := deliveryStorer(ctx, as(dsn, deliverRole))
		if err != nil {
			return err
		}
		defer shut()
		stores = append(stores, store)
	}
	if _, err := pass(ctx, stores, c.mails); err != nil {
		return err
	}
	relations, err := sizes(ctx, dsn)
	if err != nil {
		return err
	}
	t := table{title: "Disk", columns: []string{"MB", "rows", "TOAST", "indexes", "all", "÷ raw"}}
	raw := float64(c.bytes())
	var sum relation
	line := func(x relation) {
		all := x.Heap + x.Toast + x.Indexes
		t.add(x.Name, format(float64(x.Heap)/1e6, 1), format(float64(x.Toast)/1e6, 1), format(float64(x.Indexes)/1e6, 1),
			format(float64(all)/1e6, 1), format(float64(all)/raw, 3))
	}
	for _, x := range relations {
		line(x)
		sum.Heap, sum.Toast, sum.Indexes = sum.Heap+x.Heap, sum.Toast+x.Toast, sum.Indexes+x.Indexes
	}
	sum.Name = "all"
	line(sum)
	t.notes = fmt.Sprintf("%d mails of %.1f MB in one mailbox.", len(c.mails), raw/1e6)
	r.tables = append(r.tables, t)
	r.goals = append(r.goals, goal{what: "disk, indexes and all ÷ raw bytes", target: 1.3,
		got: float64(sum.Heap+sum.Toast+sum.Indexes) / raw})
	return nil
}

func sizes(ctx context.Context, dsn string) (found []relation, err error) {
	err = with(ctx, dsn, func(conn *pgx.Conn) error {
		// An index on TOAST counts as TOAST.
		rows, err := conn.Query(ctx, `
			select relname, pg_table_size(c.oid) - toast, toast, pg_indexes_size(c.oid)
			from pg_class c
			cross join lateral (select coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) as toast) t
			where relnamespace = 'mailrow'::regnamespace and relkind = 'r'
			order by pg_total_relation_size(c.oid) desc`)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
		return err
	})
	return found, err
}
