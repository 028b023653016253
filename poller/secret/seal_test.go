package secret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mailrow/internal/scratch"
	"mailrow/poller/sasl"
)

func newKey(t testing.TB) KeyFile {
	t.Helper()
	key := KeyFile(filepath.Join(scratch.ForTest(t), "key"))
	if err := key.Create(); err != nil {
		t.Fatal(err)
	}
	return key
}

var ann = Owner{Source: 7, Place: "imap+ssl://ann@imap.example.com", Use: Password}

func TestSeal(t *testing.T) {
	key := newKey(t)
	for _, text := range []string{"hunter2", "", "zwei\nZeilen", strings.Repeat("x", 10_000)} {
		r, err := key.Seal(sasl.NewSecret(text), ann)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(r.String())
		if err != nil {
			t.Fatal(err)
		}
		if s, err := again.Get(ctx, key, ann); err != nil || s.Reveal() != text {
			t.Errorf("%.10q: got %.10q, %v", text, s.Reveal(), err)
		}
		if r.Short() != "sealed" {
			t.Errorf("short: %s", r.Short())
		}
	}
	a, _ := key.Seal(sasl.NewSecret("hunter2"), ann)
	b, _ := key.Seal(sasl.NewSecret("hunter2"), ann)
	if a == b {
		t.Error("equal secrets can be told from their rows")
	}
}

// A secret must not open in another row, for another server or another use.
func TestSealedOpensForItsOwnerOnly(t *testing.T) {
	key := newKey(t)
	r, err := key.Seal(sasl.NewSecret("hunter2"), ann)
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]Owner{
		"source": {8, ann.Place, ann.Use},
		"server": {7, "imap+ssl://ann@imap.example.net", ann.Use},
		"clear":  {7, "imap://ann@imap.example.com", ann.Use},
		"use":    {7, ann.Place, RefreshToken},
		"nobody": {},
	} {
		s, err := r.Get(ctx, key, of)
		var refused *SealedError
		if !errors.As(err, &refused) || s.Reveal() != "" {
			t.Errorf("%s: got %q, %v", name, s.Reveal(), err)
		}
	}
	if _, err := r.Get(ctx, newKey(t), ann); err == nil || !strings.Contains(err.Error(), "another key") || !strings.Contains(err.Error(), "mailrow source secret --seal") {
		t.Errorf("another key: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	key := newKey(t)
	stat, err := os.Stat(string(key))
	if err != nil || stat.Mode() != 0o600 || stat.Size() != keySize {
		t.Errorf("%v, %v", stat, err)
	}
	before, _ := os.ReadFile(string(key))
	if err := key.Create(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second key: %v", err)
	}
	if after, _ := os.ReadFile(string(key)); string(after) != string(before) {
		t.Error("the key was overwritten")
	}
	for want, spoil := range map[string]func(path string) error{
		"chmod 600":          func(path string) error { return os.Chmod(path, 0o644) },
		"has 31 bytes":       func(path string) error { return os.Truncate(path, 31) },
		"mailrow source key": os.Remove,
	} {
		key := newKey(t)
		r, err := key.Seal(sasl.NewSecret("x"), ann)
		if err := errors.Join(err, spoil(string(key))); err != nil {
			t.Fatal(err)
		}
		_, sealing := key.Seal(sasl.NewSecret("x"), ann)
		_, opening := r.Get(ctx, key, ann)
		for _, err := range []error{sealing, opening} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
	}
}

// Of many who make the key at once one makes it, and nobody sees half of it.
func TestKeyIsMadeOnce(t *testing.T) {
	key := KeyFile(filepath.Join(scratch.ForTest(t), "key"))
	var made int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := key.Create()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
			if _, err := key.Seal(sasl.NewSecret("x"), ann); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("%d keys were made", made)
	}
}

// FuzzShown looks for a secret in all that a program may print of it.
func FuzzShown(f *testing.F) {
	f.Add("hunter2hunter2", "user: ann")
	f.Add("pässwort mit blanks", "\xff\x00")
	key := newKey(f)
	dir := scratch.ForTest(f)
	f.Fuzz(func(t *testing.T, text, more string) {
		if len(text) < 8 || strings.ContainsAny(text, "*\n\r\x00") || strings.Contains(ctxText, text) {
			t.Skip()
		}
		s := sasl.NewSecret(text)
		type held struct {
			S sasl.Secret
			u sasl.Secret
			p *sasl.Secret
		}
		var shown []string
		for _, v := range []any{s, &s, held{s, s, &s}, &held{s, s, &s}, []sasl.Secret{s}, map[string]sasl.Secret{"a": s}, fmt.Errorf("log in: %v", s)} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				shown = append(shown, fmt.Sprintf(verb, v))
			}
			if b, err := json.Marshal(v); err == nil {
				shown = append(shown, string(b))
			}
		}
		r, err := key.Seal(s, ann)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := r.Get(ctx, key, ann); err != nil || opened.Reveal() != text {
			t.Fatalf("sealed and opened: %v", err)
		}
		path := filepath.Join(dir, "two lines")
		if err := os.WriteFile(path, []byte(text+"\n"+more+"x"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, lines := Reference{file, path}.Get(ctx, key, ann)
		_, parse := Parse(text)
		_, other := r.Get(ctx, key, Owner{})
		shown = append(shown, r.String(), fmt.Sprint(lines), fmt.Sprint(other))
		if parse != nil {
			shown = append(shown, parse.Error())
		}
		for _, show := range shown {
			for _, form := range []string{text, fmt.Sprintf("%q", text)[1:], fmt.Sprintf("%x", text), base64.StdEncoding.EncodeToString([]byte(text))} {
				if strings.Contains(show, strings.TrimSuffix(form, `"`)) {
					t.Errorf("%q is in %s", text, show)
				}
			}
		}
	})
}

// ctxText has what stands in errors anyhow.
const ctxText = "get password: this does not say where a secret is: write file:/PATH, env:NAME, command:PROGRAM ARGUMENTS or credential:NAME " +
	"two lines has more than one line: a secret is one it was sealed for another source, or this one's server, user or protocol has changed since: run mailrow auth again"

// FuzzOpen changes what is sealed: it never opens, and nothing panics.
func FuzzOpen(f *testing.F) {
	key := newKey(f)
	r, err := key.Seal(sasl.NewSecret("hunter2"), ann)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.value, 0, byte(1))
	f.Add("AQ", 3, byte(255))
	f.Fuzz(func(t *testing.T, text string, at int, bits byte) {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil && len(b) > 0 {
			b[uint(at)%uint(len(b))] ^= bits
			text = base64.RawURLEncoding.EncodeToString(b)
		}
		if s, err := key.open(text, ann); err == nil && text != r.value {
			t.Errorf("%q opens to %q", text, s.Reveal())
		}
	})
}
