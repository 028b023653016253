// Package kinds opens sources of every kind.
package kinds

import (
	"context"
	"errors"

	"mailrow/poller"
	"mailrow/poller/babyl"
	"mailrow/poller/dial"
	"mailrow/poller/imap"
	"mailrow/poller/maildir"
	"mailrow/poller/mbox"
	"mailrow/poller/mh"
	"mailrow/poller/mmdf"
	"mailrow/poller/pop3"
	"mailrow/poller/sasl"
	"mailrow/store/source"
)

// Opener opens sources of every kind.
type Opener struct {
	// Credentials gives what a source elsewhere is logged into with.
	Credentials func(context.Context, source.Source) (sasl.Credentials, error)
	// Warn is told what an operator should know of each connection.
	Warn func(source.Source, error)
	// Trace is told what is said to servers and by them, without secrets and mails;
	// nil is nobody.
	Trace func(line string)
}

// Open opens the source that a URI names.
func (o Opener) Open(ctx context.Context, s source.Source, u poller.URI) (poller.Source, error) {
	switch u.Kind {
	case "maildir":
		return maildir.Open(u.Path, maildir.Options{})
	case "mh":
		return mh.Open(u.Path)
	case "mbox":
		return mbox.Open(u.Path, mbox.Options{})
	case "mmdf":
		return mmdf.Open(u.Path, mmdf.Options{})
	case "babyl":
		return babyl.Open(u.Path, babyl.Options{})
	}
	if u.Kind == "pop3" {
		conf, err := o.POP3(ctx, s, u)
		if err != nil {
			return nil, err
		}
		return orNil(pop3.Open(ctx, conf))
	}
	conf, err := o.IMAP(ctx, s, u)
	if err != nil {
		return nil, err
	}
	return orNil(imap.Open(ctx, conf))
}

// orNil: a nil pointer in an interface would not be nil.
func orNil[S poller.Source](opened S, err error) (poller.Source, error) {
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// IMAP is what the source that a URI names is reached and logged into with.
func (o Opener) IMAP(ctx context.Context, s source.Source, u poller.URI) (imap.Config, error) {
	credentials, err := o.credentials(ctx, s, u)
	return imap.Config{
		Server: o.server(s, u), Credentials: credentials, Search: u.Search, SinceUID: u.SinceUID, Since: u.Since,
	}, err
}

// POP3 is IMAP for a source that is spoken to by POP3.
func (o Opener) POP3(ctx context.Context, s source.Source, u poller.URI) (pop3.Config, error) {
	credentials, err := o.credentials(ctx, s, u)
	return pop3.Config{Server: o.server(s, u), Credentials: credentials}, err
}

func (o Opener) credentials(ctx context.Context, s source.Source, u poller.URI) (sasl.Credentials, error) {
	c, err := o.Credentials(ctx, s)
	c.Mechanism = u.Auth
	return c, err
}

// server is that of a source elsewhere. In clear it is reached only where the URI
// says so, by saying nothing.
func (o Opener) server(s source.Source, u poller.URI) dial.Server {
	security := dial.Clear
	switch {
	case u.Security == "tls":
		security = dial.StartTLS
	case u.Encrypted():
		security = dial.TLS
	}
	return dial.Server{
		Host: u.Host, Port: u.Port, Command: u.Command, Security: security, Verify: u.Verify, Trace: o.Trace,
		Warn: func(text string) {
			if o.Warn != nil {
				o.Warn(s, errors.New(text))
			}
		},
	}
}
