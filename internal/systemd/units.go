package systemd

import (
	"context"
	"embed"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// Setup is what the units depend on.
type Setup struct {
	Program string // path of mailrow
	Config  string // path of its configuration file; "" for the default one
	Socket  string // path of the LMTP socket
	User    string // Unix user that the services run as
	Group   string // whose members may write to the socket: the mail server's
	Version int    // of systemd
}

// FirstNotifyReload is the version of systemd from which on a reload is waited for
// without another program.
const FirstNotifyReload = 253

// InstalledVersion is that of systemd on this machine; 0 where there is none.
func InstalledVersion(ctx context.Context) int {
	out, err := exec.CommandContext(ctx, "systemctl", "--version").Output()
	if err != nil {
		return 0
	}
	var version int
	_, _ = fmt.Sscanf(string(out), "systemd %d", &version) // else it stays 0
	return version
}

// NotifyReload says whether systemd knows Type=notify-reload.
func (s Setup) NotifyReload() bool { return s.Version >= FirstNotifyReload }

// Files are the units.
func Files() []string {
	return []string{"mailrow-lmtp.socket", "mailrow-lmtp.service", "mailrow-poll.service", "mailrow-index.service"}
}

// Fragment is one unit.
func (s Setup) Fragment(file string) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	t, err := template.ParseFS(templates, file+".tmpl")
	if err != nil {
		return "", fmt.Errorf("no unit %s: %w", file, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", fmt.Errorf("write unit %s: %w", file, err)
	}
	return b.String(), nil
}

// Command is mailrow with the arguments that every unit needs.
func (s Setup) Command() string {
	if s.Config == "" {
		return s.Program
	}
	return s.Program + " --config=" + s.Config
}

var (
	// What systemd takes as it is, without quotes or specifiers.
	safePath = regexp.MustCompile(`^[A-Za-z0-9!@_=+:,./-]+$`)
	safeName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

func (s Setup) check() error {
	for _, path := range []string{s.Program, s.Config, s.Socket} {
		if path != "" && (!filepath.IsAbs(path) || !safePath.MatchString(path)) {
			return fmt.Errorf("path %q: a unit needs an absolute path of letters, digits and !@_=+:,./-", path)
		}
	}
	for _, name := range []string{s.User, s.Group} {
		if !safeName.MatchString(name) {
			return fmt.Errorf("%q is no name of a Unix user or group", name)
		}
	}
	return nil
}
