package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mailrow/poller"
	"mailrow/poller/kinds"
	"mailrow/poller/sasl"
	"mailrow/poller/settings"
	"mailrow/shell"
	"mailrow/shell/imap"
	"mailrow/shell/local"
	"mailrow/shell/pop3"
	"mailrow/store/source"
)

// openMailbox opens what a session is about, and logs in there.
func (p *program) openMailbox(c *cobra.Command, s *session, arg string) (shell.Mailbox, error) {
	opener, of, u, err := p.toLookInto(c, s, arg)
	if err != nil {
		return nil, err
	}
	if s.trace {
		opener.Trace = func(said string) { fmt.Fprintln(p.err, printable(said)) }
	}
	ctx := c.Context()
	switch {
	case u.Local():
		opened, err := opener.Open(ctx, of, u)
		if err != nil {
			return nil, err
		}
		return local.New(ctx, opened, u)
	case u.Kind == "pop3":
		conf, err := opener.POP3(ctx, of, u)
		if err != nil {
			return nil, err
		}
		box := pop3.New(conf)
		return box, box.Login(ctx)
	}
	conf, err := opener.IMAP(ctx, of, u)
	if err != nil {
		return nil, err
	}
	box := imap.New(conf)
	return box, box.Start(ctx, u.Folders)
}

// toLookInto finds a mailbox, and what it is opened with. Who gives no place for the
// password is asked, where there is a terminal.
func (p *program) toLookInto(c *cobra.Command, s *session, arg string) (kinds.Opener, source.Source, poller.URI, error) {
	var found settings.Settings
	if s.file != "" {
		var err error
		if found, err = p.settings(c, s.file, s.passwordFlags); err != nil {
			return kinds.Opener{}, source.Source{}, poller.URI{}, err
		}
		arg = found.URI
	}
	opener, of, u, err := p.toTest(c, arg, s.passwordFlags)
	if err != nil || u.Local() {
		return opener, of, u, err
	}
	known := opener.Credentials
	var typed *sasl.Secret
	opener.Credentials = func(ctx context.Context, of source.Source) (sasl.Credentials, error) {
		who, err := known(ctx, of)
		switch {
		case err != nil || who.Password != nil || who.Token != nil:
		case found.OAuth != nil:
			who.Token = func(ctx context.Context) (sasl.Secret, error) { return p.token(ctx, found.OAuth) }
		case found.Password != nil:
			who.Password = func(context.Context) (sasl.Secret, error) { return *found.Password, nil }
		case s.editor != nil && len(u.Command) == 0:
			who.Password = func(ctx context.Context) (sasl.Secret, error) {
				if typed == nil {
					text, err := s.editor.Password(ctx, "Password of "+printable(u.Place())+": ")
					if err != nil {
						return sasl.Secret{}, err
					}
					secret := sasl.NewSecret(text)
					typed = &secret
				}
				return *typed, nil
			}
		}
		return who, err
	}
	return opener, of, u, nil
}

// token gets an access token with the refresh token of a settings file. Another
// refresh token that comes with it is kept by nobody.
func (p *program) token(ctx context.Context, o *settings.OAuth) (sasl.Secret, error) {
	fresh, err := o.Client.Refresh(ctx, o.Provider.Token, o.Refresh)
	if err != nil {
		return sasl.Secret{}, fmt.Errorf("refresh the token of the settings file: %w: where it has expired or was revoked, add the mailbox as a source, and run mailrow auth", err)
	}
	if fresh.Refresh != nil && fresh.Refresh.Reveal() != o.Refresh.Reveal() {
		o.Refresh = *fresh.Refresh
		fmt.Fprintln(p.err, "mailrow: warning: "+line(errors.New("the provider has given another refresh token, which is not written into the settings file: if the one there stops working, mailrow source add -f and mailrow shell SOURCE keep it")))
	}
	return fresh.Access, nil
}
