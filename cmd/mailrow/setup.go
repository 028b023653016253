package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mailrow/exim"
	"mailrow/internal/systemd"
	"mailrow/postfix"
	"mailrow/store/access"
)

func (p *program) setupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "setup",
		Short: "Print configuration for Postfix, Exim, PostgreSQL or systemd",
		Long: `Prints what to put into which file, with the reason of whatever is unusual. It
changes nothing. With --file it prints only that file's part, ready to append.`,
		Example: `  mailrow setup postgres
  mailrow setup postfix --domain example.org --file master.cf >> /etc/postfix/master.cf`,
	}
	c.AddCommand(p.setupPostfixCommand(), p.setupEximCommand(), p.setupPostgresCommand(), p.setupSystemdCommand())
	return c
}

// fragments are the parts of a configuration: way by way, file by file.
type fragments struct {
	ways  []string
	files func(way string) []string
	text  func(way, file string) (string, error)
}

// mta are the flags of both mail servers.
type mta struct {
	deliver, socket, user, way, file string
	domains                          []string
}

func (m *mta) flags(c *cobra.Command, ways []string) {
	flags := c.Flags()
	flags.StringVar(&m.deliver, "deliver", "", "`path` of mailrow-deliver (default: beside this program)")
	flags.StringVar(&m.socket, "socket", "/run/mailrow/lmtp", "`path` of the socket of mailrow lmtp, for --as lmtp")
	flags.StringVar(&m.user, "user", "mailrow", "Unix `user` that runs mailrow-deliver")
	flags.StringSliceVar(&m.domains, "domain", []string{"example.org"}, "`domain` whose mail goes to mailrow; several with commas")
	flags.StringVar(&m.way, "as", ways[0], "how the mail server hands mail over: "+strings.Join(ways, ", "))
	flags.StringVar(&m.file, "file", "", "print only what goes into this `file`")
}

func (p *program) setupPostfixCommand() *cobra.Command {
	var m mta
	c := &cobra.Command{
		Use:   "postfix",
		Short: "Print configuration for Postfix",
		Long: `Prints what makes Postfix run mailrow-deliver:

  --as transport         a service of pipe(8), for whole domains (recommended)
  --as mailbox_command   by local(8), for every Unix user
  --as alias             by local(8), for one address

or hand mail to the daemon mailrow lmtp:

  --as lmtp              for volume`,
		Example: `  mailrow setup postfix --domain example.org,example.net
  mailrow setup postfix --as mailbox_command`,
		RunE: func(c *cobra.Command, _ []string) error {
			deliver, config, err := p.paths(m.deliver)
			if err != nil {
				return err
			}
			s := postfix.Setup{Deliver: deliver, Config: config, Socket: m.socket, User: m.user, Domains: m.domains}
			return p.printFragments(c, fragments{postfix.Ways(), postfix.Files, s.Fragment}, m.way, m.file)
		},
	}
	m.flags(c, postfix.Ways())
	return c
}

func (p *program) setupEximCommand() *cobra.Command {
	var m mta
	c := &cobra.Command{
		Use:   "exim",
		Short: "Print configuration for Exim",
		Long: `Prints what makes Exim run mailrow-deliver, by section of its configuration:

  --as pipe    one run per recipient, each with a status of its own (recommended)
  --as bsmtp   one run for many recipients

or hand mail to the daemon mailrow lmtp:

  --as lmtp    for volume`,
		Example: `  mailrow setup exim --domain example.org
  mailrow setup exim --as bsmtp --file transports`,
		RunE: func(c *cobra.Command, _ []string) error {
			deliver, config, err := p.paths(m.deliver)
			if err != nil {
				return err
			}
			s := exim.Setup{Deliver: deliver, Config: config, Socket: m.socket, User: m.user, Domains: m.domains}
			return p.printFragments(c, fragments{exim.Ways(), exim.Files, s.Fragment}, m.way, m.file)
		},
	}
	m.flags(c, exim.Ways())
	return c
}

