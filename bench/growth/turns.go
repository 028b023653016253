package main

import (
	"context"
	"math"
	"time"

	"mailrow/bench/report"
)

// trait is one thing that is measured of every archive.
type trait struct {
	name   string
	series []report.Series // of each archive, as many of each
}

// ratio is that of the last archive to the first.
func (t *trait) ratio() float64 { return t.ratioOf(len(t.series) - 1) }

// ratioOf is that of an archive to the first: the median of what neighbouring turns gave.
func (t *trait) ratioOf(archive int) float64 {
	var ratios report.Series
	first, other := t.series[0], t.series[archive]
	for i := range min(len(first), len(other)) {
		ratios = append(ratios, other[i]/first[i])
	}
	return ratios.Median()
}

// exponent is the slope of the line through the logarithms of the medians over those
// of the sizes: 0 does not grow, 1 grows as the archive does.
func (t *trait) exponent(archives []*archive) float64 {
	var n, sumX, sumY, sumXX, sumXY float64
	for i, a := range archives {
		x, y := math.Log(float64(a.mails)), math.Log(t.series[i].Median())
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}

// turns measures something of each archive in turn, so many times and once before
// that to fill caches; who is first changes. do gives what it measured.
func turns(ctx context.Context, archives []*archive, rounds int, do func(ctx context.Context, archive, round int) (float64, error)) ([]report.Series, error) {
	series := make([]report.Series, len(archives))
	for round := range rounds + 1 {
		for i := range archives {
			which := (round + i) % len(archives)
			measured, err := do(ctx, which, round)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				series[which] = append(series[which], measured)
			}
		}
	}
	return series, nil
}

// milliseconds is how long something takes.
func milliseconds(do func() error) (float64, error) {
	start := time.Now()
	err := do()
	return time.Since(start).Seconds() * 1000, err
}
