package chart

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Lines is a chart of lines over two axes.
type Lines struct {
	Title      string
	X, Y       string // what the axes show, with the unit
	LogX, LogY bool   // logarithmic axes; a linear Y begins at 0, or below
	Lines      []Line // six at the most can be told apart
}

// Line joins points, in the order of its points.
type Line struct {
	Name   string
	Points []Point // a NaN leaves the point out
}

// Point is one measurement.
type Point struct{ X, Y float64 }

const plotHeight = 280.0

// WriteTo writes the chart as SVG. What cannot be drawn (no point at all, an
// infinite value, one that is not positive on a logarithmic axis) is an error
// that names it, and nothing is written.
func (l Lines) WriteTo(w io.Writer) (int64, error) {
	x, y, err := l.axes()
	if err != nil {
		return 0, fmt.Errorf("draw %q: %w", l.Title, err)
	}
	names := make([]string, len(l.Lines))
	for i, line := range l.Lines {
		names[i] = line.Name
	}
	ticks := make([]string, len(y.ticks))
	for i, tick := range y.ticks {
		ticks[i] = number(tick)
	}
	legend := new(drawing).legend(0, names, func(int, float64, float64) {})
	top := titleEnd + legend + lineStep
	bottom := top + plotHeight
	x.from, x.to = edge+widest(ticks)+10, width-edge-20
	y.from, y.to = bottom, top

	var d drawing
	d.begin(l.Title, bottom+2*lineStep+edge/2)
	d.legend(titleEnd, names, func(i int, x, y float64) {
		d.line(i, []Point{{x, y}, {x + 18, y}})
		d.dot(i, x+9, y)
	})
	d.text("dim", edge, top-10, l.Y)
	d.text("dim end", width-edge, bottom+16+lineStep, l.X)
	for i, tick := range y.ticks {
		d.rule(x.from, y.at(tick), x.to, y.at(tick))
		d.text("dim end", x.from-8, y.at(tick)+4.5, ticks[i])
	}
	for _, tick := range x.ticks {
		d.rule(x.at(tick), top, x.at(tick), bottom)
		d.text("dim mid", x.at(tick), bottom+16, number(tick))
	}
	for i, line := range l.Lines {
		var places []Point
		for _, p := range line.Points {
			if !math.IsNaN(p.X) && !math.IsNaN(p.Y) {
				places = append(places, Point{x.at(p.X), y.at(p.Y)})
			}
		}
		d.line(i, places)
		for _, p := range places {
			d.dot(i, p.X, p.Y)
		}
	}
	return d.writeTo(w)
}

func (d *drawing) line(series int, places []Point) {
	if len(places) < 2 {
		return
	}
	fmt.Fprintf(d, `<path class="%s line" d="`, colour(series))
	for i, p := range places {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(d, "%s%s %s", command, px(p.X), px(p.Y))
	}
	d.WriteString("\"/>\n")
}

func (d *drawing) dot(series int, x, y float64) {
	fmt.Fprintf(d, `<circle class="%s dot" cx="%s" cy="%s" r="3.5"/>`+"\n", colour(series), px(x), px(y))
}

func (l Lines) axes() (x, y axis, err error) {
	least := Point{math.Inf(1), math.Inf(1)}
	most := Point{math.Inf(-1), math.Inf(-1)}
	for _, line := range l.Lines {
		for _, p := range line.Points {
			if math.IsNaN(p.X) || math.IsNaN(p.Y) {
				continue
			}
			if math.IsInf(p.X, 0) || math.IsInf(p.Y, 0) || l.LogX && p.X <= 0 || l.LogY && p.Y <= 0 {
				return x, y, fmt.Errorf("%s has the point %g, %g", line.Name, p.X, p.Y)
			}
			least = Point{min(least.X, p.X), min(least.Y, p.Y)}
			most = Point{max(most.X, p.X), max(most.Y, p.Y)}
		}
	}
	if least.X > most.X {
		return x, y, errors.New("there are no points")
	}
	if !l.LogY {
		least.Y = min(least.Y, 0)
	}
	return newAxis(least.X, most.X, l.LogX), newAxis(least.Y, most.Y, l.LogY), nil
}
