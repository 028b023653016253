package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Trouble is what kept the database from storing a mail. None of it is a
// reason to refuse the mail.
type Trouble int

const (
	TroubleUnknown  Trouble = iota // anything not listed here
	TroubleConfig                  // the address of the database cannot be read, or names none
	TroubleAway                    // no server answers
	TroubleLost                    // the connection broke; the outcome may be unknown
	TroubleNoSlot                  // too many connections
	TroubleStarting                // starting up, shutting down, in recovery
	TroubleReadOnly                // a standby, or default_transaction_read_only
	TroubleRights                  // authentication failed, or the role may not deliver
	TroubleSchema                  // not migrated, or to another version
	TroubleDisk                    // disk full
	TroubleMemory                  // the server is out of memory
	TroubleTimeout                 // statement, lock or own deadline
	TroubleContest                 // deadlock or serialization failure
)

// TroubleOf tells the kind of an error of this package, by its type and
// SQLSTATE only.
func TroubleOf(err error) Trouble {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	var config *pgconn.ParseConfigError
	switch {
	case errors.As(err, &pg):
		return troubleOfState(pg.Code)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), pgconn.Timeout(err):
		return TroubleTimeout
	case errors.As(err, &config):
		return TroubleConfig
	case errors.As(err, &connect):
		return TroubleAway
	case errors.Is(err, errSchema):
		return TroubleSchema
	case isLost(err):
		return TroubleLost
	}
	return TroubleUnknown
}

func troubleOfState(code string) Trouble {
	switch code {
	case "53300":
		return TroubleNoSlot
	case "57P01", "57P02", "57P03", "57P05":
		return TroubleStarting
	case "25006":
		return TroubleReadOnly
	case "53100":
		return TroubleDisk
	case "53200":
		return TroubleMemory
	case "57014", "55P03", "25P03", "25P04":
		return TroubleTimeout
	case "42501":
		return TroubleRights
	case "MR001", "42883", "42P01", "42703", "3F000":
		return TroubleSchema
	case "3D000":
		return TroubleConfig
	}
	switch {
	case len(code) < 2:
		return TroubleUnknown
	case code[:2] == "28":
		return TroubleRights
	case code[:2] == "40":
		return TroubleContest
	case code[:2] == "08":
		return TroubleLost
	}
	return TroubleUnknown
}
