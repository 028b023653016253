// Package corpus gives tests the real and the odd mail that lies beside the
// project, where it does. None of it is in the project, for it is not ours.
package corpus

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Dir is the folder of the corpus: MAILROW_CORPUS, or shared/corpus beside the
// project. It skips the test when there is none.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := find()
	if err != nil {
		t.Skipf("no corpus of mail: %v; set MAILROW_CORPUS", err)
	}
	return dir
}

func find() (string, error) {
	if dir := os.Getenv("MAILROW_CORPUS"); dir != "" {
		_, err := os.Stat(filepath.Join(dir, "torture"))
		return dir, err
	}
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		found := filepath.Join(dir, "shared", "corpus")
		if _, err := os.Stat(filepath.Join(found, "torture")); err == nil {
			return found, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", os.ErrNotExist
}

// Real gives the real mails: single files as they are, and those of the list
// archive, taken out of their mboxrd.
func Real(t testing.TB) [][]byte {
	t.Helper()
	dir := Dir(t)
	mails := files(t, unpacked(t, filepath.Join(dir, "real", "spamassassin+glitchyzorua.tar.zst")))
	return append(mails, mboxrd(unpacked(t, filepath.Join(dir, "real", "usrp-users.mboxrd.zst")))...)
}

// Torture gives the odd mails.
func Torture(t testing.TB) [][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(Dir(t), "torture", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	mails := make([][]byte, len(names))
	for i, name := range names {
		if mails[i], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return mails
}

func unpacked(t testing.TB, path string) []byte {
	t.Helper()
	out, err := exec.Command("zstd", "-dcq", path).Output()
	if err != nil {
		t.Fatalf("unpack %s: %v", path, err)
	}
	return out
}

func files(t testing.TB, archive []byte) (mails [][]byte) {
	t.Helper()
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return mails
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		mail, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, mail)
	}
}

var (
	separator = regexp.MustCompile(`(?m)^From \S+ (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\n`)
	quoted    = regexp.MustCompile(`(?m)^>(>*From )`)
)

func mboxrd(text []byte) (mails [][]byte) {
	starts := separator.FindAllIndex(text, -1)
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		mail := bytes.TrimSuffix(text[start[1]:end], []byte{'\n'})
		mails = append(mails, quoted.ReplaceAll(mail, []byte("$1")))
	}
	return mails
}
