package newfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"mailrow/internal/newfile"
)

func create(t *testing.T, dir, text string) *newfile.File {
	t.Helper()
	f, err := newfile.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	for _, step := range []struct {
		text      string
		overwrite bool
		want      error
		holds     string
	}{{"1", false, nil, "1"}, {"2", false, fs.ErrExist, "1"}, {"3", true, nil, "3"}} {
		f := create(t, dir, step.text)
		if err := f.Rename(name, step.overwrite); !errors.Is(err, step.want) {
			t.Errorf("%+v: got %v", step, err)
		}
		f.Discard()
		if text, err := os.ReadFile(name); err != nil || string(text) != step.holds {
			t.Errorf("%+v: holds %q, %v", step, text, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestNumbers(t *testing.T) {
	dir := t.TempDir()
	for _, test := range [][]string{
		{"a.pdf", "a.pdf", "a (2).pdf", "a (3).pdf"},
		{"a.tar.gz", "a.tar.gz", "a.tar (2).gz"},
		{"none", "none", "none (2)"},
		{".profile", ".profile", ".profile (2)"},
	} {
		for _, want := range test[1:] {
			got, err := create(t, dir, "x").RenameNumbered(filepath.Join(dir, test[0]))
			if err != nil || filepath.Base(got) != want {
				t.Errorf("%s: got %s, want %s: %v", test[0], got, want, err)
			}
		}
	}
}

// Each of many at once gets a name of its own.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			f, err := newfile.Create(dir)
			if err == nil {
				_, err = f.RenameNumbered(filepath.Join(dir, "a.txt"))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 50 {
		t.Errorf("%d files, %v", len(entries), err)
	}
}
