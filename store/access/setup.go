package access

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// Setup is what the configuration of PostgreSQL depends on.
type Setup struct {
	Database  string
	Role      string   // that mailrow-deliver connects as
	Users     []string // Unix users who may connect as it
	EveryUser bool     // all of them may
	Admin     string   // that an operator connects as
	Operator  string   // Unix user who may connect as it
	SocketDir string   // of the server
}

// Files are those that have a fragment, in the order in which they are needed.
func Files() []string { return []string{"roles.sql", "pg_ident.conf", "pg_hba.conf", "mailrow.toml"} }

// Fragment is what one of the files gets.
func (s Setup) Fragment(file string) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	t, err := template.ParseFS(templates, file+".tmpl")
	if err != nil {
		return "", fmt.Errorf("no fragment of %s: %w", file, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", fmt.Errorf("write fragment of %s: %w", file, err)
	}
	return b.String(), nil
}

var (
	// What neither SQL nor pg_hba.conf nor a URL needs quotes for.
	safeName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	safeUser = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	safePath = regexp.MustCompile(`^/[A-Za-z0-9_./-]*$`)
)

func (s Setup) check() error {
	for _, name := range []string{s.Database, s.Role, s.Admin} {
		if !safeName.MatchString(name) {
			return fmt.Errorf("name %q: use lower-case letters, digits and _", name)
		}
	}
	for _, user := range append([]string{s.Operator}, s.Users...) {
		if !safeUser.MatchString(user) {
			return fmt.Errorf("user %q is no name of a Unix user", user)
		}
	}
	if !safePath.MatchString(s.SocketDir) {
		return fmt.Errorf("socket folder %q: use an absolute path of letters, digits and _./-", s.SocketDir)
	}
	return nil
}
