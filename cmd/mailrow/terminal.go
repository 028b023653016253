package main

import "mailrow/internal/screen"

// Text of a mail is written by strangers, and a terminal obeys what is in it:
// it never gets there but through printable, readable or writeJSON.

// printable replaces all that a terminal would obey rather than show.
func printable(s string) string { return screen.Line(s) }

// readable is printable for a text of several lines.
func readable(s string) string { return screen.Lines(s) }

// writeJSON writes a value in one line.
func (p *program) writeJSON(v any) error {
	text, err := screen.JSON(v)
	if err != nil {
		return err
	}
	return p.write(text)
}

// isTerminal tells whether a person looks at the stream.
func isTerminal(stream any) bool { return screen.IsTerminal(stream) }
