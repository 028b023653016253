package dial

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Verify says how a server proves with TLS who it is, and how we do.
// Usually an authority that the system trusts has signed its certificate.
type Verify struct {
	CA string // file of authorities, in place of the system's
	// Pins are SHA-256 sums of the server's certificate or of its public key
	// ("sha256:" and hexadecimal digits or base64). A server that has one of them is
	// the right one, whoever has signed its certificate and for which name.
	Pins     []string
	Insecure bool // any server will do: a warning each time

	Certificate, Key string // files: ours, where the server asks for it
}

// check finds mistakes before anything is connected.
func (v *Verify) check() error {
	for _, pin := range v.Pins {
		if _, err := ParsePin(pin); err != nil {
			return err
		}
	}
	return nil
}

// PinError is a server with none of the pinned keys.
type PinError struct{ Cert *x509.Certificate }

func (e *PinError) Error() string {
	return fmt.Sprintf("the server's certificate is not the pinned one; it has %s", Pin(e.Cert))
}

// Pin is what a pin of the certificate's public key looks like.
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ParsePin gives the sum that a pin is.
func ParsePin(pin string) ([]byte, error) {
	text, ok := strings.CutPrefix(pin, "sha256:")
	if ok {
		for _, decode := range []func(string) ([]byte, error){
			hex.DecodeString, base64.StdEncoding.DecodeString, base64.URLEncoding.DecodeString,
		} {
			digits := text
			if strings.Count(text, ":") == sha256.Size-1 { // as openssl writes it
				digits = strings.ReplaceAll(text, ":", "")
			}
			if sum, err := decode(digits); err == nil && len(sum) == sha256.Size {
				return sum, nil
			}
		}
	}
	return nil, fmt.Errorf("read pin %q: write sha256: and the 64 hexadecimal digits of the certificate's sum, such as openssl x509 -fingerprint -sha256 prints", pin)
}

func (v *Verify) config(s *Server) (*tls.Config, error) {
	conf := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12}
	if v.CA != "" {
		text, err := os.ReadFile(v.CA)
		if err != nil {
			return nil, fmt.Errorf("read authorities for %s: %w", s, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read authorities for %s: %s has no certificate in PEM form", s, v.CA)
		}
	}
	if v.Certificate != "" {
		key := v.Key
		if key == "" {
			key = v.Certificate
		}
		pair, err := tls.LoadX509KeyPair(v.Certificate, key)
		if err != nil {
			return nil, fmt.Errorf("read our certificate for %s: %w", s, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	switch {
	case len(v.Pins) > 0:
		conf.InsecureSkipVerify = true // VerifyConnection looks instead
		conf.VerifyConnection = v.pinned
	case v.Insecure:
		conf.InsecureSkipVerify = true
		s.Warnf("tls=insecure: whoever answers there can read the password and forge mail; ca=FILE or pin=sha256:… ends that")
	}
	return conf, nil
}

// pinned: that the server has the key to this certificate, TLS has verified.
func (v *Verify) pinned(state tls.ConnectionState) error {
	cert := state.PeerCertificates[0]
	ofCert, ofKey := sha256.Sum256(cert.Raw), sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	for _, pin := range v.Pins {
		sum, err := ParsePin(pin)
		if err != nil {
			return err
		}
		if bytes.Equal(sum, ofCert[:]) || bytes.Equal(sum, ofKey[:]) {
			return nil
		}
	}
	return &PinError{cert}
}

func (s *Server) tlsRemedy(err error) string {
	var (
		noTLS     tls.RecordHeaderError
		pin       *PinError
		host      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		alert     tls.AlertError
		failed    *tls.CertificateVerificationError
	)
	orPin := ""
	if errors.As(err, &failed) && len(failed.UnverifiedCertificates) > 0 {
		orPin = ", or, if this is the right server, pin=" + Pin(failed.UnverifiedCertificates[0])
	}
	switch {
	case errors.As(err, &pin):
		return ": if that is the server's new certificate, change pin="
	case errors.As(err, &host):
		return ": write the server by a name that its certificate is for" + orPin
	case errors.As(err, &authority) && s.Verify.CA != "":
		return ": none of the authorities in " + s.Verify.CA + " has signed it" + orPin
	case errors.As(err, &authority):
		return ": name the authority's file with ca=FILE" + orPin
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": the server needs a new certificate, or the clock of this machine is wrong" + orPin
	case errors.As(err, &noTLS):
		return ": the server does not speak TLS on this port; STARTTLS (+tls in place of +ssl) or another port may do"
	case errors.As(err, &alert):
		return ": the server refuses our side of TLS; it may want another client certificate"
	case errors.Is(err, io.EOF):
		return ": the server closed the connection; check that the port is one for TLS"
	}
	return ""
}
