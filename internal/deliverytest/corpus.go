package deliverytest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailrow/internal/needs"
	"mailrow/message"
)

// Mail is one mail of the corpus, without the From_ line of the mailbox that it
// was taken from.
type Mail struct {
	Name string
	Raw  []byte
}

// Corpus is every n-th of the collected real mails, in their order, and every
// m-th of the odd ones. The collection is not part of the project: without it
// the test is skipped.
func Corpus(t testing.TB, n, m int) []Mail {
	t.Helper()
	dir := corpusDir(t)
	if _, err := exec.LookPath("zstd"); err != nil {
		needs.Missing(t, "zstd", needs.Install)
	}
	var mails []Mail
	seen := 0
	keep := func(name string, raw []byte) {
		if seen++; seen%n == 0 {
			raw, _ = message.SplitFromLine(raw)
			mails = append(mails, Mail{name, slices.Clone(raw)})
		}
	}
	unpack(t, filepath.Join(dir, "real", "spamassassin+glitchyzorua.tar.zst"), func(r io.Reader) error { return readTar(r, keep) })
	unpack(t, filepath.Join(dir, "real", "usrp-users.mboxrd.zst"), func(r io.Reader) error { return readMboxrd(r, keep) })
	odd, err := filepath.Glob(filepath.Join(dir, "torture", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := m - 1; i < len(odd); i += m {
		raw, err := os.ReadFile(odd[i])
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, Mail{"torture/" + filepath.Base(odd[i]), raw})
	}
	return mails
}

func corpusDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("MAILROW_CORPUS")
	if dir == "" {
		root, err := exec.Command("go", "env", "GOMOD").Output()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(root))), "../shared/corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "real")); err != nil {
		t.Skip("no mail corpus beside the project and none in MAILROW_CORPUS")
	}
	return dir
}

func unpack(t testing.TB, name string, read func(io.Reader) error) {
	t.Helper()
	cmd := exec.Command("zstd", "-dcq", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := read(out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readTar(r io.Reader, keep func(string, []byte)) error {
	files := tar.NewReader(r)
	for {
		header, err := files.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r) // or zstd dies of a broken pipe
			return err
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		raw, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		keep(header.Name, raw)
	}
}

func readMboxrd(r io.Reader, keep func(string, []byte)) error {
	lines := bufio.NewReaderSize(r, 1<<20)
	var raw []byte
	count := 0
	end := func() {
		if count > 0 {
			keep(fmt.Sprintf("mboxrd:%d", count), bytes.TrimSuffix(raw, []byte("\n")))
		}
		raw = raw[:0]
	}
	atStart := true
	for {
		// A piece of a line, where it is longer than the buffer.
		line, err := lines.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return err
		}
		switch {
		case atStart && bytes.HasPrefix(line, []byte("From ")):
			end()
			count++
		case atStart && len(line) > 0 && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")):
			raw = append(raw, line[1:]...)
		default:
			raw = append(raw, line...)
		}
		atStart = err == nil
		if err == io.EOF {
			end()
			return nil
		}
	}
}
