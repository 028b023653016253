package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mailrow/poller/dial"
)

// Browser is a question to a person, to be answered in a browser that then comes
// back to this machine with a code (RFC 8252), or shows it to be entered here.
type Browser struct {
	URL   string // to open
	Shown bool   // the code is shown

	client          *Client
	provider        Provider
	back            string
	state, verifier string
	listener        net.Listener // nil where the code is shown
}

// AskBrowser prepares the question. It is to be closed.
func (c *Client) AskBrowser(p Provider) (*Browser, error) {
	b := &Browser{client: c, provider: p, Shown: p.shown, back: "oob", state: rand.Text(), verifier: rand.Text() + rand.Text()}
	if !p.shown {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("wait for the browser: %w", err)
		}
		b.listener, b.back = l, p.backURI(l)
	}
	address, err := url.Parse(p.Authorize)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read address of provider: %w", err), b.Close())
	}
	challenge := sha256.Sum256([]byte(b.verifier))
	query := address.Query()
	maps.Copy(query, p.question)
	for name, value := range map[string]string{
		"response_type": "code", "client_id": c.ID, "redirect_uri": b.back, "scope": p.Scope, "state": b.state,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		query.Set(name, value)
	}
	address.RawQuery = query.Encode()
	b.URL = address.String()
	return b, nil
}

// Close stops waiting for the browser.
func (b *Browser) Close() error {
	if b.listener == nil {
		return nil
	}
	return b.listener.Close()
}

// WaitBrowser waits until the browser has come back, or until what it shows was
// entered: the code, or the address where it ended, since a browser on another
// machine finds nobody there. Else the error is ErrDenied or ErrExpired.
func (b *Browser) WaitBrowser(ctx context.Context, entered <-chan string) (Token, error) {
	came := make(chan url.Values, 1)
	if b.listener != nil {
		server := &http.Server{Handler: b.page(came), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(b.listener) }() // ends with Shutdown, which says what is to be said
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = server.Shutdown(ctx) // the page may be on its way still
		}()
	}
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return Token{}, ErrExpired
			}
			return Token{}, ctx.Err()
		case answer := <-came:
			return b.redeem(ctx, answer)
		case text, open := <-entered:
			if !open && b.Shown {
				return Token{}, errors.New("the code was not entered: run the command again")
			}
			if !open {
				entered = nil
				continue
			}
			if answer := b.entered(text); answer != nil {
				return b.redeem(ctx, answer)
			}
			return Token{}, errors.New("what was entered is neither a code nor the address that the browser shows at the end: run the command again")
		}
	}
}

// entered reads what a person has copied; nil if it cannot be an answer to this
// question.
func (b *Browser) entered(text string) url.Values {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		if text == "" || strings.ContainsAny(text, " ?&") {
			return nil
		}
		return url.Values{"code": {text}} // the verifier proves that it is ours
	}
	u, err := url.Parse(text)
	if err != nil || !b.ours(u.Query()) {
		return nil
	}
	return u.Query()
}

func (b *Browser) ours(answer url.Values) bool {
	return subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(b.state)) == 1 && (answer.Has("code") || answer.Has("error"))
}

func (b *Browser) redeem(ctx context.Context, answer url.Values) (Token, error) {
	switch code := answer.Get("error"); code {
	case "":
	case "access_denied":
		return Token{}, ErrDenied
	default:
		return Token{}, &Error{dial.Clean(code), dial.Clean(answer.Get("error_description"))}
	}
	return b.client.token(ctx, b.provider.Token, url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "redirect_uri": {b.back}, "code_verifier": {b.verifier},
	})
}

// page is what the browser finds here. Whatever does not know the state is nobody's
// business: any page in the browser may send it here.
func (b *Browser) page(came chan<- url.Values) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := r.URL.Query()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code
		if r.URL.Path != "/" || r.Method != http.MethodGet || !b.ours(answer) {
			http.Error(w, "This is no answer to a question of mailrow's.", http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, "mailrow has got the answer. This window may be closed.")
		select {
		case came <- answer:
		default: // it came before
		}
	})
}
