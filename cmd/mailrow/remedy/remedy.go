// Package remedy says what to do about an error of the database.
package remedy

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/store"
)

// For gives a remedy, "" where none is known or where the error has said it.
func For(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "3D000":
			return "make it with createdb, or name another with --database"
		case "22021":
			return "write it in UTF-8, and without NUL"
		case "42501":
			return "connect as an administrator, or have one use mailrow grant"
		}
	}
	switch store.TroubleOf(err) {
	case store.TroubleAway:
		return "is the server running? --database, DATABASE_URL or PGHOST name another"
	case store.TroubleRights:
		return "see mailrow setup postgres, or connect as another role with --database"
	case store.TroubleSchema:
		return "run mailrow migrate"
	case store.TroubleReadOnly:
		return "connect to the primary server"
	case store.TroubleNoSlot:
		return "end some connections or raise max_connections"
	case store.TroubleStarting:
		return "try again in a moment"
	case store.TroubleDisk:
		return "make room on the disk of the server"
	}
	return ""
}
