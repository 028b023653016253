package message

import (
	"os"
	"path/filepath"
	"testing"
)

// corpus is where the collected mail lies; it is not part of the project.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MAILROW_CORPUS")
	if dir == "" {
		dir = "../../shared/corpus"
	}
	if _, err := os.Stat(filepath.Join(dir, "torture")); err != nil {
		t.Skip("no mail corpus beside the project and none in MAILROW_CORPUS")
	}
	return dir
}

func TestCorpusInvariants(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "torture", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no torture files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range broken(raw, Parse(raw)) {
			t.Errorf("%s: %s", filepath.Base(file), problem)
		}
	}
}

// One mail in ten: all of them take a while.
func TestCorpusRealInvariants(t *testing.T) {
	mails := allMails(t)
	for i := 0; i < len(mails); i += 10 {
		for _, problem := range broken(mails[i].Raw, mails[i].m) {
			t.Errorf("%s: %.500s", mails[i].Name, problem)
		}
	}
}

func TestCorpusTNEF(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "formats", "tnef", "*.tnef"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tnef files: %v", err)
	}
	unpacked := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw := append([]byte("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\n"), wrap(content, 76, false)...)
		raw = append(raw, "\n--x\n\ntext\n--x--\n"...)
		m := Parse(raw)
		if len(m.Parts) > 3 {
			unpacked++
		}
		if len(m.Parts) > 3 && (m.Parts[2].Section != "1:1" || m.Parts[2].Parent != 1) || m.Parts[1].Section != "1" || !m.Parts[1].Attachment ||
			m.Parts[len(m.Parts)-1].Section != "2" || len(m.Cuts) != 1 || m.Text.String(raw) != "text" {
			t.Errorf("%s: %d parts, %v", filepath.Base(file), len(m.Parts), m.Defects)
		}
		for _, problem := range broken(raw, m) {
			t.Errorf("%s: %.500s", filepath.Base(file), problem)
		}
	}
	if unpacked < len(files)/2 {
		t.Errorf("files in %d of %d", unpacked, len(files))
	}
}
