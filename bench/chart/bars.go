package chart

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Bars is a chart of horizontal bars, one for each series in every group, with
// their values beside them.
type Bars struct {
	Title  string
	Unit   string   // of the values, such as "mails/s"; it stands at the axis
	Series []string // what the bars of a group are, six at the most; with one, there is no legend
	Groups []Group
}

// Group is one thing that is compared.
type Group struct {
	Name   string
	Values []float64 // as many as there are series, not negative; NaN is a bar that is not there
	Dim    bool      // drawn in grey, where there is one series: what others do
}

const (
	barHeight = 16.0
	groupGap  = 10.0
)

// WriteTo writes the chart as SVG. What cannot be drawn (nothing at all, a group
// of too few values, a negative or infinite one) is an error that names it, and
// nothing is written.
func (b Bars) WriteTo(w io.Writer) (int64, error) {
	most, err := b.check()
	if err != nil {
		return 0, fmt.Errorf("draw %q: %w", b.Title, err)
	}
	scale := newAxis(0, most, false)
	names := make([]string, len(b.Groups))
	for i, g := range b.Groups {
		names[i] = g.Name
	}
	left := edge + widest(names) + 10
	right := width - edge - textWidth("0000 k")
	scale.from, scale.to = left, right

	var d drawing
	top := titleEnd
	groupHeight := barHeight*float64(len(b.Series)) + groupGap
	legendRows := b.legendHeight()
	bottom := top + legendRows + groupHeight*float64(len(b.Groups))
	d.begin(b.Title, bottom+2*lineStep+edge/2)
	if len(b.Series) > 1 {
		d.legend(top, b.Series, func(i int, x, y float64) { d.bar(i, x+2, y-6, 12, 12) })
	}
	top += legendRows
	for _, tick := range scale.ticks {
		x := scale.at(tick)
		d.rule(x, top, x, bottom)
		d.text("dim mid", x, bottom+16, number(tick))
	}
	d.text("dim end", width-edge, bottom+16+lineStep, b.Unit)
	for i, g := range b.Groups {
		b.group(&d, g, scale, top+groupHeight*float64(i)+groupGap/2)
	}
	return d.writeTo(w)
}

func (b Bars) group(d *drawing, g Group, scale axis, y float64) {
	d.text("end", scale.from-8, y+barHeight*float64(len(g.Values))/2+4.5, g.Name)
	for i, value := range g.Values {
		if math.IsNaN(value) {
			continue
		}
		colour := i
		if g.Dim && len(b.Series) == 1 {
			colour = seriesColours - 1
		}
		end := scale.at(value)
		d.bar(colour, scale.from, y+1, max(end-scale.from, 1), barHeight-2)
		d.text("", end+5, y+barHeight-3.5, number(value))
		y += barHeight
	}
}

// legendHeight is what the legend will take, found by drawing it.
func (b Bars) legendHeight() float64 {
	if len(b.Series) < 2 {
		return 0
	}
	return new(drawing).legend(0, b.Series, func(int, float64, float64) {})
}

func (b Bars) check() (most float64, err error) {
	if len(b.Groups) == 0 || len(b.Series) == 0 {
		return 0, errors.New("there are no bars")
	}
	for _, g := range b.Groups {
		if len(g.Values) != len(b.Series) {
			return 0, fmt.Errorf("%s has %d values for %d series", g.Name, len(g.Values), len(b.Series))
		}
		for _, value := range g.Values {
			if value < 0 || math.IsInf(value, 0) {
				return 0, fmt.Errorf("%s has the value %g", g.Name, value)
			}
			if value > most { // NaN is not
				most = value
			}
		}
	}
	return most, nil
}
