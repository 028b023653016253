// Package corpus gives tests and benchmarks the real and the odd mail that lies
// beside the project, where it does. None of it is in the project, for it is
// not ours.
package corpus

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
)

// Mail is one mail, its bytes as they were collected.
type Mail struct {
	Name string
	Raw  []byte
}

// Find gives the folder of the corpus: MAILROW_CORPUS, or shared/corpus beside
// the project. Its error wraps os.ErrNotExist when there is none.
func Find() (string, error) {
	if dir := os.Getenv("MAILROW_CORPUS"); dir != "" {
		_, err := os.Stat(filepath.Join(dir, "real"))
		return dir, err
	}
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		found := filepath.Join(dir, "shared", "corpus")
		if _, err := os.Stat(filepath.Join(found, "real")); err == nil {
			return found, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("find shared/corpus beside the project: %w", os.ErrNotExist)
}

// Real gives the real mails of the folder, in their order: archives of single
// mails, and those of mailing lists, taken out of their mboxrd. It needs zstd.
func Real(dir string) (mails []Mail, err error) {
	keep := func(name string, raw []byte) { mails = append(mails, Mail{name, slices.Clone(raw)}) }
	for pattern, read := range map[string]func(io.Reader, func(string, []byte)) error{"*.tar.zst": readTar, "*.mboxrd.zst": readMboxrd} {
		archives, err := filepath.Glob(filepath.Join(dir, "real", pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range archives {
			if err := unpack(name, func(r io.Reader) error { return read(r, keep) }); err != nil {
				return nil, fmt.Errorf("unpack %s: %w", name, err)
			}
		}
	}
	slices.SortStableFunc(mails, func(a, b Mail) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return mails, nil
}

// Odd gives the odd mails of the folder.
func Odd(dir string) (mails []Mail, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "torture", "*.eml"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		mails = append(mails, Mail{"torture/" + filepath.Base(name), raw})
	}
	return mails, nil
}

func unpack(name string, read func(io.Reader) error) error {
	cmd := exec.Command("zstd", "-dcq", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := read(out); err != nil {
		return err
	}
	return cmd.Wait()
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
			keep(fmt.Sprintf("mboxrd:%05d", count), bytes.TrimSuffix(raw, []byte("\n")))
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
