package mailfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailrow/internal/maildirname"
	"mailrow/poller"
	"mailrow/poller/files"
	"mailrow/poller/wildcard"
)

const inbox = "INBOX"

// source is one file, or a directory of files.
type source struct {
	root  string
	file  bool // root is one
	form  func(path string, o Options) Form
	o     Options
	paths map[string]string // of folders, by name; nil until scanned

	// archives are those that mails were moved to, whole, and how they were then.
	archives map[string]state
}

// Open opens a file, whose folder is INBOX, or a directory, in which each file of
// the form is a folder. form gives the form of a file by its path.
func Open(path string, form func(path string, o Options) Form, o Options) (poller.Source, error) {
	if o.Location == nil {
		o.Location = time.Local
	}
	o.Note = once(o.Note)
	s := &source{root: filepath.Clean(path), form: form, o: o, archives: map[string]state{}}
	name := form(path, o).Name()
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open %s mailbox: %w: correct the path, or wait for the first mail", name, err)
	case err != nil:
		return nil, fmt.Errorf("open %s mailbox: %w", name, err)
	case info.IsDir():
		for _, sub := range []string{"cur", "new"} {
			if sub, err := os.Stat(filepath.Join(path, sub)); err == nil && sub.IsDir() {
				return nil, fmt.Errorf("open %s mailbox %s: it is a Maildir: write maildir: %w", name, path, fs.ErrInvalid)
			}
		}
		if _, err := os.ReadDir(path); err != nil {
			return nil, fmt.Errorf("open directory of %s mailboxes: %w", name, err)
		}
		return s, nil
	}
	s.file = true
	if _, err := s.open(path); err != nil {
		return nil, err
	}
	return s, nil
}

// once passes a note on that was not passed on before.
func once(note func(string)) func(string) {
	if note == nil {
		return nil
	}
	told := map[string]bool{}
	return func(text string) {
		if !told[text] {
			told[text] = true
			note(text)
		}
	}
}

// scan finds the folders. In Thunderbird's directories those below X are in X.sbd.
func (s *source) scan() error {
	paths := map[string]string{inbox: s.root}
	if s.file {
		s.paths = paths
		return nil
	}
	delete(paths, inbox)
	err := files.Walk(s.root, func(below string, names []string) (enter []string) {
		entries, _ := os.ReadDir(filepath.Join(s.root, below)) // what may not be read has no folders
		for _, e := range entries {
			path := filepath.Join(s.root, below, e.Name())
			if s.isFolder(path) {
				paths[folderName(filepath.Join(below, e.Name()))] = path
			}
		}
		return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, ".") })
	})
	if err != nil {
		return fmt.Errorf("look for folders: %w", err)
	}
	s.paths = paths
	return nil
}

// isFolder reports whether a file is a mailbox. Locks, indexes and the like are
// none, and an empty file is one.
func (s *source) isFolder(path string) bool {
	base := filepath.Base(path)
	if strings.HasPrefix(base, ".") || slices.Contains([]string{".lock", ".msf", ".dat", ".index"}, filepath.Ext(base)) {
		return false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return true // lest it be overlooked
	}
	if err != nil {
		return false
	}
	defer file.Close()
	_, err = (&folder{form: s.form(path, s.o)}).first(file)
	return err == nil
}

// folderName is the name of a folder by its path below the root. Only at the top
// INBOX has any case.
func folderName(below string) string {
	if strings.EqualFold(below, inbox) {
		return inbox
	}
	steps := strings.Split(below, string(filepath.Separator))
	for i, step := range steps {
		if i < len(steps)-1 {
			step = strings.TrimSuffix(step, ".sbd")
		}
		steps[i] = maildirname.Step(step)
	}
	return strings.Join(steps, "/")
}

func (s *source) Folders(_ context.Context, patterns []string) ([]string, error) {
	if err := s.scan(); err != nil { // again: folders come and go
		return nil, err
	}
	if len(patterns) == 0 {
		patterns = []string{inbox}
	}
	list, err := wildcard.Select(slices.Sorted(maps.Keys(s.paths)), patterns)
	if err != nil {
		return nil, fmt.Errorf("look for folders in %s: %w", s.root, err)
	}
	return list, nil
}

func (s *source) Folder(_ context.Context, name string) (poller.Folder, error) {
	if _, known := s.paths[name]; !known {
		if err := s.scan(); err != nil {
			return nil, err
		}
	}
	path, known := s.paths[name]
	if !known {
		return nil, fmt.Errorf("find folder %q in %s: %w", name, s.root, fs.ErrNotExist)
	}
	return s.open(path)
}

// open opens the file that a path leads to.
func (s *source) open(path string) (*folder, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("open %s mailbox: %w", s.form(path, s.o).Name(), err)
	}
	return openFolder(s, real)
}

func (s *source) Close() error { return nil }
