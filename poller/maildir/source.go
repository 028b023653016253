// Package maildir reads Maildirs (https://cr.yp.to/proto/maildir.html) and their
// folders: those of Maildir++, which lie in the Maildir with a dot before their
// name, and nested directories that are Maildirs themselves.
//
// Its law: a regular file in new or cur whose name does not begin with a dot is a
// mail, whatever its name. Files in tmp are none yet.
package maildir

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

	"mailrow/internal/maildirname"
	"mailrow/poller"
	"mailrow/poller/files"
	"mailrow/poller/wildcard"
)

const inbox = "INBOX"

// Options are what the Maildir itself does not tell.
type Options struct {
	// Separator stands before the flags in the names of files: ':', or '!' or ';'
	// on file systems that refuse it. Zero is as other mails in the folder have it.
	Separator byte
}

// source is a directory that is a Maildir, or holds some.
type source struct {
	root    string
	options Options
	paths   map[string]string // of folders below root, by name; nil until scanned
	nested  bool              // a folder was found that is not one of Maildir++
}

// Open opens a directory of Maildirs. Its error wraps fs.ErrNotExist or
// fs.ErrPermission where there is none, or it may not be read.
func Open(path string, o Options) (poller.Source, error) {
	if o.Separator != 0 && strings.IndexByte(separators, o.Separator) < 0 {
		return nil, fmt.Errorf("open Maildir %s: the separator %q is none of %q", path, o.Separator, separators)
	}
	s := &source{root: filepath.Clean(path), options: o}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open Maildir: %w: correct the path, or make it with maildirmake", err)
	case err != nil:
		return nil, fmt.Errorf("open Maildir: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("open Maildir %s: it is a file: an mbox? %w", path, fs.ErrInvalid)
	}
	is, err := isMaildir(path)
	if err != nil {
		return nil, fmt.Errorf("open Maildir: %w", err)
	}
	if is {
		return s, nil
	}
	if err := s.scan(); err != nil {
		return nil, err
	}
	if len(s.paths) == 0 {
		return nil, fmt.Errorf("open Maildir %s: neither it nor a directory in it has new and cur: %w", path, fs.ErrNotExist)
	}
	return s, nil
}

// isMaildir says whether a directory has new or cur: one of them may be lost,
// where a backup left out empty directories.
func isMaildir(path string) (bool, error) {
	for _, sub := range []string{"cur", "new"} {
		info, err := os.Stat(filepath.Join(path, sub))
		switch {
		case err == nil && info.IsDir():
			return true, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, nil
}

// scan finds the folders.
func (s *source) scan() error {
	paths := map[string]string{}
	nested := false
	err := files.Walk(s.root, func(below string, names []string) (enter []string) {
		is := slices.Contains(names, "cur") || slices.Contains(names, "new")
		if !is { // one that may not be read is a Maildir, lest it be overlooked
			_, err := isMaildir(filepath.Join(s.root, below))
			is = errors.Is(err, fs.ErrPermission)
		}
		hidden := below != "." && strings.HasPrefix(filepath.Base(below), ".")
		if is {
			name := folderName(below)
			for _, other := range []string{maildirname.Text(below), "./" + maildirname.Text(below)} {
				if _, taken := paths[name]; taken {
					name = other
				}
			}
			paths[name] = below
			nested = nested || below != "." && !hidden
		} else if hidden {
			return nil
		}
		return slices.DeleteFunc(names, func(name string) bool {
			return is && slices.Contains(parts, name) && !s.holdsMaildir(filepath.Join(below, name))
		})
	})
	if err != nil {
		return fmt.Errorf("look for folders in Maildir: %w", err)
	}
	s.paths, s.nested = paths, nested
	return nil
}

// parts are the directories of a Maildir.
var parts = []string{"cur", "new", "tmp"}

// holdsMaildir says whether a directory is a folder whatever its name: "new" may be
// one.
func (s *source) holdsMaildir(below string) bool {
	is, _ := isMaildir(filepath.Join(s.root, below))
	return is
}

// folderName is the name of a folder by its path below the root.
func folderName(below string) string {
	if below == "." {
		return inbox
	}
	var steps []string
	for step := range strings.SplitSeq(below, string(filepath.Separator)) {
		if strings.HasPrefix(step, ".") {
			steps = append(steps, maildirname.Mailbox(step))
		} else {
			steps = append(steps, maildirname.Step(step))
		}
	}
	return strings.Join(steps, "/")
}

func (s *source) Folders(_ context.Context, patterns []string) ([]string, error) {
	if err := s.scan(); err != nil { // again: folders come and go
		return nil, err
	}
	names := slices.Sorted(maps.Keys(s.paths))
	if len(patterns) == 0 {
		patterns = []string{inbox}
	}
	list, err := wildcard.Select(names, patterns)
	if err != nil {
		return nil, fmt.Errorf("look for folders in Maildir %s: %w", s.root, err)
	}
	return list, nil
}

func (s *source) Folder(_ context.Context, name string) (poller.Folder, error) {
	path, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return s.open(name, path)
}

// find gives the path of a folder.
func (s *source) find(name string) (string, error) {
	if below, is := s.paths[name]; is {
		return filepath.Join(s.root, below), nil
	}
	if err := s.scan(); err != nil {
		return "", err
	}
	below, is := s.paths[name]
	if !is {
		return "", fmt.Errorf("find folder %q of Maildir %s: %w", name, s.root, fs.ErrNotExist)
	}
	return filepath.Join(s.root, below), nil
}

func (s *source) Close() error { return nil }
