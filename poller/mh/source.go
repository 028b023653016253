// Package mh reads MH folders: directories of files whose names are numbers.
//
// Its law: a number is not a mail. Packing, sorting and deleting give it to
// another one, so a mail is known by its file (inode, time and size), and nothing
// is removed without looking what it is.
package mh

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
	"mailrow/internal/newfile"
	"mailrow/poller"
	"mailrow/poller/files"
	"mailrow/poller/wildcard"
)

const (
	inbox     = "INBOX"
	sequences = ".mh_sequences"
)

// source is a directory that is a folder, or holds some, or both.
type source struct {
	root  string
	paths map[string]string // of folders below root, by name; nil until scanned
}

// Open opens a directory of MH folders. Its error wraps fs.ErrNotExist or
// fs.ErrPermission where there is none, or it may not be read.
func Open(path string) (poller.Source, error) {
	s := &source{root: filepath.Clean(path)}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open MH folder: %w: correct the path", err)
	case err != nil:
		return nil, fmt.Errorf("open MH folder: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("open MH folder %s: it is a file: an mbox? %w", path, fs.ErrInvalid)
	}
	is, others, err := look(s.root)
	if err != nil {
		return nil, fmt.Errorf("open MH folder: %w", err)
	}
	if is {
		return s, nil
	}
	if slices.Contains(others, "cur") && slices.Contains(others, "new") {
		return nil, fmt.Errorf("open MH folder %s: it is a Maildir: %w", path, fs.ErrInvalid)
	}
	if err := s.scan(); err != nil {
		return nil, err
	}
	if len(s.paths) == 0 {
		return nil, fmt.Errorf("open MH folder %s: no file or directory in it is of MH: %w", path, fs.ErrInvalid)
	}
	return s, nil
}

// look says whether a directory holds what only an MH folder does, and which
// other names it holds. An empty directory is a folder.
func look(dir string) (is bool, others []string, err error) {
	err = files.Names(dir, func(name string) {
		switch {
		case is:
		case isNumber(name):
			_, _, err := files.Lstat(filepath.Join(dir, name))
			is = err == nil
		case name == sequences:
			is = true
		case !strings.HasPrefix(name, "."):
			others = append(others, name)
		}
	})
	return is || err == nil && len(others) == 0, others, err
}

// isNumber says that a name is a mail's. What begins with a comma or # was removed.
func isNumber(name string) bool {
	return name != "" && strings.Trim(name, "0123456789") == ""
}

// scan finds the folders: every directory, but for the root itself when there is
// no mail in it.
func (s *source) scan() error {
	paths := map[string]string{}
	err := files.Walk(s.root, func(below string, names []string) (enter []string) {
		if slices.Contains(names, "cur") && slices.Contains(names, "new") { // a Maildir
			return nil
		}
		if below == "." {
			is, _, err := look(s.root)
			if is || errors.Is(err, fs.ErrPermission) {
				paths[inbox] = below
			}
		} else {
			name := maildirname.Text(filepath.ToSlash(below))
			if _, taken := paths[name]; taken {
				name = "./" + name
			}
			paths[name] = below
		}
		return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, ".") })
	})
	if err != nil {
		return fmt.Errorf("look for MH folders: %w", err)
	}
	s.paths = paths
	return nil
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
		return nil, fmt.Errorf("look for MH folders in %s: %w", s.root, err)
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
		return "", fmt.Errorf("find MH folder %q in %s: %w", name, s.root, fs.ErrNotExist)
	}
	return filepath.Join(s.root, below), nil
}

// archive gives the path of a folder that is there, or may be made.
func (s *source) archive(name string) (path string, err error) {
	if path, err = s.find(name); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	for step := range strings.SplitSeq(name, "/") {
		if step == "" || strings.HasPrefix(step, ".") || name == inbox {
			return "", fmt.Errorf("make MH folder %q in %s: no directory may have that name: %w", name, s.root, fs.ErrInvalid)
		}
	}
	return filepath.Join(s.root, name), nil
}

// CheckArchive also knows of links to a folder.
func (s *source) CheckArchive(folders []string, archive string) error {
	path, err := s.archive(archive)
	if err != nil {
		return err
	}
	for _, name := range folders {
		folder, err := s.find(name)
		if err != nil {
			return err
		}
		if err := files.Apart(path, folder, name); err != nil {
			return err
		}
	}
	return nil
}

// makeFolder opens a folder, and makes it first where it is missing.
func (s *source) makeFolder(name string) (*folder, error) {
	path, err := s.find(name)
	if err == nil {
		return s.open(name, path)
	}
	if _, err := s.archive(name); err != nil {
		return nil, err
	}
	path = s.root
	for step := range strings.SplitSeq(name, "/") {
		parent := path
		path = filepath.Join(path, step)
		if err := files.MakeDir(path, s.root); err != nil {
			return nil, fmt.Errorf("make MH folder %q: %w", name, err)
		}
		if err := newfile.Sync(parent); err != nil {
			return nil, fmt.Errorf("make MH folder %q: %w", name, err)
		}
	}
	if err := files.MakeFile(filepath.Join(path, sequences), s.root); err != nil { // other programs want one
		return nil, fmt.Errorf("make MH folder %q: %w", name, err)
	}
	s.paths = nil
	return s.open(name, path)
}

func (s *source) Close() error { return nil }
