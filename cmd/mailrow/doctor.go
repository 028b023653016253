package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/cmd/mailrow/doctor"
)

func (p *program) doctorCommand() *cobra.Command {
	var deliver, user string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the installation, with a probe mail",
		Long: `Checks the configuration file, the database, its schema, rights, durability and
disk, then pipes a probe mail through the real mailrow-deliver, looks at its row
and removes it. Connect as an administrator.

The probe runs like a mail server's delivery: with the configuration file and
without your environment. Only where that file names no database it gets your
--database or DATABASE_URL. As root, --user NAME runs it as the Unix user that
the mail server uses.

The exit status is 1 when a check failed.`,
		Example: `  mailrow doctor
  sudo mailrow --database 'postgres:///mailrow?user=mailrow_admin' doctor --user mailrow`,
		RunE: func(c *cobra.Command, _ []string) error { return p.doctor(c, deliver, user, asJSON) },
	}
	flags := c.Flags()
	flags.StringVar(&deliver, "deliver", "", "`path` of mailrow-deliver (default: beside this program)")
	flags.StringVar(&user, "user", "", "Unix `user` to run it as; needs root")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a check")
	return c
}

func (p *program) doctor(c *cobra.Command, deliver, user string, asJSON bool) error {
	if p.database != "" {
		// A password is a wrong flag, not a finding.
		if _, _, err := p.address(c); err != nil {
			return err
		}
	}
	path, err := deliverPath(deliver)
	if err != nil {
		return err
	}
	config := p.config
	if config != "" {
		if config, err = filepath.Abs(config); err != nil {
			return fmt.Errorf("find configuration file: %w", err)
		}
	}
	log := p.log()
	d := &doctor.Doctor{
		ConfigPath: config,
		Database:   p.database,
		Connect:    func(context.Context) (*pgx.Conn, error) { return p.connect(c) },
		Deliver:    path,
		User:       user,
		Environ:    os.Environ(),
		Command:    func(args []string) { log.Info().Strs("command", args).Msg("probe") },
	}
	checks := d.Examine(c.Context())
	return p.report(checks, asJSON)
}

func (p *program) report(checks []doctor.Check, asJSON bool) error {
	failed := false
	for _, check := range checks {
		failed = failed || check.Status == doctor.Fail
		if asJSON {
			if err := p.writeJSON(check); err != nil {
				return err
			}
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%-4s  %-13s  %s\n", check.Status, check.Name, printable(check.Text))
		if check.Remedy != "" {
			fmt.Fprintf(&b, "      %-13s  → %s\n", "", printable(check.Remedy))
		}
		if err := p.write(b.String()); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}
