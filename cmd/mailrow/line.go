package main

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/cmd/mailrow/remedy"
)

// line is an error in one line, with its remedy. Errors that were joined are
// divided by semicolons; what pgx tries in two ways fails twice and is said once.
func line(err error) string {
	what := remedy.For(err)
	text := err.Error()
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		text = strings.Replace(text, pg.Error(), sentence(pg, what != ""), 1)
	}
	var said []string
	for next := range strings.Lines(text) {
		next = strings.Join(strings.Fields(next), " ")
		if next != "" && (len(said) == 0 || !strings.HasSuffix(said[len(said)-1], next)) {
			said = append(said, next)
		}
	}
	text = strings.ReplaceAll(strings.Join(said, "; "), ":; ", ": ")
	if what != "" {
		text += ": " + what
	}
	return printable(text)
}

// sentence is what the server says, for people: without what only programs
// want, but for the SQLSTATE where nothing else tells how to go on.
func sentence(pg *pgconn.PgError, remedied bool) string {
	text, ours := strings.CutPrefix(pg.Message, "mailrow: ")
	if pg.Hint != "" {
		return text + ": " + clause(pg.Hint)
	}
	if !ours && !remedied {
		text += " (SQLSTATE " + pg.Code + ")"
	}
	return text
}

// clause is a sentence as it goes on after a colon.
func clause(sentence string) string {
	sentence = strings.TrimSuffix(sentence, ".")
	first, size := utf8.DecodeRuneInString(sentence)
	if second, _ := utf8.DecodeRuneInString(sentence[size:]); size == 0 || unicode.IsUpper(second) {
		return sentence // a name such as SQL
	}
	return string(unicode.ToLower(first)) + sentence[size:]
}
