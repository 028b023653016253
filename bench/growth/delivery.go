package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/internal/scratch"
	"mailrow/message"
	"mailrow/store"
)

// deliverer stores a mail; any number of goroutines may call it.
type deliverer func(ctx context.Context, d *store.Delivery) error

const (
	perPass = 200 // mails

	// warmth is one in how many mails of an archive it takes before rates are measured. A mail
	// brings some five keys that are random, hashes and ids, to pages of indexes of which
	// an archive has one for 33 mails: so many mails have met nearly all of them.
	warmth = 40

	manyConnections = 8
	manyClients     = 64 // of the pool, as the sessions of a daemon
)

// warmUp brings an archive to the state of one in use: the server has just been started,
// and knows none of its pages, each of which it has to read, and to log whole once.
// It gives the rate until then.
func warmUp(ctx context.Context, a *archive) (rate float64, err error) {
	note("deliveries: %d mails get warm", a.mails)
	deliver, shut, err := pooled(ctx, server.As(a.dsn, server.Role))
	if err != nil {
		return 0, err
	}
	defer shut()
	return pass(ctx, manyClients, deliver, a.next(a.mails/warmth))
}

// measureDeliveries measures how many mails a second each archive takes, once it is
// warm, and until then.
func measureDeliveries(ctx context.Context, archives []*archive, rounds int) (all []*trait, cold *trait, err error) {
	cold = &trait{name: "8 connections, as mailrow lmtp, after a restart"}
	for _, a := range archives {
		rate, err := warmUp(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		cold.series = append(cold.series, report.Series{rate})
	}
	for _, way := range []struct {
		name    string
		clients int
		open    func(context.Context, string) (deliverer, func(), error)
	}{
		{"1 connection", 1, func(ctx context.Context, dsn string) (deliverer, func(), error) { return connections(ctx, dsn, 1) }},
		{"8 connections, mail by mail", manyConnections, func(ctx context.Context, dsn string) (deliverer, func(), error) {
			return connections(ctx, dsn, manyConnections)
		}},
		{"8 connections, as mailrow lmtp", manyClients, pooled},
	} {
		note("deliveries: %s", way.name)
		deliver := make([]deliverer, len(archives))
		for i, a := range archives {
			var shut func()
			if deliver[i], shut, err = way.open(ctx, server.As(a.dsn, server.Role)); err != nil {
				return nil, nil, err
			}
			defer shut()
		}
		t := &trait{name: way.name}
		t.series, err = turns(ctx, archives, rounds, func(ctx context.Context, which, _ int) (float64, error) {
			return pass(ctx, way.clients, deliver[which], archives[which].next(perPass))
		})
		if err != nil {
			return nil, nil, err
		}
		all = append(all, t)
	}
	return all, cold, nil
}

// next makes the mails that come after those that the archive has.
func (a *archive) next(n int) []*store.Delivery {
	mails := make([]*store.Delivery, n)
	for i := range mails {
		number := a.mails + a.delivered
		mails[i] = deliveryOf(number, a.made.mail(number))
		a.delivered++
	}
	return mails
}

// pass delivers mails, whichever client is free, and gives how many a second.
func pass(ctx context.Context, clients int, deliver deliverer, mails []*store.Delivery) (rate float64, err error) {
	var next atomic.Int64
	ended := make(chan error, clients)
	start := time.Now()
	for range clients {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(mails) {
					ended <- nil
					return
				}
				mails[i].Message = message.Parse(mails[i].Raw)
				if err := deliver(ctx, mails[i]); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	for range clients {
		err = errors.Join(err, <-ended)
	}
	return float64(len(mails)) / time.Since(start).Seconds(), err
}

// connections deliver mail by mail.
func connections(ctx context.Context, dsn string, n int) (deliverer, func(), error) {
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	free := make(chan *store.Conn, n)
	for range n {
		conn, err := store.Connect(ctx, config)
		if err == nil {
			err = conn.Prepare(ctx)
		}
		if err != nil {
			return nil, nil, err
		}
		free <- conn
	}
	deliver := func(ctx context.Context, d *store.Delivery) error {
		conn := <-free
		defer func() { free <- conn }()
		_, err := conn.Deliver(ctx, d)
		return err
	}
	return deliver, func() {
		for range n {
			(<-free).Close(ctx)
		}
	}, nil
}

// pooled stores what waits together.
func pooled(_ context.Context, dsn string) (deliverer, func(), error) {
	config, err := store.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	pool := store.NewPool(config, manyConnections, true)
	return func(ctx context.Context, d *store.Delivery) error {
		_, err := pool.Deliver(ctx, d)
		return err
	}, pool.Close, nil
}

const processesPerRound = 5

// measureProcesses measures mailrow-deliver, a process per mail from exec to exit.
func measureProcesses(ctx context.Context, archives []*archive, rounds int, program string) (*trait, error) {
	note("mailrow-deliver")
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	defer dir.Remove()
	t := &trait{name: "mailrow-deliver, exec to exit"}
	t.series, err = turns(ctx, archives, rounds*processesPerRound, func(ctx context.Context, which, _ int) (float64, error) {
		a := archives[which]
		file := filepath.Join(dir.Path, "mail.eml")
		if err := os.WriteFile(file, a.next(1)[0].Raw, 0o644); err != nil {
			return 0, err
		}
		stdin, err := os.Open(file)
		if err != nil {
			return 0, err
		}
		defer stdin.Close()
		cmd := exec.CommandContext(ctx, program, "-f", "sender@example.net", "--queue-id=4XyZ1", "--", archiveOwner)
		cmd.Env, cmd.Dir = server.Environment(server.As(a.dsn, server.Role)), "/"
		cmd.Stdin, cmd.Stderr = stdin, os.Stderr
		took, err := milliseconds(cmd.Run)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", program, err)
		}
		return took, nil
	})
	return t, err
}
