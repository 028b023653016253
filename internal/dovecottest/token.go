package dovecottest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const issuer = "https://test.local/"

// Dovecot asks its dictionary for the key by the token's "azp", which ours lack, and its "kid":
// both "default" then.
func (s *Server) makeKey(t testing.TB) {
	t.Helper()
	s.key = make([]byte, 32)
	if _, err := rand.Read(s.key); err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(s.key)
	name := s.path("oauth2/keys/default/HS256/default")
	mkdir(t, filepath.Dir(name))
	write(t, name, text)
	write(t, s.path("oauth2/oauth2.conf.ext"), fmt.Sprintf(
		"introspection_mode = local\n"+
			"local_validation_key_dict = fs:posix:prefix=%s/\n"+
			"username_attribute = email\nissuers = %s\n", s.path("oauth2/keys"), issuer))
}

// Token is an OAuth2 access token (a JWT, RFC 9068) for a user, valid for
// lifetime from now; one of a negative lifetime has expired.
func (s *Server) Token(t testing.TB, user string, lifetime time.Duration) string {
	t.Helper()
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": user, "email": user,
		"iat": now.Add(-time.Hour).Unix(), "nbf": now.Add(-time.Hour).Unix(),
		"exp": now.Add(lifetime).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func chown(t testing.TB, name string, u *user.User) {
	t.Helper()
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, uid, gid); err != nil {
		t.Fatal(err)
	}
}
