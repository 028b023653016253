// Package oauthtest is an authorization server on loopback that holds clients to
// the letter of RFC 6749, 7636 and 8628: refresh tokens work once, and using one
// again ends the grant.
package oauthtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// The client that the server knows, and the scope that it grants.
const (
	ClientID     = "client 1"
	ClientSecret = "s3cr&t of the client"
	Scope        = "mail"
)

// Server is one; its URL is that of a provider to be discovered.
type Server struct {
	URL string

	mu       sync.Mutex
	next     []Fault
	refresh  string // the one good refresh token
	ended    bool   // the grant was revoked
	access   map[string]bool
	device   string // the device code that was given
	answer   string // to its question: "", "yes" or an error
	code     string // of the browser
	verifier string // what its challenge was made of, hashed
	back     string
	requests []url.Values
	times    []time.Time

	// Life is what expires_in says.
	Life int
	// Delay is how long refreshing takes.
	Delay time.Duration
	// Mint makes access tokens that another server believes; nil: random ones.
	Mint func() string
	// Basic takes the client's secret in the header alone (RFC 6749 2.3.1).
	Basic bool
	// Issuer is what discovery tells; the URL if it is empty.
	Issuer string
}

// Fault is how the token endpoint answers a request, in place of looking at it.
type Fault struct {
	Status int
	Body   string
	Header map[string]string
	Cut    bool // no answer: the connection is closed
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	s := &Server{access: map[string]bool{}, Life: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", s.describe)
	mux.HandleFunc("POST /device", s.giveDevice)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Next says how the next requests of tokens are answered.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, faults...)
}

// Grant makes a refresh token, as a person would have by agreeing.
func (s *Server) Grant() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh, s.ended = rand.Text(), false
	return s.refresh
}

// Revoke ends the grant.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// Answer is what the person says to the question of a device: "yes" or an error.
func (s *Server) Answer(answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Valid says whether an access token is one of this server's.
func (s *Server) Valid(access string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access[access] && !s.ended
}

// Requests are those that came to the token endpoint with that grant_type, and
// when.
func (s *Server) Requests(grant string) (forms []url.Values, at []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, form := range s.requests {
		if form.Get("grant_type") == grant {
			forms, at = append(forms, form), append(at, s.times[i])
		}
	}
	return forms, at
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no concern of ours
}

func refuse(w http.ResponseWriter, code, text string) {
	write(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": text})
}

func (s *Server) describe(w http.ResponseWriter, _ *http.Request) {
	issuer := s.Issuer
	if issuer == "" {
		issuer = s.URL
	}
	write(w, http.StatusOK, map[string]any{
		"issuer": issuer, "device_authorization_endpoint": s.URL + "/device", "authorization_endpoint": s.URL + "/authorize",
		"token_endpoint": s.URL + "/token", "scopes_supported": []string{"openid", "offline_access"},
	})
}

func (s *Server) giveDevice(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.FormValue("client_id") != ClientID {
		refuse(w, "unauthorized_client", "who?")
		return
	}
	s.device = rand.Text()
	write(w, http.StatusOK, map[string]any{
		"device_code": s.device, "user_code": "WDJB-MJHT", "verification_uri": s.URL + "/enter", "expires_in": 300, "interval": 1,
	})
}

// authorize is a person who agrees at once: the browser is sent back.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	s.code, s.verifier, s.back = rand.Text(), q.Get("code_challenge"), q.Get("redirect_uri")
	answer := url.Values{"code": {s.code}, "state": {q.Get("state")}}
	if s.answer != "" && s.answer != "yes" {
		answer = url.Values{"error": {s.answer}, "state": {q.Get("state")}}
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what is missing is refused below
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.times = append(s.requests, r.PostForm), append(s.times, time.Now())
	if len(s.next) > 0 {
		fault := s.next[0]
		s.next = s.next[1:]
		if fault.Cut {
			panic(http.ErrAbortHandler)
		}
		for name, value := range fault.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(fault.Status)
		_, _ = w.Write([]byte(fault.Body))
		return
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if s.Basic {
		if secret != "" {
			refuse(w, "invalid_client", "the secret "+secret+" belongs in the header")
			return
		}
		id, secret, _ = r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	}
	if id != ClientID || secret != ClientSecret {
		refuse(w, "invalid_client", "not this secret: "+secret+" "+r.Header.Get("Authorization"))
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "refresh_token":
		s.refreshed(w, r)
	case "client_credentials":
		s.give(w, false)
	case "authorization_code":
		hash := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if s.code == "" || r.PostForm.Get("code") != s.code || r.PostForm.Get("redirect_uri") != s.back ||
			base64.RawURLEncoding.EncodeToString(hash[:]) != s.verifier {
			refuse(w, "invalid_grant", "another code")
			return
		}
		s.code = ""
		s.give(w, true)
	case "urn:ietf:params:oauth:grant-type:device_code":
		switch {
		case r.PostForm.Get("device_code") != s.device:
			refuse(w, "invalid_grant", "another device")
		case s.answer == "yes":
			s.give(w, true)
		case s.answer == "":
			refuse(w, "authorization_pending", "")
		default:
			refuse(w, s.answer, "")
		}
	default:
		refuse(w, "unsupported_grant_type", "")
	}
}

func (s *Server) refreshed(w http.ResponseWriter, r *http.Request) {
	time.Sleep(s.Delay)
	token := r.PostForm.Get("refresh_token")
	if token != s.refresh || s.ended {
		s.ended = true
		refuse(w, "invalid_grant", "Token has been expired or revoked: "+token)
		return
	}
	s.give(w, true)
}

func (s *Server) give(w http.ResponseWriter, refresh bool) {
	access := rand.Text()
	if s.Mint != nil {
		access = s.Mint()
	}
	s.access[access] = true
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": s.Life, "scope": Scope}
	if refresh {
		s.refresh, s.ended = rand.Text(), false
		answer["refresh_token"] = s.refresh
	}
	write(w, http.StatusOK, answer)
}