func (p *program) setupPostgresCommand() *cobra.Command {
	var s access.Setup
	var file string
	c := &cobra.Command{
		Use:   "postgres",
		Short: "Print roles and peer authentication for PostgreSQL",
		Long: `Prints the roles that mailrow-deliver and an operator connect as, the lines that
let them in without a password, and the configuration file that makes
mailrow-deliver do so. Run mailrow migrate first.`,
		Example: `  mailrow setup postgres --user mailrow,Debian-exim
  mailrow setup postgres --every-user
  mailrow setup postgres --file roles.sql | psql mailrow`,
		RunE: func(c *cobra.Command, _ []string) error {
			only := fragments{
				ways:  []string{""},
				files: func(string) []string { return access.Files() },
				text:  func(_, file string) (string, error) { return s.Fragment(file) },
			}
			return p.printFragments(c, only, "", file)
		},
	}
	flags := c.Flags()
	flags.StringSliceVar(&s.Users, "user", []string{"mailrow"}, "Unix `user` that runs mailrow-deliver; several with commas")
	flags.BoolVar(&s.EveryUser, "every-user", false, "let every Unix user deliver, as mailbox_command needs")
	flags.StringVar(&s.Database, "database-name", "mailrow", "`name` of the database")
	flags.StringVar(&s.Role, "role", "mailrow", "database `role` that mailrow-deliver connects as")
	flags.StringVar(&s.Admin, "admin", "mailrow_admin", "database `role` that an operator connects as")
	flags.StringVar(&s.Operator, "operator", "root", "Unix `user` who may connect as it")
	flags.StringVar(&s.SocketDir, "socket", "/var/run/postgresql", "`folder` of the server's Unix socket")
	flags.StringVar(&file, "file", "", "print only what goes into this `file`")
	return c
}

func (p *program) setupSystemdCommand() *cobra.Command {
	var s systemd.Setup
	var file string
	c := &cobra.Command{
		Use:   "systemd",
		Short: "Print units for the programs that go on running",
		Long: `Prints a socket and a service for mailrow lmtp, a service that polls mailboxes
elsewhere, and one that indexes new mail for the search.`,
		Example: `  mailrow setup systemd --group postfix
  mailrow setup systemd --file mailrow-lmtp.socket > /etc/systemd/system/mailrow-lmtp.socket`,
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find mailrow: %w", err)
			}
			s.Program = self
			if s.Version == 0 {
				s.Version = systemd.InstalledVersion(c.Context())
			}
			if p.config != "" {
				if s.Config, err = filepath.Abs(p.config); err != nil {
					return fmt.Errorf("find configuration file: %w", err)
				}
			}
			only := fragments{
				ways:  []string{""},
				files: func(string) []string { return systemd.Files() },
				text:  func(_, file string) (string, error) { return s.Fragment(file) },
			}
			return p.printFragments(c, only, "", file)
		},
	}
	flags := c.Flags()
	flags.StringVar(&s.Socket, "socket", "/run/mailrow/lmtp", "`path` of the LMTP socket")
	flags.StringVar(&s.User, "user", "mailrow", "Unix `user` that mailrow lmtp and mailrow poll run as")
	flags.IntVar(&s.Version, "systemd-version", 0, "`version` of systemd that is to read the units (default: the one of this machine)")
	flags.StringVar(&s.Group, "group", "postfix", "Unix `group` of the mail server, which may write to the socket")
	flags.StringVar(&file, "file", "", "print only this `file`")
	return c
}

// paths finds the program that mail servers run, and the file that it is to
// read if that is not the default one.
func (p *program) paths(deliver string) (program, config string, err error) {
	if program, err = deliverPath(deliver); err != nil {
		return "", "", err
	}
	if info, err := os.Stat(program); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		fmt.Fprintf(p.err, "mailrow: warning: %s is no program yet: install it there or name another with --deliver\n", printable(program))
	}
	if p.config != "" {
		if config, err = filepath.Abs(p.config); err != nil {
			return "", "", fmt.Errorf("find configuration file: %w", err)
		}
	}
	return program, config, nil
}

// deliverPath is absolute; the default is beside this program.
func deliverPath(given string) (string, error) {
	if given == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find mailrow-deliver: %w: name it with --deliver", err)
		}
		return filepath.Join(filepath.Dir(self), "mailrow-deliver"), nil
	}
	path, err := filepath.Abs(given)
	if err != nil {
		return "", fmt.Errorf("find mailrow-deliver: %w", err)
	}
	return path, nil
}

func (p *program) printFragments(c *cobra.Command, f fragments, way, file string) error {
	if !slices.Contains(f.ways, way) {
		return misused(c, "--as %q: it is one of %s", way, strings.Join(f.ways, ", "))
	}
	files := f.files(way)
	if file != "" {
		if !slices.Contains(files, file) {
			return misused(c, "--file %q: it is one of %s", file, strings.Join(files, ", "))
		}
		files = []string{file}
	}
	var parts []string
	for _, name := range files {
		text, err := f.text(way, name)
		if err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		parts = append(parts, text)
	}
	return p.write(strings.Join(parts, "\n"))
}
