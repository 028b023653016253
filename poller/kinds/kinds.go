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
	credentials, err := o.Credentials(ctx, s)
	if err != nil {
		return nil, err
	}
	credentials.Mechanism = u.Auth
	server := o.server(s, u)
	var opened poller.Source
	if u.Kind == "pop3" {
		opened, err = pop3.Open(ctx, pop3.Config{Server: server, Credentials: credentials})
	} else {
		opened, err = imap.Open(ctx, imap.Config{Server: server, Credentials: credentials, Search: u.Search, SinceUID: u.SinceUID, Since: u.Since})
	}
	if err != nil {
		return nil, err // opened is not nil: it has a type
	}
	return opened, nil
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
		Host: u.Host, Port: u.Port, Command: u.Command, Security: security, Verify: u.Verify,
		Warn: func(text string) {
			if o.Warn != nil {
				o.Warn(s, errors.New(text))
			}
		},
	}
}
