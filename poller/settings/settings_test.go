package settings_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/needs"
	"mailrow/internal/scratch"
	"mailrow/poller/settings"
)

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(scratch.ForTest(t), "settings.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func nothing(string) string { return "" }

const ann = "host = imap.example.com\nusername = ann@example.com\n"

func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		text, section string
		uri, password string
		warnings      []string
	}{
		"as little as it can be":  {"[DEFAULT]\n" + ann + "password = hunter2\n", "", "imap+ssl://ann%40example.com@imap.example.com", "hunter2", nil},
		"clear":                   {"[DEFAULT]\n" + ann + "ssl = no\nport: 1143\n", "", "imap://ann%40example.com@imap.example.com:1143", "", nil},
		"starttls":                {"[DEFAULT]\n" + ann + "STARTTLS = On\n", "", "imap+tls://ann%40example.com@imap.example.com", "", nil},
		"starttls, and no ssl":    {"[DEFAULT]\n" + ann + "starttls = 1\nssl = 0\n", "", "imap+tls://ann%40example.com@imap.example.com", "", nil},
		"authority":               {"[DEFAULT]\n" + ann + "ssl_ca_file = /etc/ssl/our ca.pem\n", "", "imap+ssl://ann%40example.com@imap.example.com?ca=/etc/ssl/our%20ca.pem", "", nil},
		"not verified":            {"[DEFAULT]\n" + ann + "ssl_verify_cert = off\nssl_check_hostname = false\n", "", "imap+ssl://ann%40example.com@imap.example.com?tls=insecure", "", nil},
		"not verified, and clear": {"[DEFAULT]\n" + ann + "ssl_verify_cert = off\nssl = off\n", "", "imap://ann%40example.com@imap.example.com", "", nil},
		"address":                 {"[DEFAULT]\nhost = ::1\nusername = a:b\n", "", "imap+ssl://a%3Ab@[::1]", "", nil},
		"section":                 {"[DEFAULT]\n" + ann + "password=one\n[bob]\nusername=bob\n", "bob", "imap+ssl://bob@imap.example.com", "one", nil},
		"DEFAULT twice":           {"[DEFAULT]\n" + ann + "[bob]\nusername=bob\n[DEFAULT]\npassword=late\n", "bob", "imap+ssl://bob@imap.example.com", "late", nil},
		"percent":                 {"[DEFAULT]\n" + ann + "password = 100%%sure=%(username)s;#x\n", "", "imap+ssl://ann%40example.com@imap.example.com", "100%sure=ann@example.com;#x", nil},
		"comments":                {"# a\n\n[DEFAULT]\n ; b\n" + strings.ReplaceAll(ann, "\n", "\r\n") + "#password = x\n", "", "imap+ssl://ann%40example.com@imap.example.com", "", nil},
		"other options":           {"[DEFAULT]\n" + ann + "timeout = 30\nexpect_failure = x\n", "", "imap+ssl://ann%40example.com@imap.example.com", "", []string{"expect_failure means nothing here", "timeout means nothing here"}},
		"stream":                  {"[DEFAULT]\nhost = ssh host imapd\nstream = yes\n", "", "imap+exec:ssh host imapd", "", nil},
	} {
		got, err := settings.Read(write(t, test.text), test.section, nothing)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		password := ""
		if got.Password != nil {
			password = got.Password.Reveal()
		}
		if got.URI != test.uri || password != test.password || got.OAuth != nil {
			t.Errorf("%s: got %s with %q, want %s with %q", name, got.URI, password, test.uri, test.password)
		}
		if diff := cmp.Diff(test.warnings, got.Warnings); diff != "" {
			t.Errorf("%s: warnings %s", name, diff)
		}
	}
}

