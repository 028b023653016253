package main

import (
	"fmt"
	"math"
	"slices"

	"mailrow/bench/chart"
	"mailrow/bench/machine"
	"mailrow/bench/report"
)

// result is what a run found out.
type result struct {
	archives   []*archive
	machine    machine.Machine
	deliveries []*trait
	cold       *trait // deliveries after a restart
	process    *trait
	reading    []*trait // with the searches
	searches   *trait   // all of them together
	work       []*trait // of the server for reading
	disk       []*trait
}

// size writes a number of mails.
func size(mails int) string {
	switch {
	case mails%1_000_000 == 0:
		return fmt.Sprintf("%d M", mails/1_000_000)
	case mails%1000 == 0:
		return fmt.Sprintf("%d k", mails/1000)
	}
	return fmt.Sprint(mails)
}

func (r *result) report(name string) *report.Report {
	all := &report.Report{}
	million := slices.IndexFunc(r.archives, func(a *archive) bool { return a.mails == 1_000_000 })
	for i, a := range r.archives {
		if i == 0 || i != million && i != len(r.archives)-1 {
			continue
		}
		for _, t := range r.deliveries {
			all.Goals = append(all.Goals, report.Goal{What: fmt.Sprintf("deliveries/s at %s ÷ at %s: %s", size(a.mails), size(r.archives[0].mails), t.name),
				Target: 0.9, AtLeast: true, Got: t.ratioOf(i)})
		}
	}
	if million >= 0 {
		all.Goals = append(all.Goals,
			report.Goal{What: "search() at 1 M, p95", Target: 30, Got: r.searches.series[million].At(0.95), Unit: " ms"},
			report.Goal{What: "the newest 50 at 1 M, p95", Target: 3, Got: r.reading[0].series[million].At(0.95), Unit: " ms"})
	}
	latencies := slices.Concat([]*trait{r.process}, r.reading, []*trait{r.searches})
	all.Tables = []report.Table{
		all.Targets(),
		r.table("Deliveries a second", name+"-deliveries.svg", "mails/s, median", append(slices.Clip(r.deliveries), r.cold), median,
			"Medians. Every mail is a new one; those of the pool come from 64 clients. Before, each archive takes a fortieth of its mails, the rate of which is the last line: "+
				"a server that has just been started reads each page of the indexes, and logs it whole, when it first meets it."),
		r.table("Latency, ms", name+"-latency.svg", "ms, p95", latencies, medianAndP95,
			"Median / p95. The searches give 20 rows with excerpts; all searches is every query of every kind. A phrase has a word that one mail in five hundred has, or fewer. The chart is of p95."),
		r.table("Processor time of the server, ms", "", "", r.work, medianAndP95,
			"Median / p95 of the same questions, which a busy machine changes less."),
		r.table("Bytes a mail", name+"-disk.svg", "bytes a mail", r.disk, median,
			"Tables with their TOAST, and indexes, that have a hundredth of all or more."),
		r.conditions(),
	}
	return all
}

// title begins those of tables and charts.
func (r *result) title() string {
	return "To " + size(r.archives[len(r.archives)-1].mails) + ": "
}

// span is a text about the first and the last archive.
func (r *result) span(format string) string {
	return fmt.Sprintf(format, size(r.archives[0].mails), size(r.archives[len(r.archives)-1].mails))
}

func median(s report.Series) string {
	if s.Median() >= 100 {
		return report.Format(s.Median(), 0)
	}
	return report.Format(s.Median(), 1)
}

func medianAndP95(s report.Series) string {
	return report.Format(s.Median(), 2) + " / " + report.Format(s.At(0.95), 2)
}

func (r *result) table(title, file, axis string, traits []*trait, cell func(report.Series) string, notes string) report.Table {
	t := report.Table{Title: r.title() + title, Columns: []string{""}, File: file, Notes: notes + r.span(" × is %[2]s to %[1]s,") +
		" the median of what neighbouring turns gave; the exponent is the slope of log median over log mails: 0 does not grow."}
	for _, a := range r.archives {
		t.Columns = append(t.Columns, size(a.mails))
	}
	t.Columns = append(t.Columns, "×", "exponent")
	for _, one := range traits {
		cells := []string{one.name}
		for _, s := range one.series {
			cells = append(cells, cell(s))
		}
		t.Add(append(cells, report.Format(one.ratio(), 2), report.Format(one.exponent(r.archives), 2))...)
	}
	if file != "" {
		t.Chart = r.lines(title, axis, traits)
	}
	return t
}

// lines draws the traits that say most.
func (r *result) lines(title, axis string, traits []*trait) chart.Lines {
	const shown = 6
	quantile := 0.5
	drawn := chart.Lines{Title: title + " as an account grows", X: "mails", Y: axis, LogX: true, LogY: axis == "ms, p95"}
	if drawn.LogY {
		quantile = 0.95
		traits = []*trait{r.process, r.reading[0], r.reading[2], r.reading[4], r.searches}
	}
	for _, one := range traits[:min(shown, len(traits))] {
		line := chart.Line{Name: one.name}
		for i, s := range one.series {
			y := s.At(quantile)
			if len(s) == 0 {
				y = math.NaN()
			}
			line.Points = append(line.Points, chart.Point{X: float64(r.archives[i].mails), Y: y})
		}
		drawn.Lines = append(drawn.Lines, line)
	}
	return drawn
}

func (r *result) conditions() report.Table {
	t := report.Table{Title: r.title() + "the run", Columns: []string{"", ""}}
	t.Add("load average before", r.machine.Load)
	t.Add("PostgreSQL", r.machine.PostgreSQL+", Unix socket, fsync and synchronous_commit on, shared_buffers 1 GB, max_wal_size 4 GB")
	t.Add("write of 8 KiB and fdatasync", fmt.Sprintf("median %.2f ms", 1000*r.machine.Flush.Median()))
	var sizes report.Series
	a := r.archives[len(r.archives)-1]
	for n := range 2000 {
		sizes = append(sizes, float64(len(a.made.mail(n).raw)))
	}
	t.Add("mails", fmt.Sprintf("made, median %.1f KB, p95 %.1f KB, one in 25 with a file", sizes.Median()/1000, sizes.At(0.95)/1000))
	return t
}
