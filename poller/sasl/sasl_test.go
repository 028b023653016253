package sasl_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/poller/sasl"
)

func secret(text string) func(context.Context) (sasl.Secret, error) {
	return func(context.Context) (sasl.Secret, error) { return sasl.NewSecret(text), nil }
}

func TestSecretIsNotPrinted(t *testing.T) {
	s := sasl.NewSecret("geheim")
	type holder struct {
		s sasl.Secret
		S sasl.Secret
		P *sasl.Secret
	}
	h := holder{s, s, &s}
	marshaled, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(marshaled)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h), fmt.Sprintf(verb, []any{s}))
	}
	for _, text := range texts {
		if strings.Contains(text, "geheim") || strings.Contains(text, fmt.Sprintf("%x", "geheim")) {
			t.Errorf("%s", text)
		}
	}
	if s.Reveal() != "geheim" || (sasl.Secret{}).Reveal() != "" {
		t.Error("the secret is lost")
	}
}

func TestHide(t *testing.T) {
	for _, text := range []string{"geheim", "a", "ab", "abc", "a longer one, with blanks"} {
		s := sasl.NewSecret(text)
		for skip := range 5 {
			// As in PLAIN, whatever the length of the user's name.
			shown := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", skip) + text + "tail"))
			if got := s.Hide(shown); len(text) > 5 && got == shown {
				t.Errorf("%q is seen in %q", text, shown)
			}
		}
		if got := s.Hide("<" + text + ">"); got != "<***>" {
			t.Errorf("%q", got)
		}
	}
	if got := (sasl.Secret{}).Hide("text"); got != "text" {
		t.Errorf("%q", got)
	}
}

