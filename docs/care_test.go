package docs

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"mailrow/internal/scratch"
	"mailrow/store/archive/archivetest"
)

// The examples for operators, in their order: each finds what those before left.
func TestCareExamples(t *testing.T) {
	dsn := demo(t)
	programs := scratch.ForTest(t)
	build := exec.Command("go", "build", "-o", programs, "mailrow/cmd/mailrow")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	for _, example := range blocks(t, "console", "care.md") {
		for line := range strings.Lines(example.text) {
			command, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				continue
			}
			cmd := exec.Command("/bin/sh", "-c", command)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn, "PATH="+programs+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
		}
	}
	conn := archivetest.Connect(t, dsn)
	for _, example := range blocks(t, "sql", "care.md") {
		if _, err := conn.PgConn().Exec(context.Background(), example.text).ReadAll(); err != nil {
			t.Errorf("%s%v", example, err)
		}
	}
}
