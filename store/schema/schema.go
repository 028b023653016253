// Package schema brings the database to the schema that this program was built for.
package schema

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailrow/migrations"
)

// lockKey is the advisory lock that one migrating session holds: "mailrow" in
// ASCII, since the number must not be anybody else's.
const lockKey = 0x6d61696c726f77

// NewerError says that the database was migrated by a later version of mailrow.
type NewerError struct {
	Database, Program int // schema versions
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database has schema version %d, this program knows %d: install the mailrow that migrated it",
		e.Database, e.Program)
}

// Version gives the schema version of the database, 0 where there is none yet.
func Version(ctx context.Context, conn *pgx.Conn) (int, error) {
	var version int
	err := conn.QueryRow(ctx, `select coalesce(max(version), 0) from mailrow.migrations`).Scan(&version)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version, nil
}

// Wanted is the schema version that this program was built for.
func Wanted() int { return len(migrations.All()) }

// Pending gives the migrations that the database lacks. It is a *NewerError
// when the database is ahead of this program.
func Pending(ctx context.Context, conn *pgx.Conn) ([]migrations.Migration, error) {
	version, err := Version(ctx, conn)
	if err != nil {
		return nil, err
	}
	all := migrations.All()
	if version > len(all) {
		return nil, &NewerError{Database: version, Program: len(all)}
	}
	return all[version:], nil
}

// Migrate applies what is pending, each migration in a transaction of its own,
// and gives what it applied. Simultaneous runs wait for each other. After an
// error every migration before the failing one stands.
func Migrate(ctx context.Context, conn *pgx.Conn) (applied []migrations.Migration, err error) {
	for {
		var one *migrations.Migration
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			one, err = step(ctx, conn, tx)
			return err
		})
		if err != nil {
			return applied, err
		}
		if one == nil {
			return applied, nil
		}
		applied = append(applied, *one)
	}
}

// step applies the next migration, or only renews roles and rights when there
// is none. Everything runs in the transaction: it also works through a pooler.
func step(ctx context.Context, conn *pgx.Conn, tx pgx.Tx) (*migrations.Migration, error) {
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(lockKey)); err != nil {
		return nil, fmt.Errorf("wait for another migration: %w", err)
	}
	if err := refuseOld(ctx, tx); err != nil {
		return nil, err
	}
	if err := refuseEncoding(ctx, tx); err != nil {
		return nil, err
	}
	// Names are resolved here once and for all: nobody may slip an operator of
	// their own in, from a schema in which they may create one.
	if _, err := tx.Exec(ctx, `set local search_path = pg_catalog, pg_temp`); err != nil {
		return nil, fmt.Errorf("fix search_path: %w", err)
	}
	if _, err := tx.Exec(ctx, migrations.Roles()); err != nil {
		return nil, fmt.Errorf("make roles and schemas: %w", explain(err))
	}
	if _, err := tx.Exec(ctx, `
		set local role mailrow_owner;
		create table if not exists mailrow.migrations (
			version integer primary key,
			name text not null,
			applied_at timestamptz not null default now()
		);
		comment on table mailrow.migrations is 'One row per migration of this schema that was applied.'`); err != nil {
		return nil, fmt.Errorf("make table of migrations: %w", err)
	}
	pending, err := Pending(ctx, tx.Conn())
	if err != nil {
		return nil, err
	}
	var one *migrations.Migration
	if len(pending) > 0 {
		one = &pending[0]
		if _, err := tx.Exec(ctx, one.SQL); err != nil {
			return nil, fmt.Errorf("apply %s: %w", one.Name, err)
		}
		if _, err := tx.Exec(ctx, `insert into mailrow.migrations (version, name) values ($1, $2)`, one.Version, one.Name); err != nil {
			return nil, fmt.Errorf("record %s: %w", one.Name, err)
		}
	}
	if len(pending) <= 1 {
		if _, err := tx.Exec(ctx, migrations.Rights()); err != nil {
			return nil, fmt.Errorf("set rights: %w", err)
		}
	}
	return one, nil
}

// OldestServer is the oldest PostgreSQL that the schema runs on.
const OldestServer = 14

func refuseOld(ctx context.Context, tx pgx.Tx) error {
	var number int
	if err := tx.QueryRow(ctx, `select current_setting('server_version_num')::integer`).Scan(&number); err != nil {
		return fmt.Errorf("read server version: %w", err)
	}
	if number/10000 < OldestServer {
		return fmt.Errorf("the server is PostgreSQL %d: mailrow needs %d or newer", number/10000, OldestServer)
	}
	return nil
}

// refuseEncoding: a mail whose subject the database cannot write would be
// tried again forever.
func refuseEncoding(ctx context.Context, tx pgx.Tx) error {
	var database, encoding string
	if err := tx.QueryRow(ctx, `select current_database(), current_setting('server_encoding')`).Scan(&database, &encoding); err != nil {
		return fmt.Errorf("read encoding: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("database %s has encoding %s: mailrow needs UTF8: make one with createdb -T template0 -E UTF8", database, encoding)
	}
	return nil
}

// explain adds the remedy where the connected role is not allowed to migrate.
func explain(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return fmt.Errorf("%w: migrate as a superuser, or as a role with CREATEROLE that owns the database", err)
	}
	return err
}
