package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailrow/bench/chart"
)

func TestFiguresGoBetweenTheirOwnMarksAndChartsBesideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "speed.md")
	text := "# Speed\n<!-- figures: written by a -->\nold a\n<!-- end of figures -->\ntext\n" +
		"<!-- figures: written by b -->\nold b\n<!-- end of figures -->\nend\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	table := Table{Title: "Rate", Columns: []string{"", "mails/s"}, Notes: "As it is.", File: "rate.svg",
		Chart: chart.Bars{Title: "Rate", Unit: "mails/s", Series: []string{"rate"}, Groups: []chart.Group{{Name: "x", Values: []float64{1}}}}}
	table.Add("x", "1")
	r := &Report{Tables: []Table{table}}
	for range 2 { // what was written is replaced
		if err := r.ReplaceIn(path, "b"); err != nil {
			t.Fatal(err)
		}
	}
	want := "# Speed\n<!-- figures: written by a -->\nold a\n<!-- end of figures -->\ntext\n" +
		"<!-- figures: written by b -->\n\n### Rate\n\n![Rate](speed/rate.svg)\n\n|  | mails/s |\n| --- | --- |\n| x | 1 |\n\nAs it is.\n\n" +
		"<!-- end of figures -->\nend\n"
	if got, err := os.ReadFile(path); string(got) != want || err != nil {
		t.Errorf("got %q, want %q: %v", got, want, err)
	}
	if svg, err := os.ReadFile(filepath.Join(filepath.Dir(path), "speed", "rate.svg")); !strings.HasPrefix(string(svg), "<svg") {
		t.Errorf("chart %q: %v", svg, err)
	}
	if err := r.ReplaceIn(path, "c"); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("without marks: %v", err)
	}
}

func TestSeriesGivesQuantiles(t *testing.T) {
	s := Series{5, 1, 4, 2, 3}
	if s.Median() != 3 || s.At(0) != 1 || s.At(1) != 5 || s.P10() != 1 || (Series{}).Median() != 0 {
		t.Errorf("median %g, from %g to %g, p10 %g", s.Median(), s.At(0), s.At(1), s.P10())
	}
}
