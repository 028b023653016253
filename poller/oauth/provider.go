package oauth

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"mailrow/poller/dial"
)

// Provider is where a mailbox's tokens are had.
type Provider struct {
	Name      string // google, microsoft, yahoo or a URL
	Device    string // endpoint of RFC 8628; "": not offered
	Authorize string // where a browser is sent; "": not offered
	Token     string // endpoint that gives tokens
	Scope     string
	// Own is the scope for clients with rights of their own; "": there are none.
	Own string

	back     string     // host that a browser comes back to; "": 127.0.0.1
	shown    bool       // the browser shows the code and does not come back
	question url.Values // more for Authorize
}

// Google's device flow grants no scope for mail:
// https://developers.google.com/identity/protocols/oauth2/limited-input-device#allowedscopes
func google() Provider {
	return Provider{
		Name:      "google",
		Authorize: "https://accounts.google.com/o/oauth2/v2/auth",
		Token:     "https://oauth2.googleapis.com/token",
		Scope:     "https://mail.google.com/",
		// Without them there is a refresh token at the first time only.
		question: url.Values{"access_type": {"offline"}, "prompt": {"consent"}},
	}
}

// CommonTenant is that of everybody who has an account at Microsoft.
const CommonTenant = "common"

const microsoftHost = "login.microsoftonline.com"

// TenantOf is the tenant of a token endpoint of Microsoft's; "" of others.
func TenantOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host != microsoftHost {
		return ""
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return tenant
}

// https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
func microsoft(tenant string) Provider {
	at := "https://" + microsoftHost + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/"
	return Provider{
		Name:      "microsoft",
		Device:    at + "devicecode",
		Authorize: at + "authorize",
		Token:     at + "token",
		Scope:     "offline_access https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/POP.AccessAsUser.All",
		Own:       "https://outlook.office365.com/.default",
		back:      "localhost", // the only one for which any port will do
	}
}

// Yahoo takes no http: address to come back to, and has no device flow:
// https://developer.yahoo.com/oauth2/guide/flows_authcode/
func yahoo() Provider {
	return Provider{
		Name:      "yahoo",
		Authorize: "https://api.login.yahoo.com/oauth2/request_auth",
		Token:     "https://api.login.yahoo.com/oauth2/get_token",
		Scope:     "mail-w", // reads, marks and removes
		shown:     true,
	}
}

// Named gives a provider by its name or, from what its server tells, by its URL.
// A tenant is Microsoft's alone.
func Named(ctx context.Context, c *http.Client, name, tenant string) (Provider, error) {
	switch {
	case tenant != "" && name != "microsoft":
		return Provider{}, fmt.Errorf("--tenant is for microsoft, not for %s", name)
	case name == "google":
		return google(), nil
	case name == "microsoft":
		return microsoft(cmp.Or(tenant, CommonTenant)), nil
	case name == "yahoo":
		return yahoo(), nil
	case !Private(name):
		return Provider{}, fmt.Errorf("there is no provider %q: there are google, microsoft, yahoo, and any whose https:// address is given", name)
	}
	return discover(ctx, c, name)
}

// Private says whether nobody can listen on the way to a URL: as the table of
// tokens has it.
func Private(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	here := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	return u.Scheme == "https" || u.Scheme == "http" && here
}

// discover reads what a server tells of itself (OpenID Connect Discovery, and RFC
// 8414, which puts the name in front of the path).
func discover(ctx context.Context, c *http.Client, address string) (Provider, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Provider{}, fmt.Errorf("read address of provider: %w", err)
	}
	places := []string{address}
	if !strings.Contains(u.Path, "/.well-known/") {
		issuer := strings.TrimSuffix(u.Path, "/")
		openID, plain := *u, *u
		openID.Path, plain.Path = issuer+"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"+issuer
		places = []string{openID.String(), plain.String()}
	}
	var first error
	for _, place := range places {
		p, err := describe(ctx, c, place)
		if err == nil {
			p.Name = address
			return p, nil
		}
		first = cmp.Or(first, err)
	}
	return Provider{}, fmt.Errorf("learn about provider %s: %w", address, first)
}

func describe(ctx context.Context, c *http.Client, place string) (Provider, error) {
	var answer struct {
		Issuer    string   `json:"issuer"`
		Device    string   `json:"device_authorization_endpoint"`
		Authorize string   `json:"authorization_endpoint"`
		Token     string   `json:"token_endpoint"`
		Scopes    []string `json:"scopes_supported"`
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return Provider{}, err
	}
	client := Client{HTTP: c}
	if err := client.do(request, &answer, dial.Clean); err != nil {
		return Provider{}, err
	}
	// One server must not speak for another (RFC 8414 3.3). Path and query may differ,
	// as Microsoft's do.
	issuer, err := url.Parse(answer.Issuer)
	if err != nil || issuer.Host != request.URL.Host {
		return Provider{}, fmt.Errorf("%s tells of another issuer, %q: check the address", place, dial.Clean(answer.Issuer))
	}
	for _, endpoint := range []string{answer.Device, answer.Authorize, answer.Token} {
		if endpoint != "" && !Private(endpoint) {
			return Provider{}, fmt.Errorf("%s names an endpoint without https:, %q: ask who runs it", place, dial.Clean(endpoint))
		}
	}
	if answer.Token == "" {
		return Provider{}, fmt.Errorf("%s names no token endpoint: check the address", place)
	}
	p := Provider{Device: answer.Device, Authorize: answer.Authorize, Token: answer.Token}
	if slices.Contains(answer.Scopes, "offline_access") {
		p.Scope = "offline_access"
	}
	return p, nil
}

// Of gives the provider of a mail server; false where none is known.
func Of(server string) (Provider, bool) {
	switch strings.ToLower(server) {
	case "imap.gmail.com", "pop.gmail.com", "imap.googlemail.com", "pop.googlemail.com":
		return google(), true
	case "outlook.office365.com", "imap-mail.outlook.com", "pop-mail.outlook.com":
		return microsoft(CommonTenant), true
	case "imap.mail.yahoo.com", "pop.mail.yahoo.com":
		return yahoo(), true
	}
	return Provider{}, false
}

// backURI is where a browser is to come back to: without a path, as Microsoft and
// Google know it.
func (p Provider) backURI(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://" + net.JoinHostPort(cmp.Or(p.back, "127.0.0.1"), port)
}
