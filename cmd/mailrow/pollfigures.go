package main

import (
	"slices"
	"strconv"

	"mailrow/internal/budget"
	"mailrow/internal/metrics"
	"mailrow/poller"
	"mailrow/store/source"
)

// sourceFigure is a family of which each source has a sample.
type sourceFigure struct {
	name, help string
	counter    bool
	of         func(poller.Figure) float64
}

var sourceFigures = []sourceFigure{
	{"lag_seconds", "How much longer ago than its interval the source was last looked into to its end; 0 while all is well.", false,
		func(f poller.Figure) float64 { return f.Lag.Seconds() }},
	{"interval_seconds", "How long after a run the source is looked into again.", false,
		func(f poller.Figure) float64 { return f.Source.Every.Seconds() }},
	{"running", "1 while the source is looked into.", false, func(f poller.Figure) float64 { return oneIf(f.Running) }},
	{"failing_runs", "How many runs in a row have failed.", false, func(f poller.Figure) float64 { return float64(f.Source.Failures) }},
	{"quarantined", "Mails that were given up.", false, func(f poller.Figure) float64 { return float64(f.Quarantined) }},
	{"waiting", "Folders that tell at once when mail comes.", false, func(f poller.Figure) float64 { return float64(f.Waiting) }},
	{"runs_total", "Looks into the source that have ended.", true, func(f poller.Figure) float64 { return float64(f.Runs) }},
	{"run_failures_total", "Looks that did not get to their end.", true, func(f poller.Figure) float64 { return float64(f.Failures) }},
	{"reconnects_total", "Connections to the source that were lost amid a mail or while waiting for mail.", true,
		func(f poller.Figure) float64 { return float64(f.Reconnects) }},
	counted("stored_total", "Mails that were stored.", func(c source.Count) int64 { return c.Stored }),
	counted("duplicates_total", "Mails that were fetched, and whose bytes the mailbox had already.", func(c source.Count) int64 { return c.Duplicate }),
	counted("failed_total", "Times that a mail could not be fetched.", func(c source.Count) int64 { return c.Failed }),
	counted("done_total", "Mails that were removed, archived or marked at the source.", func(c source.Count) int64 { return c.Done }),
	counted("bytes_total", "Bytes of the mails that were fetched.", func(c source.Count) int64 { return c.Bytes }),
}

func counted(name, help string, of func(source.Count) int64) sourceFigure {
	return sourceFigure{name, help, true, func(f poller.Figure) float64 { return float64(of(f.Count)) }}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// alarmKinds are those of table source_alarms.
var alarmKinds = []string{"authentication", "failing", "quarantined", "silent"}

// writePollFigures adds what docs/polling.md lists.
func writePollFigures(page *metrics.Page, figures *poller.Figures, memory *budget.Budget) {
	list := figures.Sources()
	labels := make([][]metrics.Label, len(list))
	for i, f := range list {
		labels[i] = labelsOf(f)
	}
	for _, x := range sourceFigures {
		begin := page.Gauge
		if x.counter {
			begin = page.Counter
		}
		family := begin("mailrow_poll_source_"+x.name, x.help)
		for i, f := range list {
			family.Add(x.of(f), labels[i]...)
		}
	}
	alarms := page.Gauge("mailrow_poll_source_alarm", "1 while an alarm of a kind lasts; view mailrow.alarms has the reason.")
	for i, f := range list {
		for _, kind := range alarmKinds {
			with := append(slices.Clip(labels[i]), metrics.Label{Name: "alarm", Value: kind})
			alarms.Add(oneIf(slices.Contains(f.Alarms, kind)), with...)
		}
	}
	page.Gauge("mailrow_poll_sources", "Sources that are not paused.").Add(float64(len(list)))
	page.Gauge("mailrow_poll_database_up", "1 while the database answers.").Add(oneIf(figures.Answers()))
	writeMemory(page, "mailrow_poll_", memory)
	page.Process(thisBuild().Version)
}

// writeMemory adds how much of the memory for mails in hand is in use.
func writeMemory(page *metrics.Page, prefix string, memory *budget.Budget) {
	page.Gauge(prefix+"memory_bytes", "Bytes of the memory for mails in hand that are in use.").Add(float64(memory.Size() - memory.Left()))
	page.Gauge(prefix+"memory_limit_bytes", "Bytes that there are for mails in hand.").Add(float64(memory.Size()))
}

// labelsOf names a source as its operator did. A URI may hold the address of a person:
// a source without a name is its number.
func labelsOf(f poller.Figure) []metrics.Label {
	id := strconv.FormatInt(f.Source.ID, 10)
	name := id
	if f.Source.Name != nil {
		name = *f.Source.Name
	}
	return []metrics.Label{{Name: "source_id", Value: id}, {Name: "source", Value: name}, {Name: "kind", Value: f.Kind}}
}
