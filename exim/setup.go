package exim

import (
	"embed"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// Setup is what the fragments of Exim's configuration depend on.
type Setup struct {
	Deliver string   // path of mailrow-deliver
	Config  string   // path of its configuration file; "" for the default one
	Socket  string   // of mailrow lmtp, for the way that needs it
	User    string   // Unix user that the transport runs it as
	Domains []string // whose mail it gets
}

// Ways are the ways in which Exim can hand mail over, the recommended one
// first.
func Ways() []string { return []string{"pipe", "bsmtp", "lmtp"} }

// Files are the sections of Exim's configuration that a way has a fragment for,
// in their order there.
func Files(way string) []string {
	switch way {
	case "pipe", "bsmtp", "lmtp":
		return []string{"main", "routers", "transports", "retry"}
	}
	return nil
}

// Fragment is what a way adds to a section.
func (s Setup) Fragment(way, section string) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	name := section + ".tmpl"
	if section == "transports" {
		name = way + "." + name
	}
	t, err := template.ParseFS(templates, name, "environment.tmpl", "outcome.tmpl")
	if err != nil {
		return "", fmt.Errorf("no fragment of %s for %s: %w", section, way, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", fmt.Errorf("write fragment of %s: %w", section, err)
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

// TempErrors lists every exit status that is not success or one of our two
// rejections: Exim bounces what it is not told to try again.
func (s Setup) TempErrors() string {
	const perLine = 16
	var b strings.Builder
	n := 0
	for status := 1; status <= 255; status++ {
		if status == rejectedRecipient || status == rejectedSize {
			continue
		}
		if n > 0 {
			b.WriteString(":")
			if n%perLine == 0 {
				b.WriteString(" \\\n    ")
			}
		}
		b.WriteString(strconv.Itoa(status))
		n++
	}
	return b.String()
}

// What mailrow-deliver exits with when it refuses a mail for good.
const (
	rejectedRecipient = 67
	rejectedSize      = 69
)

var (
	safePath   = regexp.MustCompile(`^[A-Za-z0-9!@%_=+:,./-]+$`)
	safeUser   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	safeDomain = regexp.MustCompile(`^[^\s,:;#$"'{}()<>@/\\]+$`)
)

func (s Setup) check() error {
	for _, path := range []string{s.Deliver, s.Config, s.Socket} {
		if path != "" && (!filepath.IsAbs(path) || !safePath.MatchString(path)) {
			return fmt.Errorf("path %q: Exim's command needs an absolute path of letters, digits and !@%%-_=+:,./", path)
		}
	}
	if !safeUser.MatchString(s.User) || s.User == "root" {
		return fmt.Errorf("user %q: Exim needs a Unix user other than root", s.User)
	}
	for _, domain := range s.Domains {
		if !safeDomain.MatchString(domain) {
			return fmt.Errorf("domain %q is no domain name", domain)
		}
	}
	return nil
}
