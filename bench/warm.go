package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"mailrow/bench/floor"
	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/message"
	"mailrow/store"
)

// storer stores one mail on a connection of its own.
type storer func(ctx context.Context, raw []byte) error

// measureWarm stores mail over connections that stay open, all of it in one
// mailbox. A pass stores every mail of the sample once; passes of deliveries
// and of bare inserts take turns. It gives the time of a delivery over one connection.
func measureWarm(ctx context.Context, r *report.Report, srv *server.Server, passes int, sample [][]byte) (one time.Duration, err error) {
	t := report.Table{Title: "Warm connections, one process, one mailbox",
		Columns: []string{"connections", "deliveries/s", "bare inserts/s", "ratio of medians", "p10 of ratios", "p90 of ratios"},
		Notes:   "A delivery is message.Parse and store.Deliver; a bare insert is one prepared statement. p10 and p90 are of the ratios of neighbouring passes."}
	targets := map[int]float64{1: 0.35, 8: 0.22}
	for _, n := range []int{1, 8, 32} {
		deliveries, inserts, ratios, err := warmRates(ctx, srv, n, passes, sample)
		if err != nil {
			return 0, err
		}
		if n == 1 {
			one = time.Duration(float64(time.Second) / deliveries.Median())
		}
		ratio := deliveries.Median() / inserts.Median()
		t.Add(fmt.Sprint(n), report.Format(deliveries.Median(), 0), report.Format(inserts.Median(), 0),
			report.Format(ratio, 2), report.Format(ratios.P10(), 2), report.Format(ratios.At(0.9), 2))
		if target := targets[n]; target > 0 {
			r.Goals = append(r.Goals, report.Goal{What: fmt.Sprintf("rate ÷ bare inserts, warm connections: %d", n),
				Target: target, AtLeast: true, Got: ratio})
		}
	}
	r.Tables = append(r.Tables, t)
	return one, nil
}

func warmRates(ctx context.Context, srv *server.Server, n, passes int, sample [][]byte) (deliveries, inserts, ratios report.Series, err error) {
	ours, bare := make([]storer, n), make([]storer, n)
	var closers []func()
	defer func() {
		for _, shut := range closers {
			shut()
		}
	}()
	for i := range n {
		var shut func()
		if ours[i], shut, err = deliveryStorer(ctx, srv.Role); err != nil {
			return nil, nil, nil, err
		}
		closers = append(closers, shut)
		if bare[i], shut, err = floor.Inserter(ctx, srv.Role); err != nil {
			return nil, nil, nil, err
		}
		closers = append(closers, shut)
	}
	// The first pass fills caches and does not count.
	for i := range passes + 1 {
		var rates [2]float64
		for j := range rates {
			which := (i + j) % 2
			if rates[which], err = pass(ctx, [2][]storer{ours, bare}[which], sample); err != nil {
				return nil, nil, nil, err
			}
		}
		if i > 0 {
			deliveries = append(deliveries, rates[0])
			inserts = append(inserts, rates[1])
			ratios = append(ratios, rates[0]/rates[1])
		}
	}
	return deliveries, inserts, ratios, nil
}

// pass stores every mail once, whichever connection is free, and gives the
// mails per second.
func pass(ctx context.Context, over []storer, mails [][]byte) (rate float64, err error) {
	var next atomic.Int64
	ended := make(chan error, len(over))
	start := time.Now()
	for _, store := range over {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(mails) {
					ended <- nil
					return
				}
				if err := store(ctx, mail.Unique(mails[i])); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	for range over {
		err = errors.Join(err, <-ended)
	}
	return float64(len(mails)) / time.Since(start).Seconds(), err
}

const warmRecipient = "warm@example.org"

func deliveryStorer(ctx context.Context, dsn string) (storer, func(), error) {
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	conn, err := store.Connect(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.Prepare(ctx); err != nil {
		return nil, nil, err
	}
	sender := "sender@example.net"
	return func(ctx context.Context, raw []byte) error {
		_, err := conn.Deliver(ctx, &store.Delivery{
			Raw: raw, Message: message.Parse(raw),
			Envelope: &message.Envelope{
				Source: "pipe", Sender: &sender, ClientHelo: "relay.example.net", ClientProtocol: "ESMTP", QueueID: "4XyZ1",
				Recipients: []message.Recipient{{Address: warmRecipient}},
			},
			Lookups: []store.Lookup{{Address: warmRecipient, Base: warmRecipient}},
		})
		return err
	}, func() { conn.Close(ctx) }, nil
}
