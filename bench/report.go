package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is everything a run found out.
type report struct {
	tables []table
	goals  []goal
}

// goal is a figure that has a target. It may be at most the target, or at
// least that.
type goal struct {
	what    string
	target  float64
	atLeast bool
	got     float64
	unit    string
}

func (g goal) met() bool {
	if g.atLeast {
		return g.got >= g.target
	}
	return g.got <= g.target
}

func (r *report) targets() table {
	t := table{title: "Targets", columns: []string{"", "target", "result", ""}}
	for _, g := range r.goals {
		sign, verdict := "≤", "met"
		if g.atLeast {
			sign = "≥"
		}
		if !g.met() {
			verdict = "MISSED"
		}
		t.add(g.what, fmt.Sprintf("%s %.4g%s", sign, g.target, g.unit), fmt.Sprintf("%.3g%s", g.got, g.unit), verdict)
	}
	return t
}

// table is one table of the report; all but the first column are numbers.
type table struct {
	title   string
	columns []string
	rows    [][]string
	notes   string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (r *report) print(w io.Writer) {
	for _, t := range r.tables {
		fmt.Fprintf(w, "\n%s\n", t.title)
		lines := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, row := range slices.Concat([][]string{t.columns}, t.rows) {
			if text := strings.Join(row, "\t"); strings.TrimSpace(text) != "" {
				fmt.Fprintln(lines, "  "+text)
			}
		}
		lines.Flush()
		if t.notes != "" {
			fmt.Fprintln(w, "  "+t.notes)
		}
	}
}

func (r *report) markdown() string {
	var b strings.Builder
	for _, t := range r.tables {
		fmt.Fprintf(&b, "\n### %s\n\n", t.title)
		line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
		line(t.columns)
		line(slices.Repeat([]string{"---"}, len(t.columns)))
		for _, row := range t.rows {
			line(row)
		}
		if t.notes != "" {
			fmt.Fprintf(&b, "\n%s\n", t.notes)
		}
	}
	return b.String() + "\n"
}

const (
	begin = "<!-- figures: written by go run ./bench -write -->\n"
	end   = "<!-- end of figures -->\n"
)

// replaceIn puts the tables between the two marks of a file.
func (r *report) replaceIn(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("write figures: %s has no place for them", path)
	}
	text = slices.Concat(before, []byte(begin+r.markdown()+end), after)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

// series is a number of measurements.
type series []float64

func (s series) median() float64 { return s.at(0.5) }
func (s series) p10() float64    { return s.at(0.1) }

func (s series) at(quantile float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(quantile*float64(len(sorted)-1)+0.5)]
}

func format(f float64, digits int) string { return fmt.Sprintf("%.*f", digits, f) }