func TestOAuth2(t *testing.T) {
	text := "[DEFAULT]\nhost = imap.gmail.com\nusername = ann@gmail.com\npassword = hunter2\noauth2 = true\noauth2_client_id = me\noauth2_client_secret = mine\noauth2_refresh_token = 1//abc\n"
	got, err := settings.Read(write(t, text), "", nothing)
	if err != nil {
		t.Fatal(err)
	}
	o := got.OAuth
	if o == nil || o.Provider.Token != "https://oauth2.googleapis.com/token" || o.Client.ID != "me" || o.Client.Secret.Reveal() != "mine" ||
		o.Refresh.Reveal() != "1//abc" || got.Password != nil {
		t.Errorf("got %+v", got)
	}
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{"imapclient_username": "bob", "imapclient_password": "hun%ter2", "imapclient_oauth2_client_id": "x"}
	got, err := settings.Read(write(t, "[DEFAULT]\nhost = h\n"), "", func(name string) string { return env[name] })
	if err != nil || got.URI != "imap+ssl://bob@h" || got.Password.Reveal() != "hun%ter2" {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = settings.Read(write(t, "[DEFAULT]\nhost = h\nusername = ann\npassword =\n"), "", func(name string) string { return env[name] })
	if err != nil || got.URI != "imap+ssl://ann@h" || got.Password != nil {
		t.Errorf("the file says otherwise: %+v, %v", got, err)
	}
}

func TestOthersCanReadIt(t *testing.T) {
	path := write(t, "[DEFAULT]\n"+ann)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := settings.Read(path, "", nothing)
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "chmod 600") {
		t.Errorf("got %v, %v", got.Warnings, err)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"password = hunter2":                                                                 "line 1 stands before the first section",
		"[DEFAULT]\nhunter2":                                                                 "line 2 has no name and value",
		"[DEFAULT]\nhost = h\n  password = hunter2":                                          "line 3 is indented",
		"[DEFAULT\nhost = h":                                                                 "line 1 begins a section",
		"[DEFAULT]\nhost = h\nHOST = hunter2":                                                "line 3 says an option that this section has already",
		"[a]\nhost = h\n[a]\nusername = b":                                                   "section a is there twice",
		"[DEFAULT]\nusername = b":                                                            "host is missing",
		"[DEFAULT]\nhost = h":                                                                "username is missing",
		"[DEFAULT]\n" + ann + "port = 70000":                                                 "port is no number",
		"[DEFAULT]\n" + ann + "ssl = hunter2":                                                "ssl is neither true nor false",
		"[DEFAULT]\n" + ann + "ssl = true\nstarttls = true":                                  "ssl and starttls are both on",
		"[DEFAULT]\n" + ann + "ssl_check_hostname = false":                                   "?pin=sha256:",
		"[DEFAULT]\n" + ann + "password = hunter2%":                                          "write %% for a %",
		"[DEFAULT]\n" + ann + "password = %(hunter2)s":                                       "refers to an option that is not there",
		"[DEFAULT]\n" + ann + "password = %(password)s":                                      "without an end",
		"[DEFAULT]\nhost = ssh 'a b' $HOME\nstream = yes":                                    "that only a shell understands",
		"[DEFAULT]\n" + ann + "oauth2 = yes":                                                 "run mailrow auth URL",
		"[DEFAULT]\nhost = imap.gmail.com\nusername = a\noauth2 = yes\noauth2_client_id = a": "oauth2_refresh_token is missing",
	} {
		_, err := settings.Read(write(t, text), "", nothing)
		var bad *settings.Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	_, err := settings.Read(write(t, "[DEFAULT]\n"+ann+"[bob]\nport = 1\n"), "bib", nothing)
	if err == nil || !strings.Contains(err.Error(), `there is no section "bib"; there are DEFAULT, bob`) {
		t.Errorf("no such section: %v", err)
	}
}

// configparser prints what Python makes of a file: its user and password, or null.
const configparser = `
import configparser, json, sys
try:
    p = configparser.ConfigParser()
    p.read(sys.argv[1], encoding="utf-8")
    print(json.dumps([p.get("a", "username"), p.get("a", "password")]))
except configparser.Error as e:
    print("null")
`

// Whatever Python reads is read the same, or refused.
func TestAsPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		needs.Missing(t, "python3", needs.Install)
	}
	for _, value := range []string{"x", "x ; y", "x # y", `"x"`, "x = y", "x: y", "100%%", "%(username)s!", "%(USERNAME)s", "100%", "%(none)s", "%x", "ä", "%%(username)s", "[x]"} {
		path := write(t, "[DEFAULT]\nhost=h\nUserName : ann\n[a]\n\npassword="+value+"  \n")
		out, err := exec.Command(python, "-c", configparser, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if err := json.Unmarshal(out, &want); err != nil {
			t.Fatal(err)
		}
		got, err := settings.Read(path, "a", nothing)
		if (err == nil) != (want != nil) || err == nil && got.Password.Reveal() != want[1] {
			t.Errorf("%q: got %v, %v; Python %q", value, got, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("[DEFAULT]\n"+ann+"password = %(username)s%%\n[a]\nssl=no", "a")
	f.Add("[DEFAULT]\nhost=h\nstream=1", "")
	path := write(f, "")
	f.Fuzz(func(t *testing.T, text, section string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := settings.Read(path, section, nothing)
		if err == nil && (!strings.HasPrefix(got.URI, "imap") || strings.ContainsAny(got.URI, "\n\x00")) {
			t.Errorf("URI %q", got.URI)
		}
	})
}
