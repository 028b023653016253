package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var charts = map[string]io.WriterTo{
	"bars": Bars{
		Title: "LMTP & <volume>, one mailbox", Unit: "mails/s", Series: []string{"1 connection", "8", "32"},
		Groups: []Group{
			{Name: "mailrow lmtp", Values: []float64{1185, 2662, 3389}},
			{Name: "dovecot-lmtp", Values: []float64{412, 887, math.NaN()}},
			{Name: "prepared insert", Values: []float64{3361, 9397, 12644}},
		},
	},
	"ranking": Bars{
		Title: "One process per mail", Unit: "ms", Series: []string{"median"},
		Groups: []Group{
			{Name: "through the daemon", Values: []float64{4.4}},
			{Name: "procmail", Values: []float64{2}, Dim: true},
			{Name: "nothing", Values: []float64{0}, Dim: true},
		},
	},
	"growth": Lines{
		Title: "Latency as a mailbox grows", X: "messages", Y: "ms, p95", LogX: true, LogY: true,
		Lines: []Line{
			{Name: "newest 50", Points: []Point{{1e4, 0.9}, {1e5, 1}, {1e6, 1.3}, {5e6, 1.6}}},
			{Name: "search", Points: []Point{{1e4, 2}, {1e5, 6}, {math.NaN(), 3}, {1e6, 23}, {5e6, 61}}},
		},
	},
	"linear": Lines{Title: "Rate", X: "hours", Y: "mails/s", Lines: []Line{{Name: "rate", Points: []Point{{0, 1400}, {24, 1390}}}}},
}

// MAILROW_CHARTS names a folder to look at the charts.
func TestChartsAreStandAloneXMLAndTheSameEachTime(t *testing.T) {
	for name, c := range charts {
		var first, second bytes.Buffer
		n, err := c.WriteTo(&first)
		if err != nil || n != int64(first.Len()) {
			t.Fatalf("%s: %d bytes of %d: %v", name, n, first.Len(), err)
		}
		if _, err := c.WriteTo(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s differs from itself: %v", name, err)
		}
		if dir := os.Getenv("MAILROW_CHARTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, name+".svg"), first.Bytes(), 0o644); err != nil {
				t.Error(err)
			}
		}
		if first.Len() > 8000 {
			t.Errorf("%s has %d bytes", name, first.Len())
		}
		decoder := xml.NewDecoder(&first)
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s is not XML: %v", name, err)
			}
			start, ok := token.(xml.StartElement)
			if ok && (start.Name.Local == "script" || start.Name.Local == "image") {
				t.Errorf("%s has <%s>", name, start.Name.Local)
			}
		}
	}
}

func TestTextStaysText(t *testing.T) {
	for name, texts := range map[string][]string{
		"bars":   {">LMTP &amp; &lt;volume&gt;, one mailbox<", ">mails/s<", ">dovecot-lmtp<", ">12.6 k<", ">412<", ">32<"},
		"growth": {">messages<", ">ms, p95<", ">newest 50<", ">10 k<", ">1 M<"},
	} {
		var out strings.Builder
		if _, err := charts[name].WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s has no %s", name, text)
			}
		}
		if strings.Contains(out.String(), "NaN") {
			t.Errorf("%s shows NaN", name)
		}
	}
}

func TestWhatCannotBeDrawnIsAnErrorAndNothingIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		chart io.WriterTo
		want  string
	}{
		"nothing":        {Bars{Title: "x"}, "no bars"},
		"too few values": {Bars{Series: []string{"a", "b"}, Groups: []Group{{Name: "g", Values: []float64{1}}}}, "g has 1 values for 2 series"},
		"negative":       {Bars{Series: []string{"a"}, Groups: []Group{{Name: "g", Values: []float64{-1}}}}, "g has the value -1"},
		"no points":      {Lines{Lines: []Line{{Name: "l", Points: []Point{{math.NaN(), 1}}}}}, "no points"},
		"zero in log":    {Lines{LogY: true, Lines: []Line{{Name: "l", Points: []Point{{1, 0}}}}}, "l has the point 1, 0"},
		"infinite":       {Lines{Lines: []Line{{Name: "l", Points: []Point{{1, math.Inf(1)}}}}}, "l has the point 1, +Inf"},
	} {
		var out bytes.Buffer
		if _, err := c.chart.WriteTo(&out); err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s: %d bytes written, error %v, want %q", name, out.Len(), err, c.want)
		}
	}
}

func TestAxesHoldAllValuesBetweenRoundNumbers(t *testing.T) {
	for _, c := range []struct {
		least, most float64
		log         bool
		from, to    float64
	}{
		{0, 12644, false, 0, 15000},
		{0, 0.0043, false, 0, 0.005},
		{0, 100, false, 0, 100},
		{0, 0, false, 0, 1},
		{-3, 4, false, -4, 4},
		{1e4, 1e6, true, 1e4, 1e6},
		{1e4, 5e6, true, 1e4, 1e7},
		{0.9, 61, true, 0.5, 100},
		{7, 7, true, 5, 10},
		{10, 10, true, 10, 20},
	} {
		a := newAxis(c.least, c.most, c.log)
		if math.Abs(a.least-c.from) > 1e-9 || math.Abs(a.most-c.to) > 1e-9 {
			t.Errorf("%g to %g: from %g to %g, want %g to %g", c.least, c.most, a.least, a.most, c.from, c.to)
		}
		if n := len(a.ticks); n < 2 || n > 12 || a.ticks[0] != a.least || math.Abs(a.ticks[n-1]-a.most) > 1e-9*a.most {
			t.Errorf("%g to %g: ticks %v", c.least, c.most, a.ticks)
		}
	}
}

func TestNumbersAreShort(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 0.0123: "0.012", 0.5: "0.5", 4.43: "4.43", 99.96: "100", 412.4: "412", 9994: "9994", 10000: "10 k",
		12644: "12.6 k", 999600: "1 M", 5e6: "5 M", 2.5e9: "2.5 G",
	} {
		if got := number(f); got != want {
			t.Errorf("%g is %q, want %q", f, got, want)
		}
	}
}
