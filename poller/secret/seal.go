package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"mailrow/internal/newfile"
	"mailrow/poller/sasl"
)

// KeyFile is the path of the file that secrets are sealed under: 32 random bytes,
// which are in no backup of the database and in no query. Whoever has both the
// file and the rows has the secrets.
type KeyFile string

// DefaultKeyFile is where the key is if nothing else is said.
const DefaultKeyFile KeyFile = "/etc/mailrow/key"

const keySize = 32 // AES-256

// Owner is what a sealed secret belongs to. It does not open for another: a row's
// secret is of no use in another row, nor when the row's server becomes another.
type Owner struct {
	Source int64
	Place  string // the source's poller.URI.Place
	Use    Use
}

// Use is what a secret is for.
type Use string

// The uses.
const (
	Password     Use = "password"
	ClientSecret Use = "client secret"
	RefreshToken Use = "refresh token"
	AccessToken  Use = "access token"
)

func (o Owner) use() string {
	if o.Use == "" {
		return "secret"
	}
	return string(o.Use)
}

// remedy is what to do about a secret that does not open.
func (o Owner) remedy() string {
	if o.Use == Password {
		return "enter it anew with mailrow source secret --seal"
	}
	return "run mailrow auth again"
}

// data is what is authenticated beside the secret. No part can run into the next.
func (o Owner) data() []byte {
	b := []byte("mailrow sealed secret")
	for _, part := range []string{string(o.Use), strconv.FormatInt(o.Source, 10), o.Place} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// Create makes the file with a new key. It is fs.ErrExist where there is one: that
// one is never overwritten, since what is sealed under it would be lost.
func (f KeyFile) Create() error {
	// Who may read the key need not be allowed to make files beside it.
	if _, err := os.Lstat(string(f)); err == nil {
		return fmt.Errorf("make key file %s: %w", f, fs.ErrExist)
	}
	dir := filepath.Dir(string(f))
	part, err := newfile.Create(dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make key file: %w: make %s as root, for the user that mailrow poll runs as", err, dir)
	}
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	defer part.Discard()
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	if _, err := part.Write(key); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	if err := part.Sync(); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	if err := part.Rename(string(f), false); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	if err := newfile.Sync(dir); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	return nil
}

// Need makes the file where there is none; made says that it did.
func (f KeyFile) Need() (made bool, err error) {
	err = f.Create()
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// sealer is what a key does, and what tells it from others.
type sealer struct {
	cipher.AEAD
	id [4]byte
}

func (f KeyFile) read() (sealer, error) {
	key, err := readPrivate(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return sealer{}, fmt.Errorf("read key: %w: mailrow source key makes one; what was sealed elsewhere needs the file from there", err)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("read key: %w", err)
	}
	if len(key) != keySize {
		return sealer{}, fmt.Errorf("read key: %s has %d bytes, a key has %d: restore it", f, len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("read key: %w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("read key: %w", err)
	}
	s := sealer{AEAD: gcm}
	sum := sha256.Sum256(append([]byte("mailrow key "), key...))
	copy(s.id[:], sum[:])
	return s, nil
}

// form begins what is sealed; another form would have another number.
const form = 1

// Seal encrypts a secret for its owner.
func (f KeyFile) Seal(s sasl.Secret, of Owner) (Reference, error) {
	key, err := f.read()
	if err != nil {
		return Reference{}, fmt.Errorf("seal %s: %w", of.use(), err)
	}
	b := append([]byte{form}, key.id[:]...)
	b = key.AEAD.Seal(b, nil, []byte(s.Reveal()), of.data())
	return Reference{sealed, base64.RawURLEncoding.EncodeToString(b)}, nil
}

// SealedError is a sealed secret that the key does not open.
type SealedError struct{ Reason string }

func (e *SealedError) Error() string { return e.Reason }

func (f KeyFile) open(text string, of Owner) (sasl.Secret, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 5 || b[0] != form {
		return sasl.Secret{}, &SealedError{"what is sealed was changed, or sealed by a later version of mailrow: " + of.remedy()}
	}
	key, err := f.read()
	if err != nil {
		return sasl.Secret{}, err
	}
	if [4]byte(b[1:5]) != key.id {
		return sasl.Secret{}, &SealedError{fmt.Sprintf("it was sealed under another key than %s: restore that key, or %s", f, of.remedy())}
	}
	plain, err := key.AEAD.Open(nil, nil, b[5:], of.data())
	if err != nil {
		return sasl.Secret{}, &SealedError{"it was sealed for another source, or this one's server, user or protocol has changed since: " + of.remedy()}
	}
	return sasl.NewSecret(string(plain)), nil
}
