package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"mailrow/deliver"
	"mailrow/store"
	"mailrow/store/schema"
	"mailrow/store/search"
)

const connectTimeout = 10 * time.Second

// address finds where the database is, and what said so.
func (p *program) address(c *cobra.Command) (dsn, from string, err error) {
	if p.database != "" {
		if store.HasPassword(p.database) {
			return "", "", misused(c, "--database holds a password, which every user of this machine can see: "+
				"put it into ~/.pgpass, DATABASE_URL or the configuration file")
		}
		return p.database, "--database", nil
	}
	if url := p.getenv("DATABASE_URL"); url != "" {
		return url, "DATABASE_URL", nil
	}
	config, err := deliver.ReadConfig(p.config)
	if err != nil {
		return "", "", err
	}
	if config.Database != "" {
		return config.Database, "the configuration file", nil
	}
	return "", "the environment", nil
}

// connect opens a connection to whatever schema is there.
func (p *program) connect(c *cobra.Command) (*pgx.Conn, error) {
	dsn, from, err := p.address(c)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, addressError(dsn, from, err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if _, ok := config.RuntimeParams["application_name"]; !ok {
		config.RuntimeParams["application_name"] = "mailrow"
	}
	// Whatever the role, the database or PGOPTIONS say: text is exchanged so.
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["datestyle"] = "ISO"
	// No named statements: they do not survive a pooler in transaction mode.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	log := p.log()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { log.Info().Str("severity", n.Severity).Msg(n.Message) }
	start := time.Now()
	conn, err := pgx.ConnectConfig(c.Context(), config)
	if err != nil {
		return nil, fmt.Errorf("connect to database (address from %s): %w", from, err)
	}
	log.Info().Str("host", config.Host).Str("database", config.Database).Str("role", config.User).
		Str("address", from).Dur("ms", time.Since(start)).Msg("connected")
	return conn, nil
}

// addressError names the trouble with an address, and never shows a password:
// of one that may hold it nothing is shown, since what cannot be parsed cannot
// be redacted for certain.
func addressError(dsn, from string, err error) error {
	const forms = "write postgres://user@host/database or key=value pairs"
	if strings.Contains(strings.ToLower(dsn), "password") || strings.Count(dsn, ":") > strings.Count(dsn, "://") {
		return fmt.Errorf("the database address from %s cannot be read: %s", from, forms)
	}
	return fmt.Errorf("the database address from %s cannot be read: %w: %s", from, err, forms)
}

// open connects and makes sure that the schema is ours. Who may not read its
// version, as a reader may not, learns of another one by what fails.
func (p *program) open(c *cobra.Command) (*pgx.Conn, error) {
	conn, err := p.connect(c)
	if err != nil {
		return nil, err
	}
	version, err := schema.Version(c.Context(), conn)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "42501":
		err = nil
	case err == nil && version == 0:
		err = fmt.Errorf("database %s has no mailrow schema: run mailrow migrate, or name another with --database", conn.Config().Database)
	case err == nil && version > schema.Wanted():
		err = &schema.NewerError{Database: version, Program: schema.Wanted()}
	case err == nil && version < schema.Wanted():
		err = fmt.Errorf("database %s has schema version %d, this program wants %d: run mailrow migrate",
			conn.Config().Database, version, schema.Wanted())
	}
	if err != nil {
		p.close(conn)
		return nil, err
	}
	return conn, nil
}

// connector is open for who has a context of its own for each connection.
func (p *program) connector(c *cobra.Command) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) {
		within := *c
		within.SetContext(ctx)
		return p.open(&within)
	}
}

// with lends a connection of open to a command.
func (p *program) with(c *cobra.Command, use func(context.Context, *pgx.Conn) error) error {
	conn, err := p.open(c)
	if err != nil {
		return err
	}
	defer p.close(conn)
	err = use(c.Context(), conn)
	var query *search.QueryError
	if errors.As(search.Explain(err), &query) {
		return misused(c, "%s: %s", query.Problem, clause(query.Remedy))
	}
	return err
}

// close says goodbye; whatever was done is done. After an interruption it
// waits a moment until the server has heard that it should stop as well.
func (p *program) close(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		log := p.log()
		log.Warn().Err(err).Msg("close connection")
	}
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}
