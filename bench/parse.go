package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/message"
	"mailrow/store/search"
)

// measureParsing reads all mail on one processor: bytes to message, text and
// all. perDelivery is what a delivery takes over one warm connection.
func measureParsing(r *report.Report, c *mail.Set, perDelivery time.Duration) {
	set, name := c.List, "mailing list with attachments"
	if c.Made {
		set, name = c.Mails, "made mails"
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var rates report.Series
	for range 5 {
		start := time.Now()
		for _, raw := range set {
			message.Parse(raw)
		}
		rates = append(rates, float64(mail.Total(set))/1e6/time.Since(start).Seconds())
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
	sizes := slices.Clone(c.Mails)
	slices.SortFunc(sizes, func(a, b []byte) int { return len(a) - len(b) })
	median := sizes[len(sizes)/2]
	const rounds = 2000
	start := time.Now()
	for range rounds {
		message.Parse(median)
	}
	one := time.Since(start) / rounds
	t := report.Table{Title: "Parsing, one processor", Columns: []string{"", ""}}
	t.Add("MB/s, "+name, report.Format(rates.Median(), 0))
	t.Add("MB allocated beyond half the mail, at the most", fmt.Sprintf("%.2f (mail of %.2f MB)", worst/1e6, float64(worstSize)/1e6))
	t.Add(fmt.Sprintf("µs, the median mail of %.1f KB", float64(len(median))/1e3), report.Format(float64(one.Nanoseconds())/1e3, 0))
	t.Add("µs, its delivery over one warm connection", report.Format(float64(perDelivery.Nanoseconds())/1e3, 0))
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals,
		report.Goal{What: "parsing, MB/s on one processor: " + name, Target: 100, AtLeast: true, Got: rates.Median()},
		report.Goal{What: "parsing ÷ all of a delivery, median mail", Target: 0.25, Got: float64(one) / float64(perDelivery)})
}

// measureSearch compares deliveries to a database with the index of the search
// and to one without, and tells what an indexer takes that works beside them.
func measureSearch(ctx context.Context, r *report.Report, srv *server.Server, passes int, sample [][]byte) error {
	const connections = 4
	var stores [3][]storer
	var databases [3]string
	for i := range stores {
		dsn, err := srv.Migrated(ctx)
		if err != nil {
			return err
		}
		databases[i] = dsn
		for range connections {
			store, shut, err := deliveryStorer(ctx, server.As(dsn, server.Role))
			if err != nil {
				return err
			}
			defer shut()
			stores[i] = append(stores[i], store)
		}
	}
	err := server.With(ctx, databases[0], func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop index mailrow.messages_by_word, mailrow.messages_by_field, mailrow.messages_to_index")
		return err
	})
	if err != nil {
		return err
	}
	var rates [3]report.Series
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
	t := report.Table{Title: "Deliveries beside the search, 4 connections", Columns: []string{"", "deliveries/s", "ratio"}}
	for i, name := range []string{"no index for the search", "with it", "with it, and mailrow index --watch at work"} {
		t.Add(name, report.Format(rates[i].Median(), 0), report.Format(rates[i].Median()/rates[0].Median(), 2))
	}
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals, report.Goal{What: "deliveries with the search ÷ without", Target: 0.9, AtLeast: true,
		Got: rates[1].Median() / rates[0].Median()})
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
