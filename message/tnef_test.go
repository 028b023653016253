package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func le16(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
func le32(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// winmail is a TNEF stream of attributes.
func winmail(attributes ...[]byte) []byte {
	return join([]byte(tnefSignature), le16(0x1234), join(attributes...))
}

func attribute(level byte, id int, value []byte) []byte {
	sum := 0
	for _, b := range value {
		sum += int(b)
	}
	return join([]byte{level}, le32(id), le32(len(value)), value, le16(sum))
}

func mapiList(properties ...[]byte) []byte { return join(le32(len(properties)), join(properties...)) }

func padded(value []byte) []byte {
	return join(value, make([]byte, padding(uint32(len(value)))))
}

func mapi(kind, id int, values ...[]byte) []byte {
	out := join(le16(kind), le16(id), le32(len(values)))
	for _, v := range values {
		out = join(out, le32(len(v)), padded(v))
	}
	return out
}

func unicodeOf(s string) (out []byte) {
	for _, unit := range utf16.Encode([]rune(s + "\x00")) {
		out = append(out, le16(int(unit))...)
	}
	return out
}

func renddata() []byte { return attribute(2, attAttachRenddata, make([]byte, 14)) }

func codepage(n int) []byte {
	return attribute(1, attOemCodepage, join(le32(n), le32(0)))
}

// uncompressed is RTF as MELA, and compressed as LZFu of literals only.
func uncompressed(rtf string) []byte {
	return join(le32(len(rtf)+12), le32(len(rtf)), []byte("MELA"), le32(0), []byte(rtf))
}

func compressed(size int, data []byte) []byte {
	return join(le32(len(data)+12), le32(size), []byte("LZFu"), le32(0), data)
}

func literals(s string) (out []byte) {
	for chunk := range bytes.SplitAfterSeq([]byte(s), nil) {
		if len(out)%9 == 0 {
			out = append(out, 0)
		}
		out = append(out, chunk...)
	}
	return out
}

var iidMessage = []byte{7, 3, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}

func TestUnpackTNEF(t *testing.T) {
	inner := winmail(attribute(1, attBody, []byte("inside")), renddata(), attribute(2, attAttachTitle, []byte("in.txt\x00")), attribute(2, attAttachData, []byte("x")))
	named := join(le16(ptUnicode), le16(0x8001), make([]byte, 16), le32(1), le32(6), padded(unicodeOf("ab")), le32(1), le32(4), unicodeOf("c"))
	numbered := join(le16(3), le16(0x8002), make([]byte, 16), le32(0), le32(7), le32(1))
	for _, test := range []struct {
		name string
		data []byte
		want []unpacked
	}{
		{"empty", winmail(), nil},
		{"file", winmail(codepage(1252), renddata(), attribute(2, attAttachTitle, []byte("gr\xfcn.txt\x00")), attribute(2, attAttachData, []byte("data"))),
			[]unpacked{{Name: "grün.txt", Content: []byte("data")}}},
		{"data before the name", winmail(renddata(), attribute(2, attAttachData, []byte("data")), attribute(2, attAttachTitle, []byte("A.TXT\x00"))),
			[]unpacked{{Name: "A.TXT", Content: []byte("data")}}},
		{"properties of a file", winmail(codepage(932), renddata(), attribute(2, attAttachTitle, []byte("LONG~1.TXT\x00")), attribute(2, attAttachData, []byte("data")),
			attribute(2, attAttachment, mapiList(
				named, numbered, join(le16(3), le16(0x0e20), le32(4)), join(le16(ptMultiValued|0x14), le16(1), le32(2), make([]byte, 16)), join(le16(0xb), le16(2), le32(1)),
				mapi(ptMultiValued|ptString8, 3, []byte("a"), []byte("bc")),
				mapi(ptUnicode, prAttachLongFilename, unicodeOf("ein langer Name 日本.txt")),
				mapi(ptString8, prAttachFilename, []byte("\x93\xfa\x96{.txt\x00")),
				mapi(ptString8, prAttachMIMETag, []byte("text/plain\x00")),
				mapi(ptUnicode, prAttachContentID, unicodeOf("<a@b>")),
			))),
			[]unpacked{{Name: "ein langer Name 日本.txt", Type: "text/plain", ContentID: "a@b", Content: []byte("data")}}},
		{"data as a property", winmail(codepage(932), renddata(), attribute(2, attAttachment, mapiList(
			mapi(ptString8, prAttachFilename, []byte("\x93\xfa\x96{.txt\x00")), mapi(ptBinary, prAttachData, []byte("data"))))),
			[]unpacked{{Name: "日本.txt", Content: []byte("data")}}},
		{"no names", winmail(renddata(), attribute(2, attAttachData, []byte("a")), renddata(), attribute(2, attAttachData, []byte("b")), renddata()),
			[]unpacked{{Content: []byte("a")}, {Content: []byte("b")}}},
		{"empty file", winmail(renddata(), attribute(2, attAttachTitle, []byte("a\x00"))), []unpacked{{Name: "a"}}},
		{"body", winmail(codepage(1252), attribute(1, attBody, []byte("Gr\xfc\xdfe\x00"))), []unpacked{{Name: "body.txt", Type: "text/plain", Content: []byte("Grüße"), Body: true}}},
		{"bodies", winmail(attribute(1, attMsgProps, mapiList(
			mapi(ptUnicode, prBody, unicodeOf("Grüße")), mapi(ptBinary, prBodyHTML, []byte("<p>\xfc")), mapi(ptBinary, prRTFCompressed, uncompressed("{\\rtf1}"))))),
			[]unpacked{{Name: "body.txt", Type: "text/plain", Content: []byte("Grüße"), Body: true}, {Name: "body.html", Type: "text/html", Content: []byte("<p>\xfc"), Body: true},
				{Name: "body.rtf", Type: "application/rtf", Content: []byte("{\\rtf1}"), Body: true}}},
		{"enclosed message", winmail(renddata(), attribute(2, attAttachTitle, []byte("mail\x00")), attribute(2, attAttachment, mapiList(mapi(ptObject, prAttachData, join(iidMessage, inner))))),
			[]unpacked{{Name: "body.txt", Type: "text/plain", Content: []byte("inside")}, {Name: "in.txt", Content: []byte("x")}, {Name: "mail", Type: "application/ms-tnef", Content: inner}}},
		{"object", winmail(renddata(), attribute(2, attAttachTitle, []byte("ole\x00")), attribute(2, attAttachment, mapiList(mapi(ptObject, prAttachData, join(make([]byte, 16), []byte("\xd0\xcf")))))),
			[]unpacked{{Name: "ole", Content: []byte("\xd0\xcf")}}},
		{"cut in the data", winmail(renddata(), attribute(2, attAttachTitle, []byte("a\x00")), attribute(2, attAttachData, []byte("data"))[:11]), []unpacked{{Name: "a", Content: []byte("da")}}},
		{"cut in the properties", winmail(attribute(1, attMsgProps, join(le32(9), mapi(ptBinary, prBodyHTML, []byte("<p>")), []byte{2}))), []unpacked{{Name: "body.html", Type: "text/html", Content: []byte("<p>"), Body: true}}},
		{"wrong checksum", winmail(join(attribute(1, attBody, []byte("a"))[:10], []byte{0xff, 0xff})), []unpacked{{Name: "body.txt", Type: "text/plain", Content: []byte("a"), Body: true}}},
		{"garbage at the end", winmail(attribute(1, attBody, []byte("a")), []byte("garbage garbage")), []unpacked{{Name: "body.txt", Type: "text/plain", Content: []byte("a"), Body: true}}},
	} {
		got, ok := unpackTNEF(test.data)
		if diff := cmp.Diff(test.want, got); diff != "" || !ok {
			t.Errorf("%s: ok %v, %s", test.name, ok, diff)
		}
	}
	if files, ok := unpackTNEF([]byte("From: a@b\n")); ok || files != nil {
		t.Errorf("not TNEF: %v", files)
	}
}

func TestDecompressRTF(t *testing.T) {
	const hello = "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		// [MS-OXRTFCP] 4.1.1 and 4.2.1.
		{"example", []byte("\x2d\x00\x00\x00\x2b\x00\x00\x00LZFu\xf1\xc5\xc7\xa7\x03\x00\x0a\x00rcpg125\x42\x32\x0a\xf3 hel\x09\x00 bw\x05\xb0ld}\x0a\x80\x0f\xa0"), hello},
		{"example that reads what it writes", []byte("\x1a\x00\x00\x00\x1c\x00\x00\x00LZFu\xe2\xd4\x4b\x51\x41\x00\x04 WXYZ\x0d\x6e}\x01\x0e\xb0"), "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"},
		{"not compressed", uncompressed("{\\rtf1}"), "{\\rtf1}"},
		{"literals", compressed(12, literals("hello, world")), "hello, world"},
		{"stated size is less", compressed(4, literals("hello, world")), "hell"},
		{"cut", []byte("\x2d\x00\x00\x00\x2b\x00\x00\x00LZFu\xf1\xc5\xc7\xa7\x03\x00\x0a\x00rcpg12"), hello[:21]},
		{"header only", compressed(5, nil), ""},
		{"unknown kind", append([]byte("\x00\x00\x00\x00\x00\x00\x00\x00ABCD"), "\x00\x00\x00\x00abc"...), ""},
		{"short", []byte("LZFu"), ""},
	} {
		if got := string(decompressRTF(test.data, 1<<20)); got != test.want {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	bomb := compressed(1<<30, bytes.Repeat([]byte("\xff\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f"), 100_000))
	if got := decompressRTF(bomb, 1000); len(got) > 1000 {
		t.Errorf("%d bytes beyond the limit", len(got))
	}
}

// spilt returns which promises of unpackTNEF do not hold.
func spilt(data []byte, files []unpacked) (problems []string) {
	total := 0
	for _, f := range files {
		total += len(f.Content)
		for _, s := range []string{f.Name, f.Type, f.ContentID} {
			if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
				problems = append(problems, fmt.Sprintf("not storable: %q", s))
			}
		}
	}
	if total > 4*len(data)+1<<20 || len(files) > maxUnpackedFiles {
		problems = append(problems, fmt.Sprintf("%d bytes in %d files from %d", total, len(files), len(data)))
	}
	return problems
}

func FuzzTNEF(f *testing.F) {
	nested := winmail(attribute(1, attBody, []byte("a")))
	for range 3 {
		nested = winmail(codepage(1252), renddata(), attribute(2, attAttachment, mapiList(
			mapi(ptUnicode, prAttachLongFilename, unicodeOf("a")), mapi(ptObject, prAttachData, join(iidMessage, nested)))))
	}
	f.Add(nested)
	f.Add(winmail(attribute(1, attMsgProps, mapiList(mapi(ptBinary, prRTFCompressed, compressed(5, literals("hello")))))))
	f.Add(winmail(renddata(), attribute(2, attAttachTitle, []byte("a\x00")), attribute(2, attAttachData, []byte("data"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		files, _ := unpackTNEF(data)
		for _, problem := range spilt(data, files) {
			t.Error(problem)
		}
		if !bytes.Equal(data, before) {
			t.Error("data was changed")
		}
	})
}

// hostileTNEF are streams made of one thing over and over, size bytes of it.
func hostileTNEF() map[string]func(size int) []byte {
	over := func(b []byte) func(int) []byte {
		return func(n int) []byte { return winmail(bytes.Repeat(b, n/len(b))) }
	}
	inProperties := func(b []byte) func(int) []byte {
		return func(n int) []byte {
			return winmail(renddata(), attribute(2, attAttachment, join(le32(-1), bytes.Repeat(b, n/len(b)))), attribute(1, attMsgProps, join(le32(-1), bytes.Repeat(b, n/len(b)))))
		}
	}
	all := map[string]func(int) []byte{
		"files":            over(renddata()),
		"named files":      over(join(renddata(), attribute(2, attAttachTitle, []byte("a")))),
		"titles":           over(attribute(2, attAttachTitle, []byte("a"))),
		"bodies":           over(attribute(1, attBody, []byte("\xe4"))),
		"properties":       inProperties(mapi(ptUnicode, prBody, unicodeOf("a"))),
		"empty properties": inProperties(mapi(ptString8, prBody)),
		"empty values":     inProperties(mapi(ptMultiValued|ptString8, prBody, nil, nil, nil, nil)),
		"streams":          over(join(renddata(), attribute(2, attAttachData, winmail(attribute(1, attBody, []byte("a")))))),
		"rtf": over(attribute(1, attMsgProps, mapiList(mapi(ptBinary, prRTFCompressed, compressed(1<<20,
			bytes.Repeat([]byte("\xff\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f\x00\x0f"), 100)))))),
		"nested": func(n int) []byte {
			data := winmail(renddata(), attribute(2, attAttachData, make([]byte, n)))
			for range 20 {
				data = winmail(renddata(), attribute(2, attAttachData, data))
			}
			return data
		},
	}
	return all
}

func TestTNEFIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const size, factor, limit, tries = 32 << 10, 8, 32, 20
	for name, stream := range hostileTNEF() {
		least, most := stream(size), stream(size*factor)
		took := func(data []byte) time.Duration {
			start := time.Now()
			files, _ := unpackTNEF(data)
			d := max(time.Since(start), 20*time.Microsecond)
			for _, problem := range spilt(data, files) {
				t.Errorf("%s: %s", name, problem)
			}
			return d
		}
		linear := false
		for range tries {
			if small, large := took(least), took(most); large <= limit*small {
				linear = true
				break
			}
		}
		if !linear {
			t.Errorf("%s: not linear", name)
		}
	}
}

func TestTNEFCorpus(t *testing.T) {
	dir := filepath.Join(corpus(t), "formats", "tnef")
	files, err := filepath.Glob(filepath.Join(dir, "*.tnef"))
	if err != nil || len(files) == 0 {
		t.Skip("no TNEF files in the corpus")
	}
	want := map[string]string{
		"tnef-body.tnef":                  "body.html 5358",
		"tnef-data-before-name.tnef":      "body.rtf 163, AUTOEXEC.BAT 0, CONFIG.SYS 0, boot.ini 289",
		"tnef-garbage-at-end.tnef":        "",
		"tnef-long-filename.tnef":         "body.rtf 1066, allproductsmar2000.dat 279",
		"tnef-missing-filenames.tnef":     "body.rtf 1367, generpts.src 61210, TechlibDEC99.doc 33792, TechlibDEC99-JAN00.doc 34304, TechlibNOV99.doc 33792",
		"tnef-multi-name-property.tnef":   "",
		"tnef-multi-value-attribute.tnef": "body.rtf 1796, 208225__5_seconds__Voice_Mail.mp3 10656",
		"tnef-one-file.tnef":              "AUTHORS 244",
		"tnef-rtf.tnef":                   "body.rtf 593",
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		unpackedFiles, ok := unpackTNEF(data)
		var got []string
		for _, f := range unpackedFiles {
			got = append(got, fmt.Sprintf("%s %d", f.Name, len(f.Content)))
			if f.Name == "body.rtf" && (!bytes.HasPrefix(f.Content, []byte("{\\rtf1")) || !bytes.HasSuffix(bytes.TrimRight(f.Content, "\r\n\x00"), []byte("}"))) {
				t.Errorf("%s: RTF is %.40q", file, f.Content)
			}
		}
		name := filepath.Base(file)
		if list := strings.Join(got, ", "); !ok || list != want[name] {
			t.Errorf("%s: %s, want %s", name, list, want[name])
		}
		for cut := range data { // must never panic
			unpackTNEF(data[:cut])
			if cut > 4000 {
				break
			}
		}
	}
}

func BenchmarkUnpackTNEF(b *testing.B) {
	data := winmail(codepage(1252), renddata(), attribute(2, attAttachTitle, []byte("a\x00")), attribute(2, attAttachData, make([]byte, 1<<20)),
		attribute(2, attAttachment, mapiList(mapi(ptUnicode, prAttachLongFilename, unicodeOf("a.txt")))))
	b.ReportAllocs()
	for b.Loop() {
		unpackTNEF(data)
	}
}
