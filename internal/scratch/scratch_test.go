package scratch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailrow/internal/scratch"
)

func TestLeftFoldersAreSwept(t *testing.T) {
	parent, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	t.Setenv("MAILROW_TEST_DIR", parent)

	// One test lives for long, one was killed, one is just starting.
	live, err := scratch.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { live.Remove() })
	killed := filepath.Join(parent, "mailrow-test-killed")
	starting := filepath.Join(parent, "mailrow-test-starting")
	for _, dir := range []string{killed, starting} {
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	for _, dir := range []string{killed, live.Path} {
		if err := os.Chtimes(filepath.Join(dir, "lock"), old, old); err != nil {
			t.Fatal(err)
		}
	}

	fresh := scratch.ForTest(t)
	want := map[string]bool{live.Path: true, killed: false, starting: true, fresh: true}
	for dir, there := range want {
		if _, err := os.Stat(dir); (err == nil) != there {
			t.Errorf("%s: %v, want it there: %v", dir, err, there)
		}
	}
}
