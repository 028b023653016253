package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Walk calls visit once with each directory from root on: with its path below
// root, and the names of the directories in it, sorted; visit gives those to go
// into. Symbolic links are followed after everything else, so a directory is met
// where it is, and never in a circle. One that may not be read has no names.
func Walk(root string, visit func(below string, names []string) (enter []string)) error {
	met := map[[2]uint64]bool{}
	var links []string
	var walk func(below string) error
	walk = func(below string) error {
		path := filepath.Join(root, below)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		ino, dev := inode(info)
		if !info.IsDir() || met[[2]uint64{ino, dev}] {
			return nil
		}
		met[[2]uint64{ino, dev}] = true

		real, linked, err := directories(path)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		names := slices.Sorted(slices.Values(slices.Concat(real, linked)))
		for _, name := range visit(below, names) {
			next := filepath.Join(below, name)
			if slices.Contains(linked, name) {
				links = append(links, next)
				continue
			}
			if err := walk(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	if err := walk("."); err != nil {
		return err
	}
	for len(links) > 0 {
		link := links[0]
		links = links[1:]
		// A link that leads nowhere is nobody's folder.
		if err := walk(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// directories gives the names of directories, and of links to directories.
func directories(dir string) (real, linked []string, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		for _, entry := range entries {
			switch {
			case entry.IsDir():
				real = append(real, entry.Name())
			case entry.Type()&fs.ModeSymlink != 0:
				if info, err := os.Stat(filepath.Join(dir, entry.Name())); err == nil && info.IsDir() {
					linked = append(linked, entry.Name())
				}
			}
		}
		switch {
		case err == io.EOF:
			return real, linked, nil
		case err != nil:
			return real, linked, err
		}
	}
}

// Apart says with an error that the path of an archive leads to that of a folder, be
// it through links. What is missing is like nothing.
func Apart(archive, path, folder string) error {
	a, err := os.Stat(archive)
	if err == nil {
		var b fs.FileInfo
		if b, err = os.Stat(path); err == nil && os.SameFile(a, b) {
			return fmt.Errorf("%s is folder %s itself, by another name: name another: %w", archive, folder, fs.ErrInvalid)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func inode(info fs.FileInfo) (ino, dev uint64) {
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Ino, uint64(stat.Dev)
}
