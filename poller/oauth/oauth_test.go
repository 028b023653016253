package oauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mailrow/internal/oauthtest"
	"mailrow/poller/oauth"
	"mailrow/poller/sasl"
)

var ctx = context.Background()

func start(t *testing.T) (*oauthtest.Server, *oauth.Client, oauth.Provider) {
	t.Helper()
	s := oauthtest.Start(t)
	p, err := oauth.Named(ctx, nil, s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return s, &oauth.Client{ID: oauthtest.ClientID, Secret: sasl.NewSecret(oauthtest.ClientSecret)}, p
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func refusal(code string) oauthtest.Fault {
	return oauthtest.Fault{Status: 400, Body: `{"error":"` + code + `"}`}
}

func TestDevice(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		faults []oauthtest.Fault
		want   error
		asked  int
	}{
		"agreed":                   {"yes", nil, nil, 1},
		"agreed later":             {"yes", []oauthtest.Fault{refusal("authorization_pending")}, nil, 2},
		"denied":                   {"access_denied", nil, oauth.ErrDenied, 1},
		"denied, says Microsoft":   {"authorization_declined", nil, oauth.ErrDenied, 1},
		"expired":                  {"expired_token", nil, oauth.ErrExpired, 1},
		"connection lost, then on": {"yes", []oauthtest.Fault{{Cut: true}}, nil, 2},
		"trouble, then agreed":     {"yes", []oauthtest.Fault{{Status: 503}}, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c, p := start(t)
			s.Answer(test.answer)
			d, err := c.AskDevice(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			if d.Code != "WDJB-MJHT" || d.URL != s.URL+"/enter" {
				t.Errorf("shown: %q, %q", d.Code, d.URL)
			}
			s.Next(test.faults...)
			token, err := c.WaitDevice(ctx, p, d)
			if !errors.Is(err, test.want) || err == nil && (!s.Valid(token.Access.Reveal()) || token.Refresh == nil) {
				t.Errorf("got %+v, %v; want %v", token, err, test.want)
			}
			if forms, _ := s.Requests(deviceGrant); len(forms) != test.asked {
				t.Errorf("asked %d times, want %d", len(forms), test.asked)
			}
		})
	}
}

// A client that does not slow down is shut out (RFC 8628 3.5).
func TestDeviceSlowsDown(t *testing.T) {
	t.Parallel()
	s, c, p := start(t)
	s.Answer("yes")
	d, err := c.AskDevice(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	s.Next(refusal("slow_down"))
	if _, err := c.WaitDevice(ctx, p, d); err != nil {
		t.Fatal(err)
	}
	_, at := s.Requests(deviceGrant)
	if len(at) != 2 || at[1].Sub(at[0]) < 6*time.Second {
		t.Errorf("asked at %v, want 6 s between", at)
	}
}

// browse is a browser that follows whatever it is sent to.
func browse(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func TestBrowserComesBack(t *testing.T) {
	s, c, p := start(t)
	b, err := c.AskBrowser(p)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	go func() {
		asked, _ := url.Parse(b.URL)
		back := asked.Query().Get("redirect_uri")
		for _, wrong := range []string{"/?code=x&state=forged", "/?code=x", "/favicon.ico", "/?error=access_denied&state="} {
			if text := browse(t, back+wrong); !strings.Contains(text, "no answer") {
				t.Errorf("%s: %s", wrong, text)
			}
		}
		if text := browse(t, b.URL); !strings.Contains(text, "may be closed") {
			t.Errorf("page: %s", text)
		}
	}()
	token, err := b.WaitBrowser(ctx, nil)
	if err != nil || !s.Valid(token.Access.Reveal()) || token.Refresh == nil {
		t.Errorf("got %+v, %v", token, err)
	}
}

// address follows the browser until it would come back here.
func address(t *testing.T, b *oauth.Browser) string {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.Header.Get("Location")
}

// The browser is on another machine: what it shows is copied.
func TestCodeIsEntered(t *testing.T) {
	for name, test := range map[string]struct {
		entered func(address string) string
		ok      bool
	}{
		"address":    {func(a string) string { return a + "\n" }, true},
		"code":       {func(a string) string { u, _ := url.Parse(a); return " " + u.Query().Get("code") }, true},
		"wrong code": {func(string) string { return "abc" }, false},
		"forged":     {func(string) string { return "http://127.0.0.1/?code=abc&state=forged" }, false},
		"nothing":    {func(string) string { return " " }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, c, p := start(t)
			b, err := c.AskBrowser(p)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			entered := make(chan string, 1)
			entered <- test.entered(address(t, b))
			token, err := b.WaitBrowser(ctx, entered)
			if test.ok && (err != nil || !s.Valid(token.Access.Reveal())) || !test.ok && err == nil {
				t.Errorf("got %+v, %v", token, err)
			}
		})
	}
}

func TestBrowserDenied(t *testing.T) {
	s, c, p := start(t)
	s.Answer("access_denied")
	b, err := c.AskBrowser(p)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	go browse(t, b.URL)
	if _, err := b.WaitBrowser(ctx, nil); !errors.Is(err, oauth.ErrDenied) {
		t.Error(err)
	}
	late, err := c.AskBrowser(p)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := late.WaitBrowser(short, nil); !errors.Is(err, oauth.ErrExpired) {
		t.Errorf("nobody came: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	for name, test := range map[string]struct {
		faults []oauthtest.Fault
		asked  int
		wrong  func(*oauth.Client) // nil: it succeeds
		revoke bool
	}{
		"at once":            {nil, 1, nil, false},
		"trouble":            {[]oauthtest.Fault{{Status: 503}, {Status: 429, Header: map[string]string{"Retry-After": "1"}}}, 3, nil, false},
		"cut":                {[]oauthtest.Fault{{Cut: true}}, 2, nil, false},
		"wrong secret":       {nil, 2, func(c *oauth.Client) { c.Secret = sasl.NewSecret("hunter2hunter2") }, false},
		"revoked":            {nil, 1, func(*oauth.Client) {}, true},
		"trouble that stays": {[]oauthtest.Fault{{Status: 500}, {Status: 500}, {Status: 500}}, 3, func(*oauth.Client) {}, false},
		"wait long":          {[]oauthtest.Fault{{Status: 429, Header: map[string]string{"Retry-After": "3600"}}}, 1, func(*oauth.Client) {}, false},
		"another page":       {[]oauthtest.Fault{{Status: 200, Body: "<html>Welcome to the hotel"}, {Status: 200, Body: "{}"}, {Status: 302, Header: map[string]string{"Location": "/elsewhere"}}}, 3, func(*oauth.Client) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c, p := start(t)
			refresh := sasl.NewSecret(s.Grant())
			s.Next(test.faults...)
			if test.wrong != nil {
				test.wrong(c)
			}
			if test.revoke {
				s.Revoke()
			}
			token, err := c.Refresh(ctx, p.Token, refresh)
			if test.wrong == nil && (err != nil || !s.Valid(token.Access.Reveal()) || token.Refresh == nil || token.Refresh.Reveal() == refresh.Reveal() || token.Usable() != 58*time.Minute) {
				t.Errorf("got %+v, %v", token, err)
			}
			if test.wrong != nil && err == nil || oauth.Revoked(err) != test.revoke {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), refresh.Reveal()) || strings.Contains(err.Error(), c.Secret.Reveal())) {
				t.Errorf("shown: %v", err)
			}
			if forms, _ := s.Requests("refresh_token"); len(forms) != test.asked {
				t.Errorf("asked %d times, want %d", len(forms), test.asked)
			}
		})
	}
}

