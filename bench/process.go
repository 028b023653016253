package main

import (
	"context"
	"math/rand/v2"

	"mailrow/bench/mail"
	"mailrow/bench/process"
	"mailrow/bench/report"
	"mailrow/bench/server"
)

// programs are bare and psql, then mailrow-deliver, then its variants.
func programs(ctx context.Context, s settings, srv *server.Server, w *process.Place) ([]*process.Program, error) {
	bare, err := w.Build(ctx, "bench/bare")
	if err != nil {
		return nil, err
	}
	unguarded, err := w.Build(ctx, "cmd/mailrow-deliver")
	if err != nil {
		return nil, err
	}
	env := server.Environment(srv.Role)
	psql, err := process.PSQL(env)
	if err != nil {
		return nil, err
	}
	list := []*process.Program{
		{Name: "bare Go process", Args: []string{bare}, Env: env},
		psql,
		process.Deliver("mailrow-deliver", s.deliver, env, "one"),
		process.Deliver("… without the supervisor", unguarded, env, "two"),
		process.Deliver("… into another mailbox", s.deliver, env, "three", "--mailbox=Lists"),
	}
	if srv.Pooled != "" {
		list = append(list, process.Deliver("… through PgBouncer", s.deliver, server.Environment(srv.Pooled), "four"))
	}
	return list, nil
}

// measureProcesses runs one process per mail, from exec to exit. Every program
// stores every mail, in an order that changes with the mail; the variants of
// mailrow-deliver store it in accounts of their own, so it is new to each.
func measureProcesses(ctx context.Context, r *report.Report, srv *server.Server, s settings, sample [][]byte) error {
	w, err := process.New(ctx)
	if err != nil {
		return err
	}
	defer w.Remove()
	list, err := programs(ctx, s, srv, w)
	if err != nil {
		return err
	}
	// The first deliveries make accounts and mailboxes.
	if err := w.Put(mail.Make(rand.New(rand.NewPCG(5, 6)), 5000)); err != nil {
		return err
	}
	for _, p := range list {
		if err := w.Time(ctx, p); err != nil {
			return err
		}
		p.Wall, p.CPU = nil, nil
	}
	for i, raw := range sample {
		if err := w.Put(raw); err != nil {
			return err
		}
		for j := range list {
			if err := w.Time(ctx, list[(i+j)%len(list)]); err != nil {
				return err
			}
		}
	}
	bare, psql, ours := list[0], list[1], list[2]
	t := report.Table{Title: "One process per mail, exec to exit",
		Columns: []string{"", "median ms", "p10 ms", "CPU ms", "× bare", "× psql", "p10 × bare", "p10 × psql"},
		Notes:   "CPU is the client's, not the server's. Ratios of medians and of p10."}
	for _, p := range list {
		t.Add(p.Name, report.Format(1000*p.Wall.Median(), 2), report.Format(1000*p.Wall.P10(), 2), report.Format(1000*p.CPU.Median(), 2),
			report.Format(p.Wall.Median()/bare.Wall.Median(), 2), report.Format(p.Wall.Median()/psql.Wall.Median(), 2),
			report.Format(p.Wall.P10()/bare.Wall.P10(), 2), report.Format(p.Wall.P10()/psql.Wall.P10(), 2))
	}
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals,
		report.Goal{What: "process per mail, median ÷ bare Go process", Target: 1.15, Got: ours.Wall.Median() / bare.Wall.Median()},
		report.Goal{What: "process per mail, median ÷ psql", Target: 1, Got: ours.Wall.Median() / psql.Wall.Median()})
	return nil
}

// measureMemory takes the peak of a small and of the largest mail.
func measureMemory(ctx context.Context, r *report.Report, srv *server.Server, s settings) error {
	w, err := process.New(ctx)
	if err != nil {
		return err
	}
	defer w.Remove()
	all, err := programs(ctx, s, srv, w)
	if err != nil {
		return err
	}
	list := all[:3]
	t := report.Table{Title: "Peak memory of the process", Columns: []string{"MB", "10 KB mail", "64 MiB mail"}}
	peaks := make([][2]float64, len(list))
	numbers := rand.New(rand.NewPCG(7, 8))
	for k, size := range []int{10_000, 64 << 20} {
		for range 5 {
			if err := w.Put(mail.Make(numbers, size)); err != nil {
				return err
			}
			for i, p := range list {
				peak, err := w.Peak(ctx, p)
				if err != nil {
					return err
				}
				peaks[i][k] = max(peaks[i][k], peak)
			}
			if size > 1<<20 {
				break // its pages outweigh the chance
			}
		}
	}
	for i, p := range list {
		t.Add(p.Name, report.Format(peaks[i][0], 1), report.Format(peaks[i][1], 1))
	}
	const MB, size = 1e6, 64 << 20
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals,
		report.Goal{What: "peak memory, 10 KB mail", Target: 12, Got: peaks[2][0], Unit: " MB"},
		report.Goal{What: "peak memory, 64 MiB mail: 3 × size + 16 MB", Target: 3*size/MB + 16, Got: peaks[2][1], Unit: " MB"})
	return nil
}
