package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailrow/store/search"
)

// relation is a table with all that belongs to it, in bytes.
type relation struct {
	Name                 string
	Heap, Toast, Indexes int64
}

// measureDisk stores sets of mail, each in a database of its own, indexes all for
// the search, and asks the server how much room that takes.
func measureDisk(ctx context.Context, r *report, srv *server, c *mailSet) error {
	sets := []struct {
		name   string
		mails  [][]byte
		target float64
	}{
		{"mailing list with attachments", c.list, 0.75},
		{"single mails, ham and spam", c.rest, 1.4},
	}
	if c.made {
		sets = sets[:1]
		sets[0].name, sets[0].mails, sets[0].target = "made mails", c.mails, 1.4
	}
	for _, set := range sets {
		relations, err := stored(ctx, srv, set.mails)
		if err != nil {
			return err
		}
		raw := float64(total(set.mails))
		t := table{title: "Disk: " + set.name, columns: []string{"MB", "rows", "TOAST", "indexes", "all", "÷ raw"},
			notes: fmt.Sprintf("%d mails of %.1f MB in one mailbox, indexed for the search, after vacuum full.", len(set.mails), raw/1e6)}
		var sum relation
		line := func(x relation) {
			all := x.Heap + x.Toast + x.Indexes
			t.add(x.Name, format(float64(x.Heap)/1e6, 1), format(float64(x.Toast)/1e6, 1), format(float64(x.Indexes)/1e6, 1),
				format(float64(all)/1e6, 1), format(float64(all)/raw, 3))
		}
		for _, x := range relations {
			if float64(x.Heap+x.Toast+x.Indexes) > raw/1000 {
				line(x)
			}
			sum.Heap, sum.Toast, sum.Indexes = sum.Heap+x.Heap, sum.Toast+x.Toast, sum.Indexes+x.Indexes
		}
		sum.Name = "all"
		line(sum)
		r.tables = append(r.tables, t)
		r.goals = append(r.goals, goal{what: "disk, indexes and search and all ÷ raw bytes: " + set.name, target: set.target,
			got: float64(sum.Heap+sum.Toast+sum.Indexes) / raw})
	}
	return nil
}

// stored delivers mail to a new database and gives the relations there.
func stored(ctx context.Context, srv *server, mails [][]byte) ([]relation, error) {
	dsn, err := srv.migrated(ctx)
	if err != nil {
		return nil, err
	}
	var stores []storer
	for range 4 {
		store, shut, err := deliveryStorer(ctx, as(dsn, deliverRole))
		if err != nil {
			return nil, err
		}
		defer shut()
		stores = append(stores, store)
	}
	if _, err := pass(ctx, stores, mails); err != nil {
		return nil, err
	}
	err = with(ctx, dsn, func(conn *pgx.Conn) error {
		if _, err := search.Index(ctx, conn, func(int64) {}); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "vacuum full")
		return err
	})
	if err != nil {
		return nil, err
	}
	return sizes(ctx, dsn)
}

// migrated makes another database on the server.
func (s *server) migrated(ctx context.Context) (dsn string, err error) {
	if err := s.life.try(func() { dsn = s.cluster.Database(s.life) }); err != nil {
		return "", err
	}
	return dsn, prepare(ctx, dsn)
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
