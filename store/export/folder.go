package export

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mailrow/internal/newfile"
	"mailrow/store/archive"
)

// folders are files of one mail each, in folders of account and mailbox. A file
// that is there with the size of its mail is whole: it got its name last.
type folders struct {
	root string
	made map[string]bool
}

func (f *folders) make(dir string) error {
	if f.made[dir] {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f.made[dir] = true
	return nil
}

func (f *folders) Close() error { return nil }
func (f *folders) Discard()     {}

func (f *folders) Unfinished(n Count) string {
	return fmt.Sprintf("%d mails were exported: start again to go on", n.Mails)
}

// put writes a file in folder dir, whole or not at all, and then names it.
func (f *folders) put(dir, name string, at time.Time, write func(io.Writer) error) error {
	file, err := newfile.Create(dir)
	if err != nil {
		return err
	}
	defer file.Discard()
	if err := write(file); err != nil {
		return err
	}
	if err := os.Chtimes(file.Name(), at, at); err != nil {
		return err
	}
	return file.Rename(name, true)
}

// isThere says whether there is a file of that size.
func isThere(name string, size int64) (bool, error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return info.Mode().IsRegular() && info.Size() == size, nil
}

// eml is a file ID.eml for each mail.
type eml struct{ folders }

// NewEML writes files into folder root.
func NewEML(root string) Target {
	return &eml{folders{root: root, made: map[string]bool{}}}
}

func (e *eml) place(m archive.Mail) (dir, name string) {
	dir = filepath.Join(e.root, component(m.Account))
	for step := range strings.SplitSeq(m.Mailbox, "/") {
		dir = filepath.Join(dir, component(step))
	}
	return dir, filepath.Join(dir, strconv.FormatInt(m.ID, 10)+".eml")
}

func (e *eml) Has(m archive.Mail) (bool, error) {
	_, name := e.place(m)
	return isThere(name, m.Size)
}

func (e *eml) Add(m archive.Mail, write func(io.Writer) error) error {
	dir, name := e.place(m)
	if err := e.make(dir); err != nil {
		return err
	}
	return e.put(dir, name, m.ReceivedAt, write)
}

// maxName is what file systems take, less the room for a mark.
const maxName = 200

// component makes a file name of any text. What some file system takes for
// something else is written as %xx, and what is too long ends in a hash: two
// texts never get the same name.
func component(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c < ' ' || c == 0x7f || strings.IndexByte(`/\%<>:"|?*`, c) >= 0,
			c == '.' && i == 0,
			// A folder must not have the name of a file.
			c == '.' && strings.EqualFold(s[i:], ".eml"):
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	return shortened(b.String(), s)
}

// shortened is a name of at most 255 bytes for s.
func shortened(name, s string) string {
	if len(name) <= maxName {
		return name
	}
	cut := maxName
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return fmt.Sprintf("%s~%x", name[:cut], sha256.Sum256([]byte(s)))[:cut+1+32]
}
