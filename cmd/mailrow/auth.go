package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"mailrow/poller"
	"mailrow/poller/credentials"
	"mailrow/poller/oauth"
	"mailrow/poller/secret"
	"mailrow/store/source"
)

// authFlags say who asks a provider for what.
type authFlags struct {
	source, id, secretFile, tenant, scope string
	appOnly, browser                      bool
}

func (p *program) authCommand() *cobra.Command {
	var f authFlags
	c := &cobra.Command{
		Use:   "auth PROVIDER",
		Short: "Let a source log in with OAuth2",
		Long: `Asks the owner of a mailbox to let mailrow read it, and stores the tokens with the source,
encrypted under the key file. mailrow poll refreshes them from then on.

PROVIDER is google, microsoft, yahoo, or the URL of a server that tells about itself
(OpenID Connect Discovery, RFC 8414). It has to know this installation: register a
client there, once, and give its id and secret. The documentation has the steps for
each provider. A later run needs neither: they are stored with the source.

Where the provider can, a code is entered in a browser anywhere; else a browser on this
machine comes back by itself. From a browser elsewhere, copy the address where it
ends, or the code that it shows.`,
		Example: `  mailrow auth google --source ann --client-id 123.apps.googleusercontent.com --client-secret-file google.secret
  mailrow auth microsoft --source bob --client-id 8a7b… --tenant example.com
  mailrow auth microsoft --source info --app-only --tenant example.com --client-id 8a7b… --client-secret-file ms.secret`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var s source.Source
			var u poller.URI
			var g credentials.Grant
			err := p.with(c, func(ctx context.Context, conn *pgx.Conn) (err error) {
				if s, u, err = remoteSource(ctx, c, conn, f.source); err == nil {
					g, err = p.grant(ctx, c, conn, s, u, args[0], f)
				}
				return err
			})
			if err != nil {
				return err
			}
			if err := p.needKey(); err != nil {
				return err
			}
			if err := p.agree(c.Context(), &g, u, f); err != nil {
				return err
			}
			// People take their time: no connection waits for them.
			return p.with(c, func(ctx context.Context, conn *pgx.Conn) error {
				if err := p.keeper(c).Authorise(ctx, conn, s, g); err != nil {
					return err
				}
				return p.write(printable(s.String()) + ": authorised; mailrow poll logs in with its token\n")
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.source, "source", "", "`SOURCE` to log in (default the only one on a server)")
	flags.StringVar(&f.id, "client-id", "", "`id` that the provider gave to this installation")
	flags.StringVar(&f.secretFile, "client-secret-file", "", "`file` with the client's secret, which others cannot read")
	flags.StringVar(&f.tenant, "tenant", "", "Microsoft's `tenant`: a domain, an id, consumers or organizations (default common)")
	flags.StringVar(&f.scope, "scope", "", "what to ask for, in the provider's `words`")
	flags.BoolVar(&f.appOnly, "app-only", false, "ask nobody: the client itself may read the mailbox (client credentials)")
	flags.BoolVar(&f.browser, "browser", false, "use a browser on this machine, even where a code can be entered anywhere")
	c.MarkFlagsMutuallyExclusive("app-only", "browser")
	return c
}

// remoteSource is the source of that name or, without one, the only one that is on
// a server.
func remoteSource(ctx context.Context, c *cobra.Command, conn *pgx.Conn, name string) (s source.Source, u poller.URI, err error) {
	if name != "" {
		if s, err = findSource(ctx, c, conn, name); err != nil {
			return s, u, err
		}
	} else {
		list, err := source.List(ctx, conn)
		if err != nil {
			return s, u, err
		}
		found := 0
		for _, candidate := range list {
			if u, err := poller.ParseURI(candidate.URI); err == nil && !u.Local() {
				s, found = candidate.Source, found+1
			}
		}
		if found != 1 {
			return s, u, misused(c, "say which source it is for: --source NAME: %d are on a server", found)
		}
	}
	if u, err = poller.ParseURI(s.URI); err != nil {
		return s, u, err
	}
	if u.Local() {
		return s, u, fmt.Errorf("source %s is on this machine: nobody logs in there", s)
	}
	return s, u, nil
}

// grant is what to ask for: by the flags and, where they say nothing, as the last
// time.
func (p *program) grant(ctx context.Context, c *cobra.Command, conn *pgx.Conn, s source.Source, u poller.URI, name string, f authFlags) (g credentials.Grant, err error) {
	last, err := source.ReadToken(ctx, conn, s.ID)
	if err != nil && !errors.Is(err, source.ErrNoToken) {
		return g, err
	}
	again := err == nil && last.Provider == name
	if again && f.tenant == "" {
		f.tenant = oauth.TenantOf(last.Endpoint)
	}
	if g.Provider, err = oauth.Named(ctx, nil, name, f.tenant); err != nil {
		return g, err
	}
	if f.scope == "" && again && (last.Refresh == nil) == f.appOnly {
		f.scope = last.Scope
	}
	switch {
	case f.appOnly && f.scope != "":
		g.Provider.Own = f.scope
	case f.scope != "":
		g.Provider.Scope = f.scope
	}
	switch {
	case f.id != "":
		g.Client.ID = f.id
	case again:
		g.Client.ID = last.ClientID
	default:
		return g, misused(c, "--client-id is missing: it is the one that %s gave to this installation when it was registered there", name)
	}
	switch {
	case f.secretFile != "":
		path, err := filepath.Abs(f.secretFile)
		if err != nil {
			return g, fmt.Errorf("find %s: %w", f.secretFile, err)
		}
		if g.ClientSecret, err = secret.Parse("file:" + path); err != nil {
			return g, misused(c, "--client-secret-file: %w", err)
		}
	case again && f.id == "" && last.ClientSecret != nil:
		if g.ClientSecret, err = secret.Parse(*last.ClientSecret); err != nil {
			return g, err
		}
	}
	if g.ClientSecret != (secret.Reference{}) {
		owner := secret.Owner{Source: s.ID, Place: u.Place(), Use: secret.ClientSecret}
		if g.Client.Secret, err = g.ClientSecret.Get(ctx, p.keyFile(), owner); err != nil {
			return g, err
		}
	}
	if f.appOnly && (g.Provider.Own == "" || g.ClientSecret == secret.Reference{} || g.Provider.Name == "microsoft" && f.tenant == "") {
		return g, misused(c, "--app-only needs --client-secret-file, for microsoft --tenant, and for others --scope")
	}
	return g, nil
}

// agreeTime is how long the owner has, who has to find a password first.
const agreeTime = 15 * time.Minute

// agree asks the owner, and waits. Who has rights of their own only proves it.
func (p *program) agree(ctx context.Context, g *credentials.Grant, u poller.URI, f authFlags) error {
	ctx, cancel := context.WithTimeout(ctx, agreeTime)
	defer cancel()
	var token oauth.Token
	var err error
	switch {
	case f.appOnly:
		_, err = g.Client.Own(ctx, g.Provider.Token, g.Provider.Own)
	case g.Provider.Device != "" && !f.browser:
		token, err = p.askDevice(ctx, g, u)
	case g.Provider.Authorize != "":
		token, err = p.askBrowser(ctx, g, u)
	default:
		err = errors.New("the provider has no page for people: --app-only is for clients with rights of their own")
	}
	if err == nil && !f.appOnly && token.Refresh == nil {
		err = credentials.ErrNoRefresh
	}
	if err != nil {
		return fmt.Errorf("authorise: %w", err)
	}
	g.Refresh = token.Refresh
	return nil
}

func (p *program) askDevice(ctx context.Context, g *credentials.Grant, u poller.URI) (oauth.Token, error) {
	d, err := g.Client.AskDevice(ctx, g.Provider)
	if err != nil {
		return oauth.Token{}, err
	}
	err = p.write(fmt.Sprintf("Open    %s\nenter   %s\nand log in as %s. This waits until %s.\n",
		printable(d.URL), printable(d.Code), printable(u.User), d.Ends.Local().Format(time.TimeOnly)))
	if err != nil {
		return oauth.Token{}, err
	}
	return g.Client.WaitDevice(ctx, g.Provider, d)
}

func (p *program) askBrowser(ctx context.Context, g *credentials.Grant, u poller.URI) (oauth.Token, error) {
	b, err := g.Client.AskBrowser(g.Provider)
	if err != nil {
		return oauth.Token{}, err
	}
	defer b.Close()
	then := "If the browser is on another machine, enter here the address where it ends:"
	if b.Shown {
		then = "Enter here the code that it shows:"
	}
	err = p.write(fmt.Sprintf("Open    %s\nand log in as %s. %s\n", printable(b.URL), printable(u.User), then))
	if err != nil {
		return oauth.Token{}, err
	}
	return b.WaitBrowser(ctx, p.lines())
}
