// Package secret gets the passwords and tokens that sources log in with from
// where they are kept.
//
// Its law: what is stored in a row, printed or put into an error is a Reference,
// which says where a secret is and is none. What a program prints on standard
// output or a file holds is never part of an error.
package secret

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"mailrow/poller/sasl"
)

// Reference says where a secret is:
//
//	file:/etc/mailrow/ann.password       first line of a file that others cannot read
//	env:ANN_PASSWORD                     environment variable
//	command:pass show mail/ann           first line that a program prints
//	credential:ann                       systemd's LoadCredential= of the service
//	sealed:AQx3…                         encrypted, under a KeyFile
//
// It may be stored and shown. The zero Reference is none.
type Reference struct {
	kind, value string
}

// Error is a text that is no reference. It may be a password in the wrong place:
// the error shows nothing of it.
type Error struct{ Reason string }

func (e *Error) Error() string {
	return e.Reason + ": write file:/PATH, env:NAME, command:PROGRAM ARGUMENTS or credential:NAME"
}

const (
	file       = "file"
	env        = "env"
	command    = "command"
	credential = "credential"
	sealed     = "sealed"
)

// maxReference is that of the largest secret, sealed.
const maxReference = 100_000

var valid = map[string]*regexp.Regexp{
	file:       regexp.MustCompile(`^/[^\x00-\x1f\x7f]+$`),
	env:        regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`),
	command:    regexp.MustCompile(`^[^\x00-\x1f\x7f ][^\x00-\x1f\x7f]*$`),
	credential: regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`),
	sealed:     regexp.MustCompile(`^[A-Za-z0-9_-]{40,}$`),
}

var mistakes = map[string]string{
	file:       "file: needs an absolute path in one line",
	env:        "env: needs the name of an environment variable, of letters, digits and _",
	command:    "command: needs a program and its arguments in one line",
	credential: "credential: needs a name of letters, digits, _, - and .",
	sealed:     "sealed: is not what mailrow has written",
}

// Parse reads a reference. Its error is an *Error.
func Parse(text string) (Reference, error) {
	kind, value, found := strings.Cut(text, ":")
	form := valid[kind]
	switch {
	case !found || form == nil:
		return Reference{}, &Error{"this does not say where a secret is"}
	case len(text) > maxReference || strings.ToValidUTF8(value, "") != value || !form.MatchString(value):
		return Reference{}, &Error{mistakes[kind]}
	}
	if kind == command {
		if _, err := words(value); err != nil {
			return Reference{}, err
		}
	}
	return Reference{kind, value}, nil
}

// String is what Parse reads.
func (r Reference) String() string {
	if r.kind == "" {
		return ""
	}
	return r.kind + ":" + r.value
}

// Short is for people: of a sealed secret it has only that it is one.
func (r Reference) Short() string {
	if r.kind == sealed {
		return sealed
	}
	return r.String()
}

// commandTime is how long a program may take: that of an agent which asks its
// owner for a passphrase is longer, and a poller has nobody to ask.
const commandTime = 30 * time.Second

// Get gets the secret. The key and whom the secret belongs to are for sealed ones.
// An error says what to do; what it depends on may be there the next time.
func (r Reference) Get(ctx context.Context, key KeyFile, of Owner) (s sasl.Secret, err error) {
	switch r.kind {
	case file:
		s, err = readFile(r.value)
	case env:
		s, err = readVariable(r.value)
	case command:
		s, err = runCommand(ctx, r.value, commandTime)
	case credential:
		s, err = readCredential(r.value)
	case sealed:
		s, err = key.open(r.value, of)
	default:
		err = &Error{"there is no reference to a secret"}
	}
	if err != nil {
		return sasl.Secret{}, fmt.Errorf("get %s: %w", of.use(), err)
	}
	return s, nil
}

func readVariable(name string) (sasl.Secret, error) {
	text, found := os.LookupEnv(name)
	if !found {
		return sasl.Secret{}, fmt.Errorf("environment variable %s is not set: set it where mailrow poll runs", name)
	}
	return line([]byte(text), "environment variable "+name)
}

func readCredential(name string) (sasl.Secret, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return sasl.Secret{}, fmt.Errorf("credential %s: there are none: only a service of systemd's has, with LoadCredential=%s:/PATH in its unit", name, name)
	}
	return readFile(filepath.Join(dir, name))
}

// line is a secret that is all of a text but the end of its line. The error does
// not show it.
func line(text []byte, where string) (sasl.Secret, error) {
	s := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case s == "":
		return sasl.Secret{}, fmt.Errorf("%s is empty", where)
	case strings.ContainsAny(s, "\r\n\x00"):
		return sasl.Secret{}, fmt.Errorf("%s has more than one line: a secret is one", where)
	}
	return sasl.NewSecret(s), nil
}
