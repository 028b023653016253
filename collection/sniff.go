package collection

import (
	"bytes"
	"strconv"
	"strings"

	"mailrow/poller/babyl"
	"mailrow/poller/mbox"
	"mailrow/poller/mmdf"
)

// Kind is a form that mail is kept in.
type Kind string

const (
	KindUnknown Kind = ""
	KindMail    Kind = "mail"      // one mail
	KindEmlx    Kind = "emlx"      // one mail as Apple Mail keeps it
	KindFolder  Kind = "directory" // of single mails
	KindMaildir Kind = "maildir"
	KindMH      Kind = "mh"
	KindMbox    Kind = "mbox"
	KindMMDF    Kind = "mmdf"
	KindBabyl   Kind = "babyl"
	KindTar     Kind = "tar"
	KindZip     Kind = "zip"
	KindGzip    Kind = "gzip"
	KindBzip2   Kind = "bzip2"
	KindZstd    Kind = "zstd"
)

// contains tells the kinds that hold files.
func (k Kind) contains() bool {
	switch k {
	case KindGzip, KindBzip2, KindZstd, KindTar, KindZip:
		return true
	}
	return false
}

// isMailbox tells the kinds that hold many mails.
func (k Kind) isMailbox() bool { return k == KindMbox || k == KindMMDF || k == KindBabyl }

// sniffSize is how many bytes at the begin of a file tell its kind.
const sniffSize = 8 << 10

var magics = []struct {
	kind  Kind
	magic string
}{
	{KindGzip, "\x1f\x8b\x08"},
	{KindZstd, "\x28\xb5\x2f\xfd"},
	{KindZip, "PK\x03\x04"},
	{KindZip, "PK\x05\x06"}, // with nothing in it
}

// foreign are forms that hold mail and that others can read for us.
var foreign = []struct{ magic, what string }{
	{"\xfd7zXZ\x00", "it is compressed by xz: xz -dc FILE | mailrow import -"},
	{"\x1f\x9d", "it is compressed by compress(1): gzip -dc FILE | mailrow import -"},
	{"LZIP", "it is compressed by lzip: lzip -dc FILE | mailrow import -"},
	{"\x04\x22\x4d\x18", "it is compressed by lz4: lz4 -dc FILE | mailrow import -"},
	{"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it with 7z x, and import the folder"},
	{"Rar!\x1a\x07", "it is a RAR archive: unpack it with unrar x, and import the folder"},
	{"!BDN", "it is a store of Outlook: readpst -r -o FOLDER FILE makes mboxes of it"},
	{"\xcf\xad\x12\xfe", "it is a store of Outlook Express: readdbx makes an mbox of it"},
}

// sniff tells the kind by the first bytes of a file, sniffSize or all there are.
func sniff(head []byte) Kind {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.kind
		}
	}
	switch {
	case len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) && (string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17rE8P\x90"):
		return KindBzip2
	case isTarHeader(head):
		return KindTar
	case isEmlx(head):
		return KindEmlx
	}
	if kind := sniffMailbox(head); kind != KindUnknown {
		return kind
	}
	if mailFields(head) >= 2 {
		return KindMail
	}
	return KindUnknown
}

// sniffForeign says what to do with a form that is not read here; "" for none.
func sniffForeign(head []byte) string {
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.what
		}
	}
	return ""
}

// isTarHeader checks the sum in a header of a tar: not all of them have a magic.
func isTarHeader(block []byte) bool {
	if len(block) < tarBlock || block[0] == 0 {
		return false
	}
	block = block[:tarBlock]
	field := strings.Trim(string(block[148:156]), " \x00")
	want, err := strconv.ParseInt(field, 8, 64)
	if err != nil {
		return false
	}
	sum := int64(8 * ' ')
	for i, c := range block {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	return sum == want
}

// isMailField are fields that a mail has and other text seldom.
var isMailField = map[string]bool{
	"from": true, "to": true, "cc": true, "bcc": true, "subject": true, "date": true, "received": true,
	"message-id": true, "return-path": true, "delivered-to": true, "reply-to": true, "sender": true,
	"envelope-to": true, "x-original-to": true, "in-reply-to": true, "references": true, "list-id": true,
	"dkim-signature": true,
}

// mailFields counts the fields of a mail at the begin of a text. It is 0 where
// the text does not begin with a field at all.
func mailFields(head []byte) (count int) {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for number := 0; len(head) > 0; number++ {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			break
		}
		name, _, found := bytes.Cut(line, []byte{':'})
		isField := found && len(name) > 0 && bytes.IndexFunc(bytes.TrimRight(name, " \t"), notInName) < 0
		switch {
		case isField && isMailField[strings.ToLower(strings.TrimRight(string(name), " \t"))]:
			count++
		case !isField && number == 0 && !bytes.HasPrefix(line, []byte(">From ")):
			return 0
		}
	}
	return count
}

func notInName(r rune) bool { return r <= ' ' || r >= 0x7f }

// sniffMailbox tells the forms that hold many mails in one file.
func sniffMailbox(head []byte) Kind {
	switch {
	case mmdf.Sniff(head):
		return KindMMDF
	case babyl.Sniff(head):
		return KindBabyl
	case mbox.Sniff(head):
		return KindMbox
	}
	return KindUnknown
}
