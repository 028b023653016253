package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"mailrow/poller"
	"mailrow/poller/credentials"
	"mailrow/poller/sasl"
	"mailrow/poller/secret"
	"mailrow/store/source"
)

// passwordFlags say where the password of a source is. None of them takes the
// password: every user of the machine can see the command line.
type passwordFlags struct {
	file, env, command, credential string
	seal                           bool
}

func (f *passwordFlags) flags(c *cobra.Command) {
	f.places(c)
	c.Flags().BoolVar(&f.seal, "seal", false, "ask for the password, and store it encrypted")
	c.MarkFlagsMutuallyExclusive("password-file", "password-env", "password-command", "credential", "seal")
}

// places are the flags for who asks for the password where none of them is given.
func (f *passwordFlags) places(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.file, "password-file", "", "the password is the line in this `file`, which others cannot read")
	flags.StringVar(&f.env, "password-env", "", "the password is this environment `variable` of the program that logs in")
	flags.StringVar(&f.command, "password-command", "", "the password is the first line that this `command` prints, such as 'pass show mail/ann'")
	flags.StringVar(&f.credential, "credential", "", "the password is the systemd credential of this `name`")
	c.MarkFlagsMutuallyExclusive("password-file", "password-env", "password-command", "credential")
}

// reference is what the flags say; the zero Reference where they say nothing, or
// that it is to be sealed.
func (f *passwordFlags) reference(c *cobra.Command) (r secret.Reference, err error) {
	flag, text := "", ""
	switch {
	case f.file != "":
		path, err := filepath.Abs(f.file)
		if err != nil {
			return r, fmt.Errorf("find %s: %w", f.file, err)
		}
		flag, text = "--password-file", "file:"+path
	case f.env != "":
		flag, text = "--password-env", "env:"+f.env
	case f.command != "":
		flag, text = "--password-command", "command:"+f.command
	case f.credential != "":
		flag, text = "--credential", "credential:"+f.credential
	default:
		return r, nil
	}
	if r, err = secret.Parse(text); err != nil {
		return r, misused(c, "%s: %w", flag, err)
	}
	return r, nil
}

// password is what the flags say; the one to be sealed is asked for.
func (p *program) password(c *cobra.Command, f passwordFlags, u poller.URI) (found credentials.Password, err error) {
	if found.Reference, err = f.reference(c); err != nil {
		return found, err
	}
	if f.seal {
		text, err := p.ask(c.Context(), "Password of "+printable(u.Place())+": ")
		if err != nil {
			return found, err
		}
		found.Text = &text
	}
	if u.Local() && found != (credentials.Password{}) {
		return found, misused(c, "a source on this machine has no password")
	}
	return found, nil
}

// keeper knows where the key is, and has secrets.
func (p *program) keeper(c *cobra.Command) *credentials.Keeper {
	// A refreshed token is stored even after an interruption.
	return &credentials.Keeper{Key: p.keyFile(), Connect: p.connector(c)}
}

// keyFile is where the key is: MAILROW_KEY_FILE, a credential of systemd's or
// /etc/mailrow/key.
func (p *program) keyFile() secret.KeyFile {
	if path := p.getenv("MAILROW_KEY_FILE"); path != "" {
		return secret.KeyFile(path)
	}
	if dir := p.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if path := filepath.Join(dir, "mailrow-key"); exists(path) {
			return secret.KeyFile(path)
		}
	}
	return secret.DefaultKeyFile
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// needKey makes the key if there is none, and says so.
func (p *program) needKey() error {
	made, err := p.keyFile().Need()
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(p.err, "mailrow: made key file %s: mailrow poll must be able to read it; keep a copy, but not with those of the database\n", p.keyFile())
	}
	return nil
}

// storePassword stores where the password of a source is.
func (p *program) storePassword(ctx context.Context, c *cobra.Command, conn *pgx.Conn, s source.Source, found credentials.Password) error {
	if found.Text != nil {
		if err := p.needKey(); err != nil {
			return err
		}
	}
	return p.keeper(c).Set(ctx, conn, s, found)
}

// warnOfPassword tries a reference that can be tried here: the poller may have
// another environment, and be another user.
func (p *program) warnOfPassword(ctx context.Context, r secret.Reference) {
	text := r.String()
	if !strings.HasPrefix(text, "file:") && !strings.HasPrefix(text, "command:") {
		return
	}
	if _, err := r.Get(ctx, "", secret.Owner{Use: secret.Password}); err != nil {
		fmt.Fprintln(p.err, "mailrow: warning: "+line(err))
	}
}

// ask reads a secret: from a terminal without showing it, else the first line of
// standard input.
func (p *program) ask(ctx context.Context, prompt string) (sasl.Secret, error) {
	if isTerminal(p.in) {
		fmt.Fprint(p.err, prompt)
		show, err := hideInput(int(p.in.(*os.File).Fd()))
		if err != nil {
			return sasl.Secret{}, fmt.Errorf("hide what is entered: %w", err)
		}
		defer fmt.Fprintln(p.err)
		defer show()
	}
	select {
	case <-ctx.Done():
		return sasl.Secret{}, ctx.Err()
	case text, open := <-p.lines():
		if !open || text == "" {
			return sasl.Secret{}, errors.New("read password: there is none on standard input")
		}
		return sasl.NewSecret(text), nil
	}
}

// lines are those of standard input, which cannot be interrupted: what reads them
// ends with the program.
func (p *program) lines() <-chan string { return p.linesOf(p.in) }

func (p *program) linesOf(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewReader(r); ; {
			text, err := in.ReadString('\n')
			if text != "" {
				lines <- strings.TrimRight(text, "\r\n")
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					log := p.log()
					log.Warn().Err(err).Msg("read standard input")
				}
				return
			}
		}
	}()
	return lines
}

// hideInput keeps a terminal from showing what is typed, until show is called.
func hideInput(fd int) (show func(), err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil // it worked a moment ago
}
