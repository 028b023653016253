package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestLine(t *testing.T) {
	server := func(code, message, hint string) error {
		return &pgconn.PgError{Severity: "ERROR", Code: code, Message: message, Hint: hint}
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("find mail\n\tone\x1b[2J"), `find mail; one\x1b[2J`},
		{errors.Join(errors.New("find mail 1: it is not there"), errors.New("delete mail 2: it is locked")),
			"find mail 1: it is not there; delete mail 2: it is locked"},
		{errors.New("connect to `user=x`:\n\t::1: refused\n\t127.0.0.1: refused"), "connect to `user=x`: ::1: refused; 127.0.0.1: refused"},
		{errors.Join(fmt.Errorf("connect: %w", errors.New("no such host")), errors.New("no such host")), "connect: no such host"},
		{fmt.Errorf("save: %w", server("22P02", "invalid input", "")), "save: invalid input (SQLSTATE 22P02)"},
		{fmt.Errorf("save: %w", server("53100", "could not extend file", "Check free disk space.")),
			"save: could not extend file: check free disk space: make room on the disk of the server"},
		{fmt.Errorf("save: %w", server("42501", "permission denied", "")),
			"save: permission denied: connect as an administrator, or have one use mailrow grant"},
		{fmt.Errorf("read: %w", server("XX001", "mailrow: an attachment is missing", "mailrow verify lists it.")),
			"read: an attachment is missing: mailrow verify lists it"},
		{server("P0001", "mailrow: no", ""), "no"},
		{server("22023", "no", "SQL knows."), "no: SQL knows"},
	} {
		if got := line(test.err); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