// What providers write in other ways than RFC 6749 does.
func TestAnswersOfOtherKinds(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"access_token":"a","token_type":"bearer","expires_in":3600}`:   58 * time.Minute,
		`{"access_token":"a","token_type":"Bearer","expires_in":"3600"}`: 58 * time.Minute,
		`{"access_token":"a","expires_in":3599.9}`:                       58*time.Minute - time.Second,
		`{"access_token":"a"}`:                                               8 * time.Minute,
		`{"access_token":"a","expires_in":null}`:                             8 * time.Minute,
		`{"access_token":"a","expires_in":-5}`:                               8 * time.Minute,
		`{"access_token":"a","expires_in":1e300}`:                            8 * time.Minute,
		`{"access_token":"a","expires_in":60}`:                               45 * time.Second,
		`{"access_token":"a","expires_in":60,"error":"","more":[1,{"b":2}]}`: 45 * time.Second,
	} {
		s, c, p := start(t)
		s.Next(oauthtest.Fault{Status: 200, Body: body})
		token, err := c.Refresh(ctx, p.Token, sasl.NewSecret("r"))
		if err != nil || token.Access.Reveal() != "a" || token.Refresh != nil || token.Usable() != want {
			t.Errorf("%s: %v, %v; want %v", body, token.Usable(), err, want)
		}
	}
}

func TestOwn(t *testing.T) {
	s, c, p := start(t)
	token, err := c.Own(ctx, p.Token, "https://outlook.office365.com/.default")
	if err != nil || !s.Valid(token.Access.Reveal()) || token.Refresh != nil {
		t.Errorf("got %+v, %v", token, err)
	}
	forms, _ := s.Requests("client_credentials")
	if len(forms) != 1 || forms[0].Get("scope") != "https://outlook.office365.com/.default" {
		t.Errorf("asked %v", forms)
	}
}

// A provider that wants the client's secret in the header gets it there, and once.
func TestSecretInTheHeader(t *testing.T) {
	t.Parallel()
	s, c, p := start(t)
	s.Basic = true
	token, err := c.Refresh(ctx, p.Token, sasl.NewSecret(s.Grant()))
	if err != nil || !s.Valid(token.Access.Reveal()) {
		t.Fatalf("%+v, %v", token, err)
	}
	forms, _ := s.Requests("refresh_token")
	if len(forms) != 2 || forms[1].Has("client_secret") || forms[1].Has("client_id") {
		t.Errorf("asked %d times: %v", len(forms), forms)
	}
	c.Secret = sasl.NewSecret("ä & wrong")
	_, err = c.Refresh(ctx, p.Token, sasl.NewSecret(s.Grant()))
	var refused *oauth.Error
	if !errors.As(err, &refused) || refused.Code != "invalid_client" || refused.Text != "the secret *** belongs in the header" {
		t.Errorf("another secret: %v", err)
	}
	if forms, _ := s.Requests("refresh_token"); len(forms) != 4 {
		t.Errorf("asked %d times", len(forms))
	}
}

func TestNamed(t *testing.T) {
	s := oauthtest.Start(t)
	for _, test := range []struct{ name, tenant, token, wrong string }{
		{"google", "", "https://oauth2.googleapis.com/token", ""},
		{"microsoft", "", "https://login.microsoftonline.com/common/oauth2/v2.0/token", ""},
		{"microsoft", "example.com", "https://login.microsoftonline.com/example.com/oauth2/v2.0/token", ""},
		{"microsoft", "../x", "https://login.microsoftonline.com/..%2Fx/oauth2/v2.0/token", ""},
		{"yahoo", "", "https://api.login.yahoo.com/oauth2/get_token", ""},
		{s.URL, "", s.URL + "/token", ""},
		{s.URL + "/", "", s.URL + "/token", ""},
		{s.URL + "/.well-known/openid-configuration", "", s.URL + "/token", ""},
		{s.URL + "/elsewhere", "", "", "404"},
		{"google", "example.com", "", "--tenant"},
		{"gogle", "", "", "there is no provider"},
		{"http://auth.example.com", "", "", "there is no provider"},
	} {
		p, err := oauth.Named(ctx, nil, test.name, test.tenant)
		if p.Token != test.token || (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s %s: %s, %v", test.name, test.tenant, p.Token, err)
		}
		if got := oauth.TenantOf(p.Token); test.tenant != "" && test.wrong == "" && test.tenant != "../x" && got != test.tenant {
			t.Errorf("tenant of %s: %q", p.Token, got)
		}
	}
	s.Issuer = "https://accounts.example.com"
	if _, err := oauth.Named(ctx, nil, s.URL, ""); err == nil || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("a server speaks for another: %v", err)
	}
}
