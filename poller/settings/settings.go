// Package settings reads the files in which IMAPClient has mailboxes
// (https://imapclient.readthedocs.io/en/master/advanced.html#configuration-file-format),
// as Python's configparser does.
package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailrow/poller/oauth"
	"mailrow/poller/sasl"
)

// Settings are a mailbox.
type Settings struct {
	URI      string // without a password
	Password *sasl.Secret
	OAuth    *OAuth
	Warnings []string // of what has no meaning here
}

// OAuth is a grant that was given elsewhere.
type OAuth struct {
	Provider oauth.Provider
	Client   oauth.Client
	Refresh  sasl.Secret
}

// Error is a file that cannot be understood. It shows no value but of a number or
// a truth: any other may be a password in the wrong line.
type Error struct {
	File, Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("read settings %s: %s", e.File, e.Reason) }

// fromEnvironment are options that have a fall-back there: imapclient_password and
// so on.
var fromEnvironment = []string{"username", "password", "oauth2_client_id", "oauth2_client_secret", "oauth2_refresh_token"}

// understood are the options that mean something here.
var understood = []string{
	"host", "port", "username", "password", "stream",
	"ssl", "starttls", "ssl_check_hostname", "ssl_verify_cert", "ssl_ca_file",
	"oauth2", "oauth2_client_id", "oauth2_client_secret", "oauth2_refresh_token",
}

// Read reads a section of a file, DEFAULT where it is "". Its error is an *Error,
// or that of reading the file.
func Read(path, section string, getenv func(string) string) (Settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	var s Settings
	if stat, err := os.Stat(path); err == nil && stat.Mode().Perm()&0o077 != 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("others can read %s, and the passwords in it: chmod 600 %s", path, path))
	}
	f, err := parse(string(text))
	if err == nil {
		var o options
		if o, err = f.options(section, getenv); err == nil {
			err = s.read(o)
		}
	}
	if err != nil {
		return Settings{}, &Error{path, err.Error()}
	}
	return s, nil
}

// read makes a mailbox of options.
func (s *Settings) read(o options) error {
	for _, name := range o.names() {
		if !slices.Contains(understood, name) {
			s.Warnings = append(s.Warnings, name+" means nothing here")
		}
	}
	if o["host"] == "" {
		return fmt.Errorf("host is missing: write for example host = imap.example.com")
	}
	stream, err := o.truth("stream", false)
	if err != nil {
		return err
	}
	if stream {
		return s.program(o["host"])
	}
	if o["username"] == "" {
		return fmt.Errorf("username is missing: write for example username = ann@example.com")
	}
	if err := s.place(o); err != nil {
		return err
	}
	token, err := o.truth("oauth2", false)
	switch {
	case err != nil:
		return err
	case token:
		return s.grant(o)
	case o["password"] != "":
		password := sasl.NewSecret(o["password"])
		s.Password = &password
	}
	return nil
}

// program is a server to be started, which has logged us in. IMAPClient has a shell
// start it, and nobody does here.
func (s *Settings) program(command string) error {
	if strings.ContainsAny(command, "|&;<>()$`'\"\\*?") {
		return fmt.Errorf("host is a command that only a shell understands: put it into a script, and name that")
	}
	words := strings.Fields(command)
	for i := range words {
		words[i] = escape(words[i])
	}
	s.URI = "imap+exec:" + strings.Join(words, " ")
	return nil
}

// place is where the mailbox is, and how the server proves that it is the right one.
func (s *Settings) place(o options) error {
	starttls, err := o.truth("starttls", false)
	if err != nil {
		return err
	}
	_, said := o["ssl"]
	ssl, err := o.truth("ssl", !starttls)
	if err != nil {
		return err
	}
	scheme := "imap"
	switch {
	case ssl && starttls && said:
		return fmt.Errorf("ssl and starttls are both on: one of them has to go")
	case starttls:
		scheme = "imap+tls"
	case ssl:
		scheme = "imap+ssl"
	}
	s.URI = scheme + "://" + escape(o["username"]) + "@"
	if strings.Contains(o["host"], ":") {
		s.URI += "[" + o["host"] + "]"
	} else {
		s.URI += escape(o["host"])
	}
	if port := o["port"]; port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("port is no number between 1 and 65535")
		}
		s.URI += ":" + strconv.FormatUint(n, 10)
	}
	verify, err := o.truth("ssl_verify_cert", true)
	if err != nil {
		return err
	}
	name, err := o.truth("ssl_check_hostname", true)
	switch {
	case err != nil:
		return err
	case scheme == "imap": // nothing is verified there
	case !verify:
		s.URI += "?tls=insecure"
	case !name:
		return fmt.Errorf("ssl_check_hostname = false is not possible here, since any server could then take its place: take it out, add the source without -f, and pin its certificate with ?pin=sha256:…")
	case o["ssl_ca_file"] != "":
		path, err := absolute(o["ssl_ca_file"])
		if err != nil {
			return err
		}
		s.URI += "?ca=" + escape(path)
	}
	return nil
}

// grant is the refresh token of a client. Who gives tokens is known by the server.
func (s *Settings) grant(o options) error {
	provider, found := oauth.Of(o["host"])
	if !found {
		return fmt.Errorf("oauth2 is on, but whose tokens %s takes is not known: add the source without it, then run mailrow auth URL", o["host"])
	}
	for _, name := range []string{"oauth2_client_id", "oauth2_refresh_token"} {
		if o[name] == "" {
			return fmt.Errorf("oauth2 is on, and %s is missing", name)
		}
	}
	s.OAuth = &OAuth{
		Provider: provider,
		Client:   oauth.Client{ID: o["oauth2_client_id"], Secret: sasl.NewSecret(o["oauth2_client_secret"])},
		Refresh:  sasl.NewSecret(o["oauth2_refresh_token"]),
	}
	return nil
}

// absolute is a path as a shell reads it, for the poller, which is elsewhere.
func absolute(path string) (string, error) {
	if rest, found := strings.CutPrefix(path, "~/"); found {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find ~: %w", err)
		}
		path = filepath.Join(home, rest)
	}
	return filepath.Abs(path)
}

// escape writes as %XX all that could stand for something else in a URI.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// options are those of a section, by name.
type options map[string]string

func (o options) names() []string {
	var names []string
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// truth reads a boolean as configparser does.
func (o options) truth(name string, otherwise bool) (bool, error) {
	switch value := strings.ToLower(o[name]); value {
	case "":
		return otherwise, nil
	case "1", "yes", "true", "on":
		return true, nil
	case "0", "no", "false", "off":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither true nor false: write one of them", name)
}
