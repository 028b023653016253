package export

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"

	"mailrow/store/archive"
)

// maildir is a Maildir for each account, with a Maildir++ folder for each
// mailbox but INBOX.
type maildir struct{ folders }

// NewMaildir writes Maildirs into folder root.
func NewMaildir(root string) Target {
	return &maildir{folders{root: root, made: map[string]bool{}}}
}

// place gives the Maildir of a mail, and its file below: in new without flags,
// in cur with them. The name is the same in every run, and nobody else's: ids
// are unique.
func (d *maildir) place(m archive.Mail) (dir, name string) {
	dir = filepath.Join(d.root, component(m.Account))
	if m.Mailbox != "INBOX" {
		dir = filepath.Join(dir, maildirFolder(m.Mailbox))
	}
	name = fmt.Sprintf("%d.M%06dI%d.mailrow,S=%d", m.ReceivedAt.Unix(), m.ReceivedAt.Nanosecond()/1000, m.ID, m.Size)
	if flags := maildirFlags(m.Flags); flags != "" {
		return dir, filepath.Join("cur", name+":2,"+flags)
	}
	return dir, filepath.Join("new", name)
}

func (d *maildir) Has(m archive.Mail) (bool, error) {
	dir, name := d.place(m)
	return isThere(filepath.Join(dir, name), m.Size)
}

func (d *maildir) Add(m archive.Mail, write func(io.Writer) error) error {
	dir, name := d.place(m)
	if err := d.makeMaildir(dir, m.Mailbox != "INBOX"); err != nil {
		return err
	}
	return d.put(filepath.Join(dir, "tmp"), filepath.Join(dir, name), m.ReceivedAt, write)
}

func (d *maildir) makeMaildir(dir string, folder bool) error {
	if d.made[dir] {
		return nil
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := d.make(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	if folder { // what tells a folder from the Maildir that it is in
		if err := os.WriteFile(filepath.Join(dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	d.made[dir] = true
	return nil
}

// maildirFlags gives the letters of those flags that Maildir knows. Keywords
// have none.
func maildirFlags(flags []string) string {
	var letters []byte
	for _, flag := range flags {
		var letter byte
		switch strings.ToLower(flag) {
		case `\draft`:
			letter = 'D'
		case `\flagged`:
			letter = 'F'
		case `$forwarded`:
			letter = 'P'
		case `\answered`:
			letter = 'R'
		case `\seen`:
			letter = 'S'
		case `\deleted`:
			letter = 'T'
		}
		if letter != 0 && !slices.Contains(letters, letter) {
			letters = append(letters, letter)
		}
	}
	slices.Sort(letters)
	return string(letters)
}

// maildirFolder is the Maildir++ folder of a mailbox: its steps after dots, in
// the modified UTF-7 of IMAP (RFC 3501 5.1.3). A dot in a step, or nothing
// between two slashes, is written as a backslash and two digits.
func maildirFolder(mailbox string) string {
	var b strings.Builder
	for step := range strings.SplitSeq(mailbox, "/") {
		b.WriteByte('.')
		if step == "" {
			b.WriteString(`\2f`)
		}
		for _, piece := range pieces(step) {
			if piece[0] >= ' ' && piece[0] < 0x7f {
				b.WriteString(strings.NewReplacer("&", "&-", ".", `\2e`, `\`, `\5c`).Replace(piece))
				continue
			}
			var bytes []byte
			for _, unit := range utf16.Encode([]rune(piece)) {
				bytes = append(bytes, byte(unit>>8), byte(unit))
			}
			b.WriteString("&" + strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(bytes), "/", ",") + "-")
		}
	}
	return shortened(b.String(), mailbox)
}

// pieces divides s where printable ASCII begins or ends.
func pieces(s string) (list []string) {
	start := 0
	plain := func(r rune) bool { return r >= ' ' && r < 0x7f }
	var last rune
	for i, r := range s {
		if i > start && plain(r) != plain(last) {
			list = append(list, s[start:i])
			start = i
		}
		last = r
	}
	if start < len(s) {
		list = append(list, s[start:])
	}
	return list
}
