// Package metricstest reads what a program shows to a monitoring system, strictly: by
// the rules of Prometheus' text format 0.0.4, and by promtool where that is installed.
package metricstest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Samples are values by name and labels, as they are written: up{a="b"}.
type Samples map[string]float64

const name = `[a-zA-Z_:][a-zA-Z0-9_:]*`

var (
	help   = regexp.MustCompile(`^# HELP (` + name + `) (?:[^\\]|\\\\|\\n)+$`)
	kind   = regexp.MustCompile(`^# TYPE (` + name + `) (counter|gauge|histogram)$`)
	label  = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"`
	sample = regexp.MustCompile(`^((` + name + `)(?:\{` + label + `(?:,` + label + `)*\})?) ([^ ]+)$`)
	suffix = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// Parse reads a page; what breaks a rule ends the test.
func Parse(t testing.TB, page string) Samples {
	t.Helper()
	if !strings.HasSuffix(page, "\n") {
		t.Fatalf("the page does not end with a line end: %q", page)
	}
	all, seen := Samples{}, map[string]bool{}
	var helped, family, of string
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if m := help.FindStringSubmatch(line); m != nil {
			helped = m[1]
			continue
		}
		if m := kind.FindStringSubmatch(line); m != nil {
			if m[1] != helped || seen[m[1]] {
				t.Fatalf("a family begins without help, or again: %q", line)
			}
			family, of = m[1], m[2]
			seen[family] = true
			if (of == "counter") != strings.HasSuffix(family, "_total") {
				t.Errorf("%s is a %s", family, of)
			}
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not of the format: %q", line)
		}
		in := m[2]
		if of == "histogram" {
			in = suffix.ReplaceAllString(in, "")
		}
		if in != family {
			t.Fatalf("a sample of %s among those of %s: %q", in, family, line)
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("no number: %q", line)
		}
		if _, twice := all[m[1]]; twice {
			t.Fatalf("twice: %q", line)
		}
		all[m[1]] = value
	}
	judge(t, page)
	return all
}

// judge asks promtool, which also has an opinion on names.
func judge(t testing.TB, page string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		return
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v: %s", err, out)
	}
}

// Get asks for a path at a socket, given as tcp:ADDRESS:PORT or unix:PATH, and gives
// status and text; 0 when nobody answers.
func Get(t testing.TB, at, path string) (status int, text string) {
	t.Helper()
	network, address, _ := strings.Cut(at, ":")
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	answer, err := client.Get("http://mailrow" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(body)
}

// Read asks for the figures.
func Read(t testing.TB, at string) Samples {
	t.Helper()
	status, page := Get(t, at, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics: %d %s", status, page)
	}
	return Parse(t, page)
}

// Wait waits until a sample is what is wanted.
func Wait(t testing.TB, at, sample string, want func(float64) bool) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		value, there := Read(t, at)[sample]
		if there && want(value) {
			return
		}
		got = fmt.Sprint(value, there)
	}
	t.Fatalf("%s is %s", sample, got)
}
