package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"mailrow/internal/screen"
	imap "mailrow/poller/imap/client"
	pop3 "mailrow/poller/pop3/client"
)

// report is what became of a command, as programs get it.
type report struct {
	Command string          `json:"command"`
	Line    int             `json:"line,omitempty"` // of the script
	OK      bool            `json:"ok"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *failure        `json:"error,omitempty"`

	result Result
}

type failure struct {
	Text string `json:"text"`
	// Code is the server's, in capitals: NONEXISTENT, OVERQUOTA, IN-USE.
	Code string `json:"code,omitempty"`
}

// report says that a command was done.
func (s *Shell) report(r report) error {
	r.OK = true
	if s.JSON {
		return s.reportJSON(r)
	}
	if r.result == nil {
		return nil
	}
	return s.write(r.result.Words())
}

// fail says that a command failed, and how far it came. It gives ErrFailed.
func (s *Shell) fail(r report, err error) error {
	r.Error = &failure{Text: s.describe(err)}
	var imapRefusal *imap.RefusedError
	var pop3Refusal *pop3.RefusedError
	switch {
	case errors.As(err, &imapRefusal):
		r.Error.Code = imapRefusal.Code
	case errors.As(err, &pop3Refusal):
		r.Error.Code = pop3Refusal.Code
	}
	if s.JSON {
		return errors.Join(ErrFailed, s.reportJSON(r))
	}
	if r.result != nil {
		_ = s.write(r.result.Words()) // the failure comes first
	}
	place := ""
	if !s.interactive {
		place = fmt.Sprintf("mailrow: line %d: ", r.Line)
	}
	if r.Command != "" {
		place += screen.Line(r.Command) + ": "
	}
	_, _ = io.WriteString(s.Err, place+r.Error.Text+"\n") // there is no other place to say it
	return ErrFailed
}

func (s *Shell) reportJSON(r report) error {
	if r.result != nil {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(r.result); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		r.Result = b.Bytes()
	}
	text, err := screen.JSON(r)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s.Out, text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Fields are those of a JSON object.
type Fields map[string]any

type said struct {
	Fields
	words string
}

// Say is a result in a sentence, and what programs get of it.
func Say(fields Fields, format string, args ...any) Result {
	return said{fields, fmt.Sprintf(format, args...) + "\n"}
}

func (s said) Words() string { return s.words }

// MarshalJSON gives the fields.
func (s said) MarshalJSON() ([]byte, error) { return json.Marshal(s.Fields) }

// Answer is what a server has said to a raw line.
type Answer struct {
	Lines []string `json:"lines"`
}

// Words are the lines.
func (a Answer) Words() string { return strings.Join(a.Lines, "\n") + "\n" }

// Table sets rows under a head, their cells divided by tabs. What is in a cell does
// not begin another.
func Table(head string, rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = screen.Line(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // into memory
	var lines strings.Builder
	for line := range strings.Lines(b.String()) {
		lines.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return lines.String()
}

// Count is a number of things in words: "1 mail", "2 mails".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Bytes is a size as people read it.
func Bytes(n int64) string {
	switch {
	case n < 0:
		return "?"
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n), 0
	for size >= 999.5 && unit < 4 {
		size, unit = size/1000, unit+1
	}
	if size < 9.95 {
		return fmt.Sprintf("%.1f %sB", size, []string{"", "k", "M", "G", "T"}[unit])
	}
	return fmt.Sprintf("%.0f %sB", size, []string{"", "k", "M", "G", "T"}[unit])
}
