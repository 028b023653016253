package collection

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"mailrow/internal/corpus"
	"mailrow/internal/needs"
	"mailrow/internal/scratch"
)

// file is a member of an archive.
type file struct{ name, content string }

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.content)), ModTime: time.Unix(1772532000, 0), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, f.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		member, err := w.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(member, f.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

func zstdOf(content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // no option can be wrong
	}
	return w.EncodeAll(content, nil)
}

func bzip2Of(t testing.TB, content []byte) []byte {
	t.Helper()
	if _, err := exec.LookPath("bzip2"); err != nil {
		needs.Missing(t, "bzip2", needs.Install)
	}
	cmd := exec.Command("bzip2", "-1c") // in blocks of 100 kB
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tree is mail in every form, as it is in an archive.
func tree() []file {
	return []file{
		{"a.eml", aMail("a")},
		{"picture.png", "\x89PNG\r\n\x1a\n"},
		{"Sent.mbox", mailbox("s1", "s2")},
		{"Maildir/cur/1.M1.h:2,FS", aMail("m1")},
		{"Maildir/tmp/9.M1.h", aMail("not yet")},
		{"Maildir/.Entw&APw-rfe/cur/2.M1.h:2,DS", aMail("m2")},
		{"mmdf", "\x01\x01\x01\x01\n" + aMail("d1") + "\x01\x01\x01\x01\n\x01\x01\x01\x01\n" + aMail("d2") + "\x01\x01\x01\x01\n"},
		{"old/list.gz", string(gzipOf([]byte(mailbox("l1"))))},
	}
}

var treeLines = []string{
	`Entwürfe m2 \Draft,\Seen`, "INBOX a", `INBOX m1 \Flagged,\Seen`, "Sent s1", "Sent s2", "mmdf d1", "mmdf d2", "old/list l1",
}

func TestContainers(t *testing.T) {
	inTar, inZip := tarOf(t, tree()...), zipOf(t, tree()...)
	above := func(folder string) (lines []string) {
		for _, line := range treeLines {
			lines = append(lines, strings.ReplaceAll(folder+"/"+line, folder+"/INBOX", folder))
		}
		slices.Sort(lines)
		return lines
	}
	for name, test := range map[string]struct {
		content []byte
		want    []string
	}{
		"tar":              {inTar, treeLines},
		"zip":              {inZip, treeLines},
		"tar.gz":           {gzipOf(inTar), treeLines},
		"tar.bz2":          {bzip2Of(t, inTar), treeLines},
		"tar.zst":          {zstdOf(inTar), treeLines},
		"zip.gz":           {gzipOf(inZip), treeLines},
		"tar.gz.gz":        {gzipOf(gzipOf(inTar)), treeLines},
		"tar in zip":       {zipOf(t, file{"x/in.tar", string(inTar)}), above("x/in")},
		"zip in tar":       {tarOf(t, file{"in.zip", string(inZip)}), above("in")},
		"tar.gz in tar.gz": {gzipOf(tarOf(t, file{"in.tgz", string(gzipOf(inTar))})), above("in")},
		"mbox.gz":          {gzipOf([]byte(mailbox("a", "b"))), []string{"x a", "x b"}},
		"eml.zst":          {zstdOf([]byte(aMail("a"))), []string{"INBOX a"}},
		"gz, then padding": {append(gzipOf([]byte(aMail("a"))), make([]byte, 512)...), []string{"INBOX a"}},
		"two gz":           {append(gzipOf([]byte(mailbox("a"))), gzipOf([]byte(mailbox("b")))...), []string{"x a", "x b"}},
		"empty zip":        {zipOf(t), nil},
	} {
		path := filepath.Join(t.TempDir(), "x.bin")
		if strings.HasPrefix(name, "mbox") || strings.HasPrefix(name, "two") {
			path = filepath.Join(t.TempDir(), "x.mbox.gz")
		}
		write(t, path, string(test.content))
		f := read(t, path)
		if diff := cmp.Diff(test.want, f.lines()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(f.failures) > 0 {
			t.Errorf("%s: %q", name, f.failures)
		}
		if f.advanced != int64(len(test.content)) {
			t.Errorf("%s: %d bytes of %d", name, f.advanced, len(test.content))
		}
		piped := readStream(t, test.content)
		if len(piped.mails) != len(test.want) || len(piped.failures) > 0 {
			t.Errorf("%s from a pipe: %q %q", name, piped.lines(), piped.failures)
		}
		for i, m := range piped.mails {
			if string(m.Raw) != string(f.mails[i].Raw) {
				t.Errorf("%s: mail %d differs from a pipe", name, i)
			}
		}
	}
}

// Wherever an archive is cut, what is whole before that is read, and there is
// one reason.
func TestCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var files []file
	var mails []string
	for i := range 30 {
		noise := make([]byte, random.IntN(60_000)) // compressors work in large blocks
		for j := range noise {
			noise[j] = 'a' + byte(random.IntN(26))
		}
		mails = append(mails, aMail(fmt.Sprint(i))+string(noise)+"\n")
		files = append(files, file{fmt.Sprintf("%d.eml", i), mails[i]})
	}
	inTar := tarOf(t, files...)
	var inMbox strings.Builder
	for _, m := range mails {
		inMbox.WriteString("From ann@example.com Tue Mar  3 10:00:00 2026\n" + m + "\n")
	}
	for name, whole := range map[string][]byte{
		"tar": inTar, "tar.gz": gzipOf(inTar), "tar.zst": zstdOf(inTar), "tar.bz2": bzip2Of(t, inTar),
		"mbox.gz": gzipOf([]byte(inMbox.String())), "mbox.zst": zstdOf([]byte(inMbox.String())),
		"mbox.gz in tar": tarOf(t, file{"in.mbox.gz", string(gzipOf([]byte(inMbox.String())))}),
	} {
		most, named := 0, 0
		for range 12 {
			cut := 600 + random.IntN(len(whole)-1200-600)
			if name == "tar" {
				cut = 600 + random.IntN(len(whole)-2048-600)
			}
			f := readStream(t, whole[:cut])
			for i, m := range f.mails {
				if string(m.Raw) != mails[i] {
					t.Fatalf("%s cut at %d: mail %d is not as it was", name, cut, i)
				}
			}
			most = max(most, len(f.mails))
			if len(f.failures) != 1 || !strings.Contains(f.failures[0], fmt.Sprintf("cut off at byte %d", cut)) ||
				!strings.Contains(f.failures[0], "get a whole copy and import that: only what is missing is stored") {
				t.Errorf("%s cut at %d: %d mails, %q", name, cut, len(f.mails), f.failures)
			}
			if inside := fmt.Sprintf(", in %d.eml: ", len(f.mails)); strings.Contains(f.failures[0], inside) {
				named++
			} else if inside = fmt.Sprintf("mail %d: ", len(f.mails)+1); strings.Contains(f.failures[0], inside) {
				named++
			}
		}
		if most == 0 {
			t.Errorf("%s: no mail before any cut", name)
		}
		if named < 4 { // it may be cut between two of them
			t.Errorf("%s: %d of 12 reasons say which mail", name, named)
		}
	}
	f := readStream(t, zipOf(t, files...)[:100_000])
	if len(f.failures) != 1 || !strings.Contains(f.failures[0], "zip -FF") {
		t.Errorf("zip: %q", f.failures)
	}
}

// Trouble with one member does not keep the others from being read.
func TestBrokenMembers(t *testing.T) {
	encrypted := zipOf(t, file{"a.eml", aMail("a")}, file{"b.eml", aMail("b")})
	encrypted[6] |= 1 // of the first local header, which nobody reads
	at := bytes.Index(encrypted, []byte("PK\x01\x02"))
	encrypted[at+8] |= 1
	badSum := zipOf(t, file{"a.eml", aMail("a")}, file{"b.eml", aMail("b")})
	at = bytes.Index(badSum, []byte("PK\x01\x02"))
	badSum[at+16] ^= 1
	badHeader := tarOf(t, file{"a.eml", aMail("a")}, file{"b.eml", aMail("b")}, file{"c.eml", aMail("c")})
	badHeader[1024] ^= 1 // where b's is
	broken := gzipOf([]byte(mailbox("x", "y")))
	broken[len(broken)/2] ^= 0xff
	large := "Subject: large\n\n" + strings.Repeat("x", maxSize)
	nested := []byte(aMail("deep"))
	for range maxDepth + 1 {
		nested = gzipOf(nested)
	}
	for name, test := range map[string]struct {
		content []byte
		want    []string
		reason  string
	}{
		"encrypted":  {encrypted, []string{"INBOX b"}, "a.eml: it is encrypted: unpack it first"},
		"bad sum":    {badSum, []string{"INBOX b"}, "a.eml: its checksum is wrong (zip: checksum error): what was read of it before may not be as it was; get a whole copy"},
		"bad header": {badHeader, []string{"INBOX a", "INBOX c"}, "stdin: a part of the archive is broken before byte 1536: what is behind it is read; get a whole copy"},
		"broken gzip": {tarOf(t, file{"a.eml", aMail("a")}, file{"x.gz", string(broken)}, file{"c.eml", aMail("c")}),
			[]string{"INBOX a", "INBOX c"}, "x.gz: it is broken at byte "},
		"large": {tarOf(t, file{"a.eml", aMail("a")}, file{"l.eml", large}, file{"c.eml", aMail("c")}),
			[]string{"INBOX a", "INBOX c"}, "l.eml: it is larger than max_size, which is 1048576 bytes"},
		"large in an mbox": {[]byte(mailbox("a") + "From x@y Tue Mar  3 10:00:00 2026\n" + large + "\n\n" + mailbox("c")),
			[]string{"INBOX a", "INBOX c"}, "stdin, mail 2: it is larger than max_size, which is 1048576 bytes"},
		"empty": {tarOf(t, file{"e.eml", ""}, file{"c.eml", aMail("c")}), []string{"INBOX c"}, "e.eml: it is empty"},
		"too deep": {tarOf(t, file{"n.gz", string(nested)}, file{"c.eml", aMail("c")}), []string{"INBOX c"},
			"n.gz: it is inside of 8 archives: unpack it first"},
	} {
		f := readStream(t, test.content)
		if diff := cmp.Diff(test.want, f.lines()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(f.failures) != 1 || !strings.HasPrefix(f.failures[0], test.reason) {
			t.Errorf("%s: %q, want %q", name, f.failures, test.reason)
		}
	}
}

// A small file that unpacks to a large one costs neither memory nor, where it is
// no mail, much time.
func TestBomb(t *testing.T) {
	zeros := gzipOf(make([]byte, 64<<20))
	for range 3 {
		zeros = gzipOf(zeros)
	}
	f := readStream(t, tarOf(t, file{"zeros.gz", string(zeros)}, file{"c.eml", aMail("c")}))
	if diff := cmp.Diff([]string{"INBOX c"}, f.lines()); diff != "" || len(f.failures) > 0 {
		t.Error(diff, f.failures)
	}
	long := gzipOf([]byte("From x@y Tue Mar  3 10:00:00 2026\nSubject: long\n\n" + strings.Repeat("x", 64<<20)))
	f = readStream(t, tarOf(t, file{"long.gz", string(long)}, file{"c.eml", aMail("c")}))
	if diff := cmp.Diff([]string{"INBOX c"}, f.lines()); diff != "" || len(f.failures) != 1 {
		t.Error(diff, f.failures)
	}
}

// The sources of the corpus come back byte for byte from every form of it; what
// mboxo and mboxcl change is theirs.
func TestCorpus(t *testing.T) {
	dir, err := corpus.Find()
	if err != nil {
		t.Skip("no mail to test with: lay the corpus beside the project, or set MAILROW_CORPUS")
	}
	dir = filepath.Join(dir, "formats", "generated")
	sources := map[[32]byte]string{}
	for i := range 5 {
		raw, err := os.ReadFile(filepath.Join(dir, "sources", fmt.Sprintf("%d.eml", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		sources[sha256.Sum256(raw)] = fmt.Sprint(i + 1)
	}
	for name, want := range map[string]int{
		"sources": 5, "mboxrd.mbox": 4, "mboxo.mbox": 4, "mmdf": 5, "maildir.tar": 5, "maildirpp.tar": 6, "maildir-fs.tar": 2, "mh.tar": 5,
	} {
		f := read(t, filepath.Join(dir, name))
		exact := 0
		for _, m := range f.mails {
			if sources[sha256.Sum256(m.Raw)] != "" {
				exact++
			}
			if m.ReceivedAt.IsZero() && m.ModTime.IsZero() {
				t.Errorf("%s: mail without any time", m.Path)
			}
		}
		if exact < want || len(f.failures) > 0 {
			t.Errorf("%s: %d of %d mails are exact, want %d; %q", name, exact, len(f.mails), want, f.failures)
		}
	}
}

// A file of one mail below a From_ line is what an MTA hands over: all that is
// below the line is the mail, an empty line at its end too.
func TestMailWithFromLine(t *testing.T) {
	const from = "From ann@example.com Tue Mar  3 10:00:00 2026\n"
	want := map[string]string{
		"00001.7c53": "Subject: a\n\na\n\n", "2": "Subject: b\n\nb\n", "c.eml": "Subject: c\r\n\r\nc\r\n\r\n", "4.eml": "Subject: d\n\n",
	}
	dir := scratch.ForTest(t)
	var files []file
	for name, mail := range want {
		write(t, filepath.Join(dir, name), from+mail)
		files = append(files, file{name, from + mail})
	}
	for what, f := range map[string]*found{"folder": read(t, dir), "tar": readStream(t, tarOf(t, files...)), "zip": readStream(t, zipOf(t, files...))} {
		got := map[string]string{}
		for _, m := range f.mails {
			got[filepath.Base(m.Path)] = string(m.Raw)
			if m.Sender == nil || *m.Sender != "ann@example.com" || m.Folder != "INBOX" {
				t.Errorf("%s: %s has sender %v, folder %s", what, m.Path, m.Sender, m.Folder)
			}
		}
		for name, mail := range want {
			if got[name+", mail 1"] != mail {
				t.Errorf("%s: %s is %q", what, name, got)
			}
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add([]byte(aMail("a")))
	f.Add([]byte(mailbox("a", "b")))
	f.Add(tarOf(f, tree()...))
	f.Add(zipOf(f, tree()...))
	f.Add(gzipOf([]byte(mailbox("a"))))
	f.Add(zstdOf([]byte(mailbox("a"))))
	f.Fuzz(func(t *testing.T, content []byte) {
		v := &found{}
		r := NewReader(v, Options{MaxSize: 1 << 16})
		if err := r.ReadStream(context.Background(), "fuzz", bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		if len(v.mails) == 0 && len(v.failures) == 0 && len(v.skipped) == 0 && sniff(content) != KindTar && sniff(content) != KindZip {
			t.Error("it is neither mail nor told of")
		}
		for _, m := range v.mails {
			if len(m.Raw) == 0 || len(m.Raw) > 1<<16 || m.Folder == "" || m.ID == "" {
				t.Errorf("mail %+v", m)
			}
		}
	})
}
