// Package report holds the figures of a benchmark: tables, targets, and the place in
// the documentation where they go.
package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is everything a run found out.
type Report struct {
	Tables []Table
	Goals  []Goal
}

// Goal is a figure that has a target. It may be at most the target, or at
// least that.
type Goal struct {
	What    string
	Target  float64
	AtLeast bool
	Got     float64
	Unit    string
}

func (g Goal) met() bool {
	if g.AtLeast {
		return g.Got >= g.Target
	}
	return g.Got <= g.Target
}

// Targets is the table of the goals, and whether they were met.
func (r *Report) Targets() Table {
	t := Table{Title: "Targets", Columns: []string{"", "target", "result", ""}}
	for _, g := range r.Goals {
		sign, verdict := "≤", "met"
		if g.AtLeast {
			sign = "≥"
		}
		if !g.met() {
			verdict = "MISSED"
		}
		t.Add(g.What, fmt.Sprintf("%s %.4g%s", sign, g.Target, g.Unit), fmt.Sprintf("%.3g%s", g.Got, g.Unit), verdict)
	}
	return t
}

// Table is one table of a report; all but the first column are numbers.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
	Notes   string // a sentence below it, "" for none

	Chart io.WriterTo // as of package chart; nil for none
	File  string      // the chart's: "lmtp.svg"
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Print writes the tables for a terminal.
func (r *Report) Print(w io.Writer) {
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n%s\n", t.Title)
		lines := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, row := range slices.Concat([][]string{t.Columns}, t.Rows) {
			if text := strings.Join(row, "\t"); strings.TrimSpace(text) != "" {
				fmt.Fprintln(lines, "  "+text)
			}
		}
		lines.Flush()
		if t.Notes != "" {
			fmt.Fprintln(w, "  "+t.Notes)
		}
	}
}

// markdown writes the tables for the documentation, with the charts of a folder.
func (r *Report) markdown(charts string) string {
	var b strings.Builder
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n### %s\n\n", t.Title)
		if t.Chart != nil {
			fmt.Fprintf(&b, "![%s](%s/%s)\n\n", t.Title, charts, t.File)
		}
		line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
		line(t.Columns)
		line(slices.Repeat([]string{"---"}, len(t.Columns)))
		for _, row := range t.Rows {
			line(row)
		}
		if t.Notes != "" {
			fmt.Fprintf(&b, "\n%s\n", t.Notes)
		}
	}
	return b.String() + "\n"
}

const end = "<!-- end of figures -->\n"

// ReplaceIn puts the tables into a file, between a mark that names the command
// which wrote them and the next end of figures. Charts go to the folder that is
// called as the file is, without its extension.
func (r *Report) ReplaceIn(path, command string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	begin := fmt.Sprintf("<!-- figures: written by %s -->\n", command)
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("write figures: %s has no place for them", path)
	}
	dir := strings.TrimSuffix(path, filepath.Ext(path))
	text = slices.Concat(before, []byte(begin+r.markdown(filepath.Base(dir))+end), after)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return r.draw(dir)
}

// draw writes the charts as files.
func (r *Report) draw(dir string) error {
	for _, t := range r.Tables {
		if t.Chart == nil {
			continue
		}
		var svg bytes.Buffer
		if _, err := t.Chart.WriteTo(&svg); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("write chart: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, t.File), svg.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write chart: %w", err)
		}
	}
	return nil
}

// Series is a number of measurements.
type Series []float64

// Mean is 0 of none.
func (s Series) Mean() (mean float64) {
	for _, f := range s {
		mean += f / float64(len(s))
	}
	return mean
}

// Median is the middle one, 0 of none.
func (s Series) Median() float64 { return s.At(0.5) }

// P10 is what a tenth of them is below.
func (s Series) P10() float64 { return s.At(0.1) }

// At is the one at a quantile from 0 to 1, 0 of none.
func (s Series) At(quantile float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(quantile*float64(len(sorted)-1)+0.5)]
}

// Format writes a figure with so many digits after the point.
func Format(f float64, digits int) string { return fmt.Sprintf("%.*f", digits, f) }
