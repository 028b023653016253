package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Exchange is one attempt of a mechanism. It is used once.
type Exchange struct {
	Mechanism string
	Secret    Secret // what not to show of it
	// First is what the client says before the server does; nil where the server
	// begins.
	First []byte

	next func(challenge []byte) ([]byte, error)
	// refusal is what an OAuth2 server has said before its refusal.
	refusal string
}

// Next answers a challenge. After an error the exchange has to be canceled.
func (x *Exchange) Next(challenge []byte) ([]byte, error) {
	if x.next == nil {
		return nil, fmt.Errorf("answer the server in mechanism %s: it asks for more than there is", x.Mechanism)
	}
	return x.next(challenge)
}

// Refusal is the server's reason where the mechanism has one, "" elsewhere.
func (x *Exchange) Refusal() string { return x.Secret.Hide(x.refusal) }

// peer is what a mechanism has to know.
type peer struct {
	user, host string
	port       int
	secret     Secret
}

// check: these bytes divide what mechanisms say, and end lines.
func (p peer) check() error {
	const dividing = "\x00\x01\r\n"
	switch {
	case strings.ContainsAny(p.user, dividing):
		return fmt.Errorf("log in as %q: there is a control character in the name", p.user)
	case strings.ContainsAny(p.secret.Reveal(), dividing):
		return fmt.Errorf("log in as %q: there is a line end or another control character in the secret", p.user)
	}
	return nil
}

var mechanisms = map[string]func(*Exchange, peer){
	"PLAIN":       plain,
	"LOGIN":       login,
	"CRAM-MD5":    cramMD5,
	"XOAUTH2":     xoauth2,
	"OAUTHBEARER": oauthBearer,
	"EXTERNAL":    external,
	APOP:          apop,
}

func newExchange(mechanism string, p peer) *Exchange {
	x := &Exchange{Mechanism: mechanism, Secret: p.secret}
	mechanisms[mechanism](x, p)
	return x
}

// plain: RFC 4616.
func plain(x *Exchange, p peer) {
	x.First = []byte("\x00" + p.user + "\x00" + p.secret.Reveal())
}

// login has no RFC. Servers ask in different words, in one order; they need not
// take a first response.
func login(x *Exchange, p peer) {
	answers := []string{p.user, p.secret.Reveal()}
	x.next = func([]byte) ([]byte, error) {
		if len(answers) == 0 {
			return nil, fmt.Errorf("answer the server in mechanism LOGIN: it asks for more than user and password")
		}
		answer := answers[0]
		answers = answers[1:]
		return []byte(answer), nil
	}
}

// cramMD5: RFC 2195.
func cramMD5(x *Exchange, p peer) {
	x.next = func(challenge []byte) ([]byte, error) {
		mac := hmac.New(md5.New, []byte(p.secret.Reveal()))
		mac.Write(challenge)
		return []byte(p.user + " " + hex.EncodeToString(mac.Sum(nil))), nil
	}
}

// APOP is POP3's own (RFC 1939 7): the challenge is in the greeting, the answer is
// an argument of a command.
const APOP = "APOP"

func apop(x *Exchange, p peer) {
	x.next = func(stamp []byte) ([]byte, error) {
		sum := md5.Sum(append(stamp[:len(stamp):len(stamp)], p.secret.Reveal()...))
		return []byte(p.user + " " + hex.EncodeToString(sum[:])), nil
	}
}

// xoauth2: Google's and Microsoft's. A challenge is the reason of a refusal, and
// wants an empty answer.
func xoauth2(x *Exchange, p peer) {
	x.First = []byte("user=" + p.user + "\x01auth=Bearer " + p.secret.Reveal() + "\x01\x01")
	x.next = x.refused("")
}

// oauthBearer: RFC 7628.
func oauthBearer(x *Exchange, p peer) {
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(p.user)
	x.First = []byte("n,a=" + name + ",\x01host=" + p.host + "\x01port=" + strconv.Itoa(p.port) +
		"\x01auth=Bearer " + p.secret.Reveal() + "\x01\x01")
	x.next = x.refused("\x01")
}

func (x *Exchange) refused(answer string) func([]byte) ([]byte, error) {
	return func(challenge []byte) ([]byte, error) {
		x.refusal = string(challenge)
		var reason struct{ Status, Scope string }
		if json.Unmarshal(challenge, &reason) == nil && reason.Status != "" {
			x.refusal = "status " + reason.Status
			if reason.Scope != "" {
				x.refusal += ", scope " + reason.Scope
			}
		}
		return []byte(answer), nil
	}
}

// external: RFC 4422 appendix A. TLS has shown who we are.
func external(x *Exchange, p peer) { x.First = []byte(p.user) }
