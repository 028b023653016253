// Package metrics shows a program's figures to a monitoring system: in the text format
// of Prometheus, version 0.0.4, over HTTP. It is written by hand: the format is a few
// lines, and Prometheus' client library would add 2.9 MB and a dozen modules.
package metrics

import (
	"bytes"
	"strconv"
	"strings"
)

// Label is one of a sample. Nothing that operators did not say themselves stands in
// one: no address of people, no secret.
type Label struct{ Name, Value string }

// Page is what one reading gives. Zero is an empty one.
type Page struct{ text bytes.Buffer }

// Family is the samples of one name. All of them are added before the next family is
// begun.
type Family struct {
	page *Page
	name string
}

// Gauge begins a family of figures that go up and down.
func (p *Page) Gauge(name, help string) Family { return p.family(name, "gauge", help) }

// Counter begins a family of figures that only grow while the program runs. Its name
// ends in _total.
func (p *Page) Counter(name, help string) Family { return p.family(name, "counter", help) }

var helpEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

func (p *Page) family(name, kind, help string) Family {
	p.text.WriteString("# HELP " + name + " " + helpEscapes.Replace(help) + "\n# TYPE " + name + " " + kind + "\n")
	return Family{p, name}
}

// Add adds a sample. No two of a family have the same labels.
func (f Family) Add(value float64, labels ...Label) { f.page.sample(f.name, value, labels) }

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (p *Page) sample(name string, value float64, labels []Label) {
	p.text.WriteString(name)
	separator := "{"
	for _, l := range labels {
		p.text.WriteString(separator + l.Name + `="` + labelEscapes.Replace(strings.ToValidUTF8(l.Value, "\uFFFD")) + `"`)
		separator = ","
	}
	if len(labels) > 0 {
		p.text.WriteByte('}')
	}
	p.text.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// Histogram is how often values were up to each of some bounds.
type Histogram struct {
	Bounds []float64 // rising
	Counts []int64   // of values up to each bound and above the one before, and at last of those above all
	Sum    float64   // of all values
}

// Histogram adds a whole family.
func (p *Page) Histogram(name, help string, h Histogram) {
	p.family(name, "histogram", help)
	var sofar int64
	for i, count := range h.Counts {
		bound := "+Inf"
		if i < len(h.Bounds) {
			bound = strconv.FormatFloat(h.Bounds[i], 'g', -1, 64)
		}
		sofar += count
		p.sample(name+"_bucket", float64(sofar), []Label{{"le", bound}})
	}
	p.sample(name+"_sum", h.Sum, nil)
	p.sample(name+"_count", float64(sofar), nil)
}
