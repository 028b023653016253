package collection

import (
	"path"
	"regexp"
	"strings"

	"mailrow/internal/maildirname"
	"mailrow/message"
)

// folder names the folder of a mail by the folder of its file, as it is there,
// and by the name of a file that holds a mailbox. The same mails have the same
// folder whether they are in an archive or were unpacked.
func (r *Reader) folder(dir, mailbox string) string {
	inMaildir := false
	if base := path.Base(dir); base == "cur" || base == "new" {
		dir, inMaildir = path.Dir(dir), true
	}
	var levels []string
	for step := range strings.SplitSeq(dir, "/") {
		switch {
		case step == "" || step == ".", strings.EqualFold(step, "Maildir"), strings.EqualFold(step, ".maildir"):
		case inMaildir && len(step) > 1 && step[0] == '.':
			levels = append(levels, strings.Split(maildirname.Mailbox(step), "/")...)
		case inMaildir:
			levels = append(levels, maildirname.Step(step))
		default:
			levels = append(levels, maildirname.Text(plainLevel(step)))
		}
	}
	if mailbox = stem(mailbox); mailbox != "" && mailbox != "mbox" {
		levels = append(levels, maildirname.Text(mailbox))
	}
	levels = levels[min(r.Strip, len(levels)):]
	name, _ := message.Clean(strings.Join(levels, "/"))
	if name == "" || strings.EqualFold(name, inbox) {
		return inbox
	}
	return name
}

const inbox = "INBOX"

// plainLevel takes off what mail programs add to the name of a folder on disk:
// Thunderbird keeps what is below Work in Work.sbd, Apple Mail all of it in
// Work.mbox.
func plainLevel(step string) string {
	for _, suffix := range []string{".sbd", ".mbox", ".imapmbox"} {
		if short, ok := strings.CutSuffix(step, suffix); ok && short != "" {
			return short
		}
	}
	return step
}

// stem is a file's name without what only says its form.
func stem(name string) string {
	for {
		switch ext := path.Ext(name); strings.ToLower(ext) {
		case ".mbox", ".mboxrd", ".mboxo", ".mboxcl", ".mboxcl2", ".mbx", ".mmdf", ".rmail", ".babyl", ".mail",
			".gz", ".bz2", ".zst", ".tgz", ".tbz", ".tbz2", ".tzst", ".tar", ".zip":
			if ext == name {
				return name
			}
			name = strings.TrimSuffix(name, ext)
		default:
			return name
		}
	}
}

// inMaildir says whether a file is where a Maildir keeps its mail.
func inMaildir(m member) bool {
	base := path.Base(m.dir)
	return base == "cur" || base == "new"
}

// A name of a mail in a Maildir begins with the time when it came.
var maildirName = regexp.MustCompile(`^[0-9]+\.[^/]`)

// isUnfinished says that a program was still writing the mail.
func isUnfinished(m member) bool { return path.Base(m.dir) == "tmp" && isMaildirName(m.name) }

func isMaildirName(name string) bool { return maildirName.MatchString(name) }

var maildirLetters = regexp.MustCompile(`[:!;]2,([A-Z]*)`)

// maildirFlags gives the flags in the name of a file. What Dovecot's keywords
// mean, which are small letters, another file says, and not always before this.
func maildirFlags(name string) []string {
	found := maildirLetters.FindStringSubmatch(name)
	if found == nil {
		return nil
	}
	return maildirname.Flags(found[1], &[26]string{})
}
