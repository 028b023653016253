package pollertest

import (
	"os"
	"path/filepath"
	"strings"

	"mailrow/store/source"
)

func (s *suite) archived() {
	if s.kind.Bare {
		s.impossible("?archive=Done")
		return
	}
	all := mails(5)
	s.box.Add(s, all...)
	s.poll("?archive=Done", source.Count{Stored: 5, Done: 5})
	s.wantStored(all)
	s.wantLeft(nil)
	// The archive is no source, even where all folders are.
	s.poll("?archive=Done&folder=*", source.Count{})
	if !s.kind.Folders {
		return
	}
	s.poll("?folder=Done", source.Count{Stored: 5})
	s.rows(`select mailbox, count(*) from mailrow.mail group by 1 order by 1`, "Done|5", "INBOX|5")
}

// An archive that is the folder itself by another name is refused before anything is
// stored.
func (s *suite) archiveIsFolder() {
	kind, path, _ := strings.Cut(s.box.URI(), "://")
	link := filepath.Join(filepath.Dir(path), "Done")
	switch kind {
	case "imap", "pop3":
		return
	case "maildir":
		link = filepath.Join(path, ".Done")
	case "mh":
		link = filepath.Join(path, "Done")
	}
	s.box.Add(s, mails(2)...)
	ways := map[string]func(string, string) error{"symbolic": os.Symlink}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		ways["hard"] = os.Link
	}
	for way, make := range ways {
		if err := make(path, link); err != nil {
			s.Fatal(err)
		}
		refused := []string{"?archive=Done", "?folder=INBOX&archive=INBOX"}
		if kind != "maildir" { // of Maildir++ any name is a folder's
			refused = append(refused, "?archive=.hidden")
		}
		for _, parameters := range refused {
			got, _, err := s.run(parameters)
			if err == nil || got != (source.Count{}) || parameters == "?archive=Done" && !strings.Contains(err.Error(), "is folder INBOX itself, by another name") {
				s.Errorf("%s link, %s: %+v, %v", way, parameters, got, err)
			}
		}
		if err := os.Remove(link); err != nil {
			s.Fatal(err)
		}
	}
	s.wantStored(nil)
	s.wantLeft(mails(2))
}
