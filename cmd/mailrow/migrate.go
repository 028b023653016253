package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mailrow/migrations"
	"mailrow/store/schema"
)

func (p *program) migrateCommand() *cobra.Command {
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of this program",
		Long: `Applies what the database lacks, each file in a transaction of its own, and
sets the rights of the roles anew. Several at once wait for each other. Run it
as a superuser, or as a role with CREATEROLE that owns the database.

A database that a later version has migrated is left alone.`,
		Example: `  mailrow migrate --dry-run
  mailrow --database 'postgres:///mailrow?user=postgres' migrate`,
		RunE: func(c *cobra.Command, _ []string) error { return p.migrate(c, dryRun, asJSON) },
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "tell what would be applied, and change nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// migrated is the outcome for programs.
type migrated struct {
	Applied []string `json:"applied"`
	Pending []string `json:"pending"`
	Version int      `json:"version"`
}

func (p *program) migrate(c *cobra.Command, dryRun, asJSON bool) error {
	conn, err := p.connect(c)
	if err != nil {
		return err
	}
	defer p.close(conn)
	verb, list := "applied", []migrations.Migration(nil)
	if dryRun {
		verb = "pending"
		list, err = schema.Pending(c.Context(), conn)
	} else {
		list, err = schema.Migrate(c.Context(), conn)
	}
	if asJSON {
		if err != nil {
			return err
		}
		outcome := migrated{Applied: []string{}, Pending: []string{}, Version: schema.Wanted()}
		if dryRun {
			outcome.Pending = names(list)
			outcome.Version -= len(list)
		} else {
			outcome.Applied = names(list)
		}
		return p.writeJSON(outcome)
	}
	// What was applied before an error stands.
	for _, m := range list {
		if err := p.write(fmt.Sprintf("%s %s\n", verb, m.Name)); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("migrate database %s: %w", conn.Config().Database, err)
	}
	if len(list) == 0 {
		return p.write(fmt.Sprintf("the schema is up to date (version %d)\n", schema.Wanted()))
	}
	return nil
}

func names(list []migrations.Migration) []string {
	all := make([]string, len(list))
	for i, m := range list {
		all[i] = m.Name
	}
	return all
}