func TestChoice(t *testing.T) {
	all := []string{"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "GSSAPI"}
	both := sasl.Credentials{Password: secret("p"), Token: secret("t")}
	password := sasl.Credentials{Password: secret("p")}
	token := sasl.Credentials{Token: secret("t")}
	forced := func(c sasl.Credentials, mechanism string) sasl.Credentials {
		c.Mechanism = mechanism
		return c
	}
	for _, test := range []struct {
		name    string
		who     sasl.Credentials
		offered []string
		command bool
		private bool
		want    []string // "!": with a warning; "-" is the protocol's own command
	}{
		{"all", both, all, true, true, []string{"OAUTHBEARER", "PLAIN"}},
		{"password", password, all, true, true, []string{"PLAIN"}},
		{"token", token, all, true, true, []string{"OAUTHBEARER"}},
		{"Microsoft's", token, []string{"PLAIN", "XOAUTH2"}, true, true, []string{"XOAUTH2"}},
		{"Microsoft's without PLAIN", both, []string{"LOGIN", "XOAUTH2"}, true, true, []string{"XOAUTH2", "LOGIN"}},
		{"command", password, nil, true, true, []string{"-"}},
		{"command before CRAM-MD5", password, []string{"CRAM-MD5"}, true, true, []string{"-"}},
		{"CRAM-MD5 alone", password, []string{"CRAM-MD5"}, false, true, []string{"CRAM-MD5!"}},
		{"in clear", password, []string{"PLAIN", "CRAM-MD5"}, true, false, []string{"CRAM-MD5!"}},
		{"APOP in clear", password, []string{"PLAIN", "APOP"}, true, false, []string{"APOP!"}},
		{"APOP after all else", password, []string{"APOP"}, true, true, []string{"-"}},
		{"in clear, no choice", password, []string{"PLAIN"}, true, false, []string{"PLAIN!"}},
		{"token in clear", token, all, true, false, []string{"OAUTHBEARER!"}},
		{"forced", forced(both, "LOGIN"), all, true, true, []string{"LOGIN"}},
		{"forced and not offered", forced(both, "LOGIN"), []string{"PLAIN"}, true, true, nil},
		{"forced and not known", forced(both, "GSSAPI"), all, true, true, nil},
		{"certificate", forced(sasl.Credentials{}, "EXTERNAL"), all, false, true, []string{"EXTERNAL"}},
		{"certificate not offered", forced(both, "EXTERNAL"), []string{"PLAIN"}, true, true, nil},
		{"nothing there", sasl.Credentials{}, all, true, true, nil},
		{"token, and no mechanism", token, []string{"PLAIN"}, true, true, nil},
		{"nothing offered", password, nil, false, true, nil},
		{"LOGINDISABLED in clear", password, nil, false, false, nil},
	} {
		attempts, err := test.who.Attempts(sasl.Offer{Mechanisms: test.offered, Command: test.command, Private: test.private})
		var got []string
		for _, a := range attempts {
			name := a.Mechanism
			if name == "" {
				name = "-"
			}
			if a.Warning != "" {
				name += "!"
			}
			got = append(got, name)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		var none *sasl.NoWayError
		if errors.As(err, &none) != (test.want == nil) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// The examples of the RFCs where there are any.
func TestExchanges(t *testing.T) {
	for _, test := range []struct {
		mechanism, user, secret string
		challenges              []string
		want                    []string // the first words, nil-ness included, then the answers
	}{
		{"PLAIN", "tim", "tanstaaftanstaaf", nil, []string{"\x00tim\x00tanstaaftanstaaf"}},
		{"LOGIN", "tim", "secret", []string{"User Name", "Password"}, []string{"(none)", "tim", "secret"}},
		{"CRAM-MD5", "tim", "tanstaaftanstaaf", []string{"<1896.697170952@postoffice.reston.mci.net>"}, []string{"(none)", "tim b913a602c7eda7a495b4e6e7334d3890"}},
		{"APOP", "mrose", "tanstaaf", []string{"<1896.697170952@dbc.mtview.ca.us>"}, []string{"(none)", "mrose c4c9334bac560ecc979e58001b3e22fb"}},
		{"XOAUTH2", "someuser@example.com", "ya29.vF9", []string{`{"status":"401"}`}, []string{"user=someuser@example.com\x01auth=Bearer ya29.vF9\x01\x01", ""}},
		{"OAUTHBEARER", "user@example.com", "vF9dft4q", []string{`{"status":"invalid_token"}`}, []string{"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4q\x01\x01", "\x01"}},
		{"OAUTHBEARER", "a=b,c", "x", nil, []string{"n,a=a=3Db=2Cc,\x01host=server.example.com\x01port=143\x01auth=Bearer x\x01\x01"}},
		{"EXTERNAL", "ann", "", nil, []string{"ann"}},
	} {
		who := sasl.Credentials{User: test.user, Password: secret(test.secret), Token: secret(test.secret), Mechanism: test.mechanism}
		attempts, err := who.Attempts(sasl.Offer{Mechanisms: []string{test.mechanism}, Private: true, Host: "server.example.com", Port: 143})
		if err != nil {
			t.Fatal(err)
		}
		x, err := attempts[0].Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := []string{"(none)"}
		if x.First != nil {
			got[0] = string(x.First)
		}
		for _, challenge := range test.challenges {
			answer, err := x.Next([]byte(challenge))
			if err != nil {
				t.Errorf("%s: %v", test.mechanism, err)
			}
			got = append(got, string(answer))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.mechanism, diff)
		}
		if test.mechanism == "PLAIN" || test.mechanism == "LOGIN" {
			if _, err := x.Next(nil); err == nil {
				t.Errorf("%s has an answer to everything", test.mechanism)
			}
		}
		if strings.Contains(test.mechanism, "OAUTH") && len(test.challenges) > 0 && !strings.HasPrefix(x.Refusal(), "status ") {
			t.Errorf("%s: refusal %q", test.mechanism, x.Refusal())
		}
	}
}

// What divides mechanisms and lines is in no name and in no secret, such as the
// line end of a file.
func TestControlCharactersAreRefused(t *testing.T) {
	for _, who := range []sasl.Credentials{
		{User: "ann", Password: secret("secret\n")},
		{User: "ann", Password: secret("a\x00b")},
		{User: "ann\x01auth=Bearer x", Password: secret("secret")},
		{User: "ann\r\nb LOGOUT", Password: secret("secret")},
	} {
		attempts, err := who.Attempts(sasl.Offer{Command: true, Private: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = attempts[0].Start(t.Context())
		if err == nil || strings.Contains(err.Error(), "secret\n") {
			t.Errorf("%q: %v", who.User, err)
		}
	}
}
