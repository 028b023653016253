package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestUnitsAreValid(t *testing.T) {
	for _, version := range []int{FirstNotifyReload - 1, FirstNotifyReload} {
		t.Run(strconv.Itoa(version), func(t *testing.T) { valid(t, version) })
	}
}

func valid(t *testing.T, version int) {
	setup := Setup{Program: "/bin/true", Config: "/etc/mailrow/mailrow.toml", Socket: "/run/mailrow/lmtp", User: "root", Group: "root", Version: version}
	dir := t.TempDir()
	var paths []string
	for _, file := range Files() {
		text, err := setup.Fragment(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".service") && !strings.Contains(text, "ExecStart=/bin/true --config=/etc/mailrow/mailrow.toml ") {
			t.Errorf("%s does not run the program: %s", file, text)
		}
		if old := strings.Contains(text, "ExecReload="); file == "mailrow-poll.service" && (old == (version >= FirstNotifyReload) || old == strings.Contains(text, "\nType=notify-reload\n")) {
			t.Errorf("%s is reloaded the wrong way: %s", file, text)
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	installed := InstalledVersion(t.Context())
	if _, err := exec.LookPath("systemd-analyze"); err != nil || installed < version {
		t.Logf("systemd here is %d: nobody to judge the units", installed)
		return
	}
	out, err := exec.Command("systemd-analyze", append([]string{"verify"}, paths...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "Unknown") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestUnitsRefuseWhatSystemdWouldRead(t *testing.T) {
	good := Setup{Program: "/usr/bin/mailrow", Socket: "/run/mailrow/lmtp", User: "mailrow", Group: "postfix"}
	for name, spoil := range map[string]func(*Setup){
		"relative path":     func(s *Setup) { s.Program = "mailrow" },
		"blank in a path":   func(s *Setup) { s.Config = "/etc/my mail" },
		"specifier":         func(s *Setup) { s.Socket = "/run/%n" },
		"line in the user":  func(s *Setup) { s.User = "a\nExecStart=/bin/sh" },
		"blank in a group":  func(s *Setup) { s.Group = "a b" },
		"nobody in the end": func(s *Setup) { s.User = "" },
	} {
		s := good
		spoil(&s)
		for _, file := range Files() {
			if text, err := s.Fragment(file); err == nil {
				t.Errorf("%s: got %q", name, text)
			}
		}
	}
}
