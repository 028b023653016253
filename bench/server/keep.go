package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/pgtest"
	"mailrow/store/schema"
)

// Keep starts a server whose data stay in a folder when it stops, where the next
// finds them; with "" they go as those of Start. It has no database yet; settings are
// of PostgreSQL.
func Keep(folder string, settings map[string]string) (*Server, error) {
	s := &Server{Life: &Life{}}
	err := s.Life.Try(func() {
		if folder == "" {
			s.Cluster = pgtest.New(s.Life, settings)
		} else {
			s.Cluster = pgtest.Keep(s.Life, filepath.Join(folder, "data"), settings)
		}
	})
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	s.DSN = s.Cluster.DSN("postgres", "postgres")
	return s, nil
}

// Named gives the URL of a database with our schema, which is made where it is not
// there yet, and migrated where it is.
func (s *Server) Named(ctx context.Context, name string) (dsn string, err error) {
	var exists bool
	err = With(ctx, s.DSN, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, name).Scan(&exists)
		if err == nil && !exists {
			_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()+" template template0")
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make database %s: %w", name, err)
	}
	dsn = s.Cluster.DSN("postgres", name)
	if !exists {
		return dsn, prepare(ctx, dsn)
	}
	return dsn, With(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := schema.Migrate(ctx, conn)
		return err
	})
}
