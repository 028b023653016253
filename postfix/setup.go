package postfix

import (
	"embed"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// Setup is what the fragments of Postfix's configuration depend on.
type Setup struct {
	Deliver string   // path of mailrow-deliver
	Config  string   // path of its configuration file; "" for the default one
	Socket  string   // of mailrow lmtp, for the way that needs it
	User    string   // Unix user that pipe(8) runs it as
	Domains []string // whose mail it gets
}

// Ways are the ways in which Postfix can hand mail over, the recommended
// one first.
func Ways() []string { return []string{"transport", "mailbox_command", "alias", "lmtp"} }

// Files are those that a way has a fragment for.
func Files(way string) []string {
	switch way {
	case "transport":
		return []string{"main.cf", "master.cf"}
	case "mailbox_command", "lmtp":
		return []string{"main.cf"}
	case "alias":
		return []string{"aliases"}
	}
	return nil
}

// Fragment is what a way adds to a file.
func (s Setup) Fragment(way, file string) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	t, err := template.ParseFS(templates, way+"."+file+".tmpl")
	if err != nil {
		return "", fmt.Errorf("no fragment of %s for %s: %w", file, way, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", fmt.Errorf("write fragment of %s: %w", file, err)
	}
	return b.String(), nil
}

// Command is mailrow-deliver with the arguments that every way needs.
func (s Setup) Command() string {
	if s.Config == "" {
		return s.Deliver
	}
	return s.Deliver + " --config=" + s.Config
}

var (
	// local(8) hands any other character to a shell (command_expansion_filter
	// is the same set), and a shell turns a crash into a bounce.
	safePath   = regexp.MustCompile(`^[A-Za-z0-9!@%_=+:,./-]+$`)
	safeUser   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	safeDomain = regexp.MustCompile(`^[^\s,:;#$"'{}()<>@/\\]+$`)
)

func (s Setup) check() error {
	for _, path := range []string{s.Deliver, s.Config, s.Socket} {
		if path != "" && (!filepath.IsAbs(path) || !safePath.MatchString(path)) {
			return fmt.Errorf("path %q: Postfix needs an absolute path of letters, digits and !@%%-_=+:,./ to run it without a shell", path)
		}
	}
	if !safeUser.MatchString(s.User) || s.User == "root" || s.User == "postfix" {
		return fmt.Errorf("user %q: pipe(8) needs a Unix user other than root and postfix", s.User)
	}
	for _, domain := range s.Domains {
		if !safeDomain.MatchString(domain) {
			return fmt.Errorf("domain %q is no domain name", domain)
		}
	}
	return nil
}
