// Package chart draws the charts of the documentation as SVG: bars in groups,
// and lines over linear or logarithmic axes. The same data always give the same
// bytes. Text stays text, nothing is loaded and nothing runs; colours follow the
// reader's light or dark scheme and can be told apart by the colour-blind.
package chart

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	width    = 760.0 // of every chart, in px
	edge     = 16.0  // what stays free around it
	fontSize = 13.0
	lineStep = 20.0 // from one line of text to the next
	titleEnd = 34.0 // where the title ends
)

// style has the colours: first those of a light page, with a background of their
// own for a viewer that knows no schemes, then those of a dark one. Plain classes,
// since some viewers know no variables. .s0 to .s5 are series.
const style = `<style>
text{font:13px system-ui,sans-serif}.title{font-weight:600;font-size:15px}.end{text-anchor:end}.mid{text-anchor:middle}
.back{fill:#fff}text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d8dee4}
.s0{fill:#0072b2;stroke:#0072b2}.s1{fill:#d55e00;stroke:#d55e00}.s2{fill:#00805e;stroke:#00805e}
.s3{fill:#a8487f;stroke:#a8487f}.s4{fill:#8a6d00;stroke:#8a6d00}.s5{fill:#7f8a95;stroke:#7f8a95}
@media(prefers-color-scheme:dark){.back{fill:#0d1117}text{fill:#f0f6fc}.dim{fill:#9aa4ae}.grid{stroke:#30363d}
.s0{fill:#56b4e9;stroke:#56b4e9}.s1{fill:#ff8c42;stroke:#ff8c42}.s2{fill:#2fc79b;stroke:#2fc79b}
.s3{fill:#e08fbb;stroke:#e08fbb}.s4{fill:#e6c229;stroke:#e6c229}.s5{fill:#7d8590;stroke:#7d8590}}
.bar,.dot{stroke:none}.line{fill:none;stroke-width:2}
.s1.line{stroke-dasharray:7 3}.s2.line{stroke-dasharray:2 3}.s3.line{stroke-dasharray:9 3 2 3}.s4.line{stroke-dasharray:4 4}
</style>
`

// seriesColours is how many series have a colour of their own.
const seriesColours = 6

// drawing is a chart as it comes about.
type drawing struct{ bytes.Buffer }

// begin writes what every chart has: its frame, its colours and its title.
func (d *drawing) begin(title string, height float64) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img">`+"\n",
		px(width), px(height))
	fmt.Fprintf(d, "<title>%s</title>\n%s", html.EscapeString(title), style)
	fmt.Fprintf(d, `<rect class="back" width="%s" height="%s" rx="6"/>`+"\n", px(width), px(height))
	d.text("title", edge, edge+9, title)
}

func (d *drawing) text(class string, x, y float64, text string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(d, `<text%s x="%s" y="%s">%s</text>`+"\n", class, px(x), px(y), html.EscapeString(text))
}

func (d *drawing) rule(x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<path class="grid" d="M%s %sL%s %s"/>`+"\n", px(x1), px(y1), px(x2), px(y2))
}

func (d *drawing) bar(series int, x, y, w, h float64) {
	fmt.Fprintf(d, `<rect class="%s bar" x="%s" y="%s" width="%s" height="%s"/>`+"\n", colour(series), px(x), px(y), px(w), px(h))
}

// legend names the series, in as many rows as they need, and gives the height of it.
// mark draws what stands before a name.
func (d *drawing) legend(top float64, names []string, mark func(series int, x, y float64)) (height float64) {
	const before, after = 22.0, 18.0
	x, y := edge, top
	for i, name := range names {
		needed := before + textWidth(name) + after
		if x > edge && x+needed > width-edge {
			x, y = edge, y+lineStep
		}
		mark(i, x, y+lineStep/2)
		d.text("", x+before, y+lineStep/2+4, name)
		x += needed
	}
	return y + lineStep + 4 - top
}

// writeTo ends the drawing and hands it over.
func (d *drawing) writeTo(w io.Writer) (int64, error) {
	d.WriteString("</svg>\n")
	return d.Buffer.WriteTo(w)
}

func colour(series int) string { return fmt.Sprintf("s%d", series%seriesColours) }

// px writes a coordinate: a tenth of a pixel is enough.
func px(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// textWidth is about what text takes in the fonts that readers have.
func textWidth(text string) float64 { return 0.56 * fontSize * float64(utf8.RuneCountInString(text)) }

func widest(texts []string) (most float64) {
	for _, text := range texts {
		most = max(most, textWidth(text))
	}
	return most
}

// number writes a value with three digits, thousands and millions by letter.
func number(f float64) string {
	switch a := math.Abs(f); {
	case a >= 999.5e6:
		return digits(f/1e9) + " G"
	case a >= 999.5e3:
		return digits(f/1e6) + " M"
	case a >= 9.995e3:
		return digits(f/1e3) + " k"
	}
	return digits(f)
}

func digits(f float64) string {
	switch a := math.Abs(f); {
	case a >= 100 || f == math.Trunc(f):
		return strconv.FormatFloat(f, 'f', 0, 64)
	case a >= 1:
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	return strconv.FormatFloat(f, 'g', 2, 64)
}
