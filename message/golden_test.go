package message

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what Parse finds in the fixtures to their .parts files")

// The parts and texts of each fixture of testdata/message are in the .parts file
// beside it.
func TestParseParts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "message", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := Parse(raw)
		for _, problem := range broken(raw, m) {
			t.Errorf("%s: %s", file, problem)
		}
		got, golden := dump(raw, m), strings.TrimSuffix(file, ".eml")+".parts"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filepath.Base(file), diff)
		}
	}
}

// dump is a mail in lines to be read and compared.
func dump(raw []byte, m *Message) string {
	var out strings.Builder
	for _, d := range m.Defects {
		fmt.Fprintf(&out, "defect %s\n", d)
	}
	if m.AutoSubmitted != "" || m.Bulk || m.ListID != "" {
		fmt.Fprintf(&out, "auto %q bulk %v list %q\n", m.AutoSubmitted, m.Bulk, m.ListID)
	}
	for i := range m.Parts {
		p := &m.Parts[i]
		fmt.Fprintf(&out, "%s %s %s %s", p.Section, p.Type, p.Encoding, [...]string{"odd", "identity", "quoted-printable", "base64"}[p.Wrapped])
		for _, field := range []struct{ name, value string }{
			{"charset", p.Charset}, {"disposition", p.Disposition}, {"filename", p.Filename}, {"id", p.ContentID},
		} {
			if field.value != "" {
				fmt.Fprintf(&out, " %s %q", field.name, field.value)
			}
		}
		if p.Attachment {
			out.WriteString(" attachment")
		}
		if i+1 == len(m.Parts) || m.Parts[i+1].Parent != i {
			fmt.Fprintf(&out, " %q", p.Decode(raw))
		}
		out.WriteByte('\n')
	}
	dumpBody(&out, "text", m.Text, raw)
	dumpBody(&out, "html", m.HTML, raw)
	return out.String()
}

func dumpBody(out *strings.Builder, name string, b Body, raw []byte) {
	how := "stored"
	if b.Pieces != nil {
		how = fmt.Sprintf("in %d pieces", len(b.Pieces))
	}
	if b.Exists {
		fmt.Fprintf(out, "%s %s %q\n", name, how, b.String(raw))
	}
}
