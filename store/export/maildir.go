package export

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"mailrow/internal/maildirname"
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
		dir = filepath.Join(dir, shortened(maildirname.Folder(m.Mailbox), m.Mailbox))
	}
	name = fmt.Sprintf("%d.M%06dI%d.mailrow,S=%d", m.ReceivedAt.Unix(), m.ReceivedAt.Nanosecond()/1000, m.ID, m.Size)
	if flags := maildirname.Letters(m.Flags); flags != "" {
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
