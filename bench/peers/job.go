package main

import (
	"context"
	"fmt"

	"mailrow/bench/chart"
	"mailrow/bench/process"
	"mailrow/bench/report"
	"mailrow/bench/usage"
)

// job is a program that stores many mails in one run.
type job struct {
	name    string
	ours    bool
	missing string
	mails   int
	odd     int   // mails among them, at most, that it may take for none
	servers []int // processes that work for it
	// begin gives what to run, one after the other, in a place that has nothing yet,
	// and how many mails are there afterwards, in how many bytes.
	begin func(round string) (run []*process.Program, stored func() (int, int64, error), err error)

	rates, cpu report.Series // mails/s; s a mail, of the program and the servers
	peak       float64       // MB of the program
	disk       int64         // bytes
}

// compete runs jobs in turns.
func compete(ctx context.Context, all []*job, rounds int) error {
	place, err := process.New(ctx)
	if err != nil {
		return err
	}
	defer place.Remove()
	var list []*job
	for _, j := range all {
		if j.missing == "" {
			list = append(list, j)
		}
	}
	for i := range rounds {
		for k := range list {
			j := list[(i+k)%len(list)]
			if err := j.measure(ctx, place, fmt.Sprint(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *job) measure(ctx context.Context, place *process.Place, round string) error {
	programs, stored, err := j.begin(round)
	if err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	before := usage.CPU(j.servers...)
	var wall, cpu float64
	for _, p := range programs {
		cost, err := place.Run(ctx, p)
		if err != nil {
			return err
		}
		wall, cpu, j.peak = wall+cost.Wall, cpu+cost.CPU, max(j.peak, cost.Peak)
	}
	cpu += usage.CPU(j.servers...) - before
	mails, disk, err := stored()
	if err != nil {
		return fmt.Errorf("count what %s has stored: %w", j.name, err)
	}
	if mails > j.mails || mails < j.mails-j.odd {
		return fmt.Errorf("%s has stored %d mails, not %d", j.name, mails, j.mails)
	}
	j.rates, j.cpu, j.disk = append(j.rates, float64(j.mails)/wall), append(j.cpu, cpu/float64(j.mails)), disk
	return nil
}

// tabulate fills a table with the jobs; raw is how many bytes a mail has, a mean.
func tabulate(list []*job, t report.Table, raw float64) report.Table {
	t.Columns = []string{"", "mails", "mails/s", "÷ the first", "CPU ms a mail", "peak MB", "disk ÷ raw"}
	c := chart.Bars{Title: t.Title, Unit: "mails/s", Series: []string{"median"}}
	for _, j := range list {
		if j.missing != "" {
			t.Add(j.name, j.missing, "", "", "", "", "")
			continue
		}
		t.Add(j.name, fmt.Sprint(j.mails), report.Format(j.rates.Median(), 0), report.Format(j.over(list[0]), 2),
			report.Format(1000*j.cpu.Median(), 2), report.Format(j.peak, 0), report.Format(float64(j.disk)/float64(j.mails)/raw, 2))
		c.Groups = append(c.Groups, chart.Group{Name: j.name, Values: []float64{j.rates.Median()}, Dim: !j.ours})
	}
	t.Chart = c
	return t
}

// over is how much faster a job is than another.
func (j *job) over(other *job) float64 { return j.rates.Median() / other.rates.Median() }
