package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/message"
	"mailrow/store/search"
)

// measureParsing reads all mail on one processor: bytes to message, text and
// all. perDelivery is what a delivery takes over one warm connection.
func measureParsing(r *report, c *mailSet, perDelivery time.Duration) {
	set, name := c.list, "mailing list with attachments"
	if c.made {
		set, name = c.mails, "made mails"
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var rates series
	for range 5 {
		start := time.Now()
		for _, raw := range set {
			message.Parse(raw)
		}
		rates = append(rates, float64(total(set))/1e6/time.Since(start).Seconds())
	}
	worst, worstSize := 0.0, 0
	for _, raw := range set {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		message.Parse(raw)
		runtime.ReadMemStats(&after)
		if over := float64(after.TotalAlloc-before.TotalAlloc) - 0.5*float64(len(raw)); over > worst {
			worst, worstSize = over, len(raw)
		}
	}
	sizes := slices.Clone(c.mails)
	slices.SortFunc(sizes, func(a, b []byte) int { return len(a) - len(b) })
	median := sizes[len(sizes)/2]
	const rounds = 2000
	start := time.Now()
	for range rounds {
		message.Parse(median)
	}
	one := time.Since(start) / rounds
	t := table{title: "Parsing, one processor", columns: []string{"", ""}}
	t.add("MB/s, "+name, format(rates.median(), 0))
	t.add("MB allocated beyond half the mail, at the most", fmt.Sprintf("%.2f (mail of %.2f MB)", worst/1e6, float64(worstSize)/1e6))
	t.add(fmt.Sprintf("µs, the median mail of %.1f KB", float64(len(median))/1e3), format(float64(one.Nanoseconds())/1e3, 0))
	t.add("µs, its delivery over one warm connection", format(float64(perDelivery.Nanoseconds())/1e3, 0))
	r.tables = append(r.tables, t)
	r.goals = append(r.goals,
		goal{what: "parsing, MB/s on one processor: " + name, target: 100, atLeast: true, got: rates.median()},
		goal{what: "parsing ÷ all of a delivery, median mail", target: 0.25, got: float64(one) / float64(perDelivery)})
}

// measureSearch compares deliveries to a database with the index of the search
// and to one without, and tells what an indexer takes that works beside them.
func measureSearch(ctx context.Context, r *report, srv *server, passes int, sample [][]byte) error {
	const connections = 4
	var stores [3][]storer
	var databases [3]string
	for i := range stores {
		dsn, err := srv.migrated(ctx)
		if err != nil {
			return err
		}
		databases[i] = dsn
		for range connections {
			store, shut, err := deliveryStorer(ctx, as(dsn, deliverRole))
			if err != nil {
				return err
			}
			defer shut()
			stores[i] = append(stores[i], store)
		}
	}
	err := with(ctx, databases[0], func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop index mailrow.messages_by_word, mailrow.messages_to_index")
		return err
	})
	if err != nil {
		return err
	}
	var rates [3]series
	for i := range passes + 1 {
		for j := range stores {
			which := (i + j) % len(stores)
			stop := func() {}
			if which == 2 {
				stop = watch(ctx, databases[2])
			}
			rate, err := pass(ctx, stores[which], sample)
			stop()
			if err != nil {
				return err
			}
			if i > 0 {
				rates[which] = append(rates[which], rate)
			}
		}
	}
	t := table{title: "Deliveries beside the search, 4 connections", columns: []string{"", "deliveries/s", "ratio"}}
	for i, name := range []string{"no index for the search", "with it", "with it, and mailrow index --watch at work"} {
		t.add(name, format(rates[i].median(), 0), format(rates[i].median()/rates[0].median(), 2))
	}
	r.tables = append(r.tables, t)
	r.goals = append(r.goals, goal{what: "deliveries with the search ÷ without", target: 0.9, atLeast: true,
		got: rates[1].median() / rates[0].median()})
	return nil
}

// watch indexes as mailrow index --watch does, until it is stopped.
func watch(ctx context.Context, dsn string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		connect := func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) }
		if err := search.Watch(ctx, connect, func(int64) {}, func(error) {}); err != nil {
			note("indexer: " + err.Error())
		}
	}()
	return func() { cancel(); <-ended }
}
