package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailrow/internal/imaputf7"
	"mailrow/internal/maildirname"
	"mailrow/internal/newfile"
	"mailrow/poller"
	"mailrow/poller/files"
)

// eachName calls do with each mail's names as they are now, and with those of its
// twins. Mails that are gone are left out.
func (f *folder) eachName(ctx context.Context, entries []poller.Entry, do func(name, files.Stamp) error) error {
	for _, entry := range entries {
		p := entry.Place.(place)
		for _, one := range append([]place{p}, p.twins...) {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := f.current(one)
			if err == nil {
				err = do(n, one.stamp)
			}
			if err != nil && !errors.Is(err, poller.ErrGone) {
				return err
			}
		}
	}
	return nil
}

func (f *folder) Remove(ctx context.Context, entries []poller.Entry) error {
	err := f.eachName(ctx, entries, func(n name, _ files.Stamp) error {
		return gone(os.Remove(f.file(n)))
	})
	if err := errors.Join(err, f.sync()); err != nil {
		return fmt.Errorf("remove mails from folder %q: %w", f.name, err)
	}
	return nil
}

// gone makes poller.ErrGone of an error that says so.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, poller.ErrGone)
	}
	return err
}

// sync makes sure that names in new and cur are durable.
func (f *folder) sync() error {
	var errs []error
	for _, sub := range f.subs() {
		if err := newfile.Sync(sub); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// MarkSeen moves mails to cur, and adds the letter S to their names.
func (f *folder) MarkSeen(ctx context.Context, entries []poller.Entry) error {
	if err := files.MakeDir(filepath.Join(f.path, "cur"), f.path); err != nil {
		return fmt.Errorf("mark mails of folder %q as seen: %w", f.name, err)
	}
	err := f.eachName(ctx, entries, func(n name, stamp files.Stamp) error {
		if strings.Contains(n.letters(), "S") && n.cur {
			return nil
		}
		to := name{file: n.seen(f.infoSeparator()), cur: true}
		err := newfile.RenameKeeping(f.file(n), f.file(to))
		if errors.Is(err, fs.ErrExist) && (files.Check(f.file(to), stamp) == nil || files.SameBytes(f.file(n), f.file(to))) {
			return gone(os.Remove(f.file(n))) // the rest of a move
		}
		return gone(err)
	})
	if err := errors.Join(err, f.sync()); err != nil {
		return fmt.Errorf("mark mails of folder %q as seen: %w", f.name, err)
	}
	return nil
}

// learnSeparator remembers how names in the folder are written.
func (f *folder) learnSeparator() {
	if f.separator != 0 {
		return
	}
	for _, n := range f.names {
		if info := n.information(); n.cur && strings.HasPrefix(info[min(1, len(info)):], "2,") {
			f.separator = info[0]
			return
		}
	}
}

func (f *folder) infoSeparator() byte {
	if f.separator == 0 {
		return ':'
	}
	return f.separator
}

// Archive gives mails a name in the other folder, syncs that, and only then takes
// the old one away.
func (f *folder) Archive(ctx context.Context, entries []poller.Entry, to string) error {
	archive, err := f.source.makeFolder(to)
	if err != nil {
		return err
	}
	if archive.path == f.path {
		return fmt.Errorf("archive mails of folder %q: it is the archive itself: %w", f.name, fs.ErrInvalid)
	}
	moved, err := f.putInto(ctx, archive, entries)
	if syncErr := archive.sync(); syncErr != nil {
		return fmt.Errorf("archive mails of folder %q: %w", f.name, errors.Join(err, syncErr))
	}
	for _, one := range moved {
		n, removeErr := f.current(one)
		if removeErr == nil {
			removeErr = gone(os.Remove(f.file(n)))
		}
		if !errors.Is(removeErr, poller.ErrGone) {
			err = errors.Join(err, removeErr)
		}
	}
	if err := errors.Join(err, f.sync()); err != nil {
		return fmt.Errorf("archive mails of folder %q: %w", f.name, err)
	}
	return nil
}

// putInto gives each mail a name in the archive, and says where they have another
// here.
func (f *folder) putInto(ctx context.Context, archive *folder, entries []poller.Entry) (moved []place, err error) {
	for _, entry := range entries {
		p := entry.Place.(place)
		taken := false
		for _, one := range append([]place{p}, p.twins...) {
			if err := ctx.Err(); err != nil {
				return moved, err
			}
			n, err := f.current(one)
			if err == nil && !taken {
				err = gone(archive.take(f.file(n), n, one.stamp))
			}
			switch {
			case errors.Is(err, poller.ErrGone):
				continue
			case err != nil:
				return moved, err
			}
			taken = true
			one.name = n
			moved = append(moved, one)
		}
	}
	return moved, nil
}

// take gives the file of a stamp a name in this folder, if it has none there.
func (f *folder) take(path string, n name, stamp files.Stamp) error {
	_, links, err := files.Lstat(path)
	if err != nil {
		return err
	}
	near, err := stamp.On(f.path)
	if err != nil {
		return err
	}
	// An attempt that broke off may have left it here, with flags of then.
	if links > 1 || !near {
		there, err := f.holds(path, n, stamp)
		if there || err != nil {
			return err
		}
	}
	wanted := n
	for i := 1; ; i++ {
		err := files.Put(path, stamp, f.file(n), filepath.Join(f.path, "tmp"))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if files.Check(f.file(n), stamp) == nil || files.SameBytes(path, f.file(n)) {
			return nil
		}
		// Another mail of that name: two programs had the same idea of unique.
		n.file = fmt.Sprintf("%s_%d%s", wanted.id(), i, wanted.file[len(wanted.id()):])
	}
}

// holds says whether the mail is here already, whatever its flags.
func (f *folder) holds(path string, n name, stamp files.Stamp) (bool, error) {
	if f.names == nil {
		if _, err := f.read(); err != nil {
			return false, err
		}
	}
	for _, other := range f.find(n.id()) {
		there, _, err := files.Lstat(f.file(other))
		if err == nil && (there == stamp || there.Size == stamp.Size && files.SameBytes(path, f.file(other))) {
			return true, nil
		}
	}
	return false, nil
}

// CheckArchive also knows of links to the directories of a Maildir.
func (s *source) CheckArchive(folders []string, archive string) error {
	path, err := s.find(archive)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = s.newPath(archive)
	}
	if err != nil {
		return err
	}
	for _, name := range folders {
		folder, err := s.find(name)
		if err != nil {
			return err
		}
		for _, part := range append([]string{"."}, parts[:2]...) {
			if err := files.Apart(filepath.Join(path, part), filepath.Join(folder, part), name); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeFolder opens a folder, and makes it first where it is missing.
func (s *source) makeFolder(name string) (*folder, error) {
	path, err := s.find(name)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = s.newPath(name)
		s.paths = nil
	}
	if err != nil {
		return nil, err
	}
	if err := makeMaildir(path, s.root); err != nil {
		return nil, fmt.Errorf("make folder %q of Maildir %s: %w", name, s.root, err)
	}
	return s.open(name, path)
}

// newPath gives the path of a folder that is not there yet: in nested directories
// where the others are, and as Maildir++ wants it everywhere else.
func (s *source) newPath(name string) (string, error) {
	if s.paths[inbox] == "." && !s.nested && name != "" {
		return filepath.Join(s.root, maildirname.Folder(name)), nil
	}
	path := s.root
	for step := range strings.SplitSeq(name, "/") {
		if step == "" || strings.HasPrefix(step, ".") || slices.Contains(parts, step) {
			return "", fmt.Errorf("make folder %q of Maildir %s: no directory may have the name %q there: %w",
				name, s.root, step, fs.ErrInvalid)
		}
		path = filepath.Join(path, imaputf7.Encode(step))
	}
	return path, nil
}

// makeMaildir makes the directories of a Maildir that are missing.
func makeMaildir(path, root string) error {
	if parent := filepath.Dir(path); path != root && parent != root {
		if err := makeParents(parent, root); err != nil {
			return err
		}
	}
	if err := files.MakeDir(path, root); err != nil {
		return err
	}
	for _, part := range parts {
		if err := files.MakeDir(filepath.Join(path, part), root); err != nil {
			return err
		}
	}
	if path != root && strings.HasPrefix(filepath.Base(path), ".") { // what tells it from the Maildir that it is in
		if err := files.MakeFile(filepath.Join(path, "maildirfolder"), root); err != nil {
			return err
		}
	}
	if err := newfile.Sync(path); err != nil {
		return err
	}
	return newfile.Sync(filepath.Dir(path))
}

func makeParents(path, root string) error {
	if path == root {
		return nil
	}
	if err := makeParents(filepath.Dir(path), root); err != nil {
		return err
	}
	if err := files.MakeDir(path, root); err != nil {
		return err
	}
	return newfile.Sync(filepath.Dir(path))
}
