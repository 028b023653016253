// Package sasl proves to mail servers who we are (RFC 4422): it chooses among
// the ways a server offers and says what each has to say.
package sasl

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// Secret is a password or a token. However it is printed or marshaled, it is not
// seen.
type Secret struct {
	// A pointer: fmt prints an unexported field of another type without asking, but
	// does not follow pointers there.
	text *string
}

// NewSecret makes a text secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal is the text itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

const hidden = "***"

func (Secret) String() string               { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Hide replaces the secret in a text of the server's, which may repeat what it
// did not like, plain or in base64.
func (s Secret) Hide(text string) string {
	plain := s.Reveal()
	if plain == "" {
		return text
	}
	text = strings.ReplaceAll(text, plain, hidden)
	// In base64 it depends on what stands before the secret: all three ways, without
	// the digits that neighbours have a part in.
	for skip := range 3 {
		digits := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", skip) + plain))
		digits = digits[(skip*8+5)/6:]
		if (skip+len(plain))%3 != 0 && digits != "" {
			digits = digits[:len(digits)-1]
		}
		if len(digits) > 3 {
			text = strings.ReplaceAll(text, digits, hidden)
		}
	}
	return text
}

// Credentials say who we are, and get what proves it when it is needed: nothing
// secret is kept here. Nothing is asked that is not there.
type Credentials struct {
	User     string
	Password func(context.Context) (Secret, error)
	Token    func(context.Context) (Secret, error) // OAuth2 access token
	// Mechanism is the one to use, such as "PLAIN"; without it the best one is.
	// "EXTERNAL" needs neither password nor token, but a client certificate.
	Mechanism string
}
