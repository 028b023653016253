package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/store/search"
)

// relation is a table with all that belongs to it, in bytes.
type relation struct {
	Name                 string
	Heap, Toast, Indexes int64
}

// measureDisk stores sets of mail, each in a database of its own, indexes all for
// the search, and asks the server how much room that takes.
func measureDisk(ctx context.Context, r *report.Report, srv *server.Server, c *mail.Set) error {
	sets := []struct {
		name   string
		mails  [][]byte
		target float64
	}{
		{"mailing list with attachments", c.List, 0.75},
		{"single mails, ham and spam", c.Rest, 1.4},
	}
	if c.Made {
		sets = sets[:1]
		sets[0].name, sets[0].mails, sets[0].target = "made mails", c.Mails, 1.4
	}
	for _, set := range sets {
		relations, err := stored(ctx, srv, set.mails)
		if err != nil {
			return err
		}
		raw := float64(mail.Total(set.mails))
		t := report.Table{Title: "Disk: " + set.name, Columns: []string{"MB", "rows", "TOAST", "indexes", "all", "÷ raw"},
			Notes: fmt.Sprintf("%d mails of %.1f MB in one mailbox, indexed for the search, after vacuum full.", len(set.mails), raw/1e6)}
		var sum relation
		line := func(x relation) {
			all := x.Heap + x.Toast + x.Indexes
			t.Add(x.Name, report.Format(float64(x.Heap)/1e6, 1), report.Format(float64(x.Toast)/1e6, 1), report.Format(float64(x.Indexes)/1e6, 1),
				report.Format(float64(all)/1e6, 1), report.Format(float64(all)/raw, 3))
		}
		for _, x := range relations {
			if float64(x.Heap+x.Toast+x.Indexes) > raw/1000 {
				line(x)
			}
			sum.Heap, sum.Toast, sum.Indexes = sum.Heap+x.Heap, sum.Toast+x.Toast, sum.Indexes+x.Indexes
		}
		sum.Name = "all"
		line(sum)
		r.Tables = append(r.Tables, t)
		r.Goals = append(r.Goals, report.Goal{What: "disk, indexes and search and all ÷ raw bytes: " + set.name, Target: set.target,
			Got: float64(sum.Heap+sum.Toast+sum.Indexes) / raw})
	}
	return nil
}

// stored delivers mail to a new database and gives the relations there.
func stored(ctx context.Context, srv *server.Server, mails [][]byte) ([]relation, error) {
	dsn, err := srv.Migrated(ctx)
	if err != nil {
		return nil, err
	}
	var stores []storer
	for range 4 {
		store, shut, err := deliveryStorer(ctx, server.As(dsn, server.Role))
		if err != nil {
			return nil, err
		}
		defer shut()
		stores = append(stores, store)
	}
	if _, err := pass(ctx, stores, mails); err != nil {
		return nil, err
	}
	err = server.With(ctx, dsn, func(conn *pgx.Conn) error {
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

func sizes(ctx context.Context, dsn string) (found []relation, err error) {
	err = server.With(ctx, dsn, func(conn *pgx.Conn) error {
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
