package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
)

// Of an archive that is cut off or broken what is whole is stored, and the status
// says that something is missing; from a whole copy only that is stored.
func TestImportOfBrokenArchive(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var box bytes.Buffer
	const mails = 40
	for i := range mails {
		fmt.Fprintf(&box, "From joe@example.net Tue Mar  3 10:00:00 2026\nSubject: %d\n\n", i)
		for range 20_000 {
			box.WriteByte('a' + byte(random.IntN(26)))
		}
		box.WriteString("\n\n")
	}
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	packer.Write(box.Bytes())
	packer.Close()
	dsn := deliverytest.Database(t)
	path := filepath.Join(t.TempDir(), "list.mbox.gz")
	broken := bytes.Clone(packed.Bytes())
	clear(broken[len(broken)*3/4:][:100]) // which ends the stream, as it happens
	there := 0
	for _, test := range []struct {
		content []byte
		says    string
	}{{packed.Bytes()[:packed.Len()/2], "it is cut off at byte "}, {broken, "its checksum is wrong at byte "}, {packed.Bytes(), ""}} {
		write(t, path, string(test.content))
		cmd := importCommand(dsn, path)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		err := cmd.Run()
		if !strings.Contains(said.String(), test.says) || (err == nil) != (test.says == "") {
			t.Errorf("%v: %s", err, &said)
		}
		rows := deliverytest.Rows(t, dsn, "select count(*) from mailrow.mail")
		now, _ := strconv.Atoi(rows[0])
		if want := fmt.Sprintf("%d stored, %d already there", now-there, there); !strings.Contains(out.String(), want) || now <= there {
			t.Errorf("%s, want %s", &out, want)
		}
		there = now
	}
	if there != mails {
		t.Errorf("%d mails", there)
	}
}

// A mail that was only marked in its mailbox is no other mail: what is stored stays
// as it came first.
func TestImportOfMarkedMail(t *testing.T) {
	mbox := func(status, body string) string {
		mail := func(n int, status, body string) string {
			return fmt.Sprintf("From joe@example.net Tue Mar  3 10:00:00 2026\nMessage-ID: <%d@x>\nSubject: %d\n%s\n%s\n\n", n, n, status, body)
		}
		return mail(1, status, body) + mail(2, "Status: O\n", "other")
	}
	for _, packed := range []bool{false, true} {
		dsn := deliverytest.Database(t)
		path := filepath.Join(t.TempDir(), "list.mbox")
		wants := func(content, want string, args ...string) {
			t.Helper()
			if packed {
				var b bytes.Buffer
				packer := gzip.NewWriter(&b)
				fmt.Fprint(packer, content)
				packer.Close()
				content = b.String()
			}
			write(t, path, content)
			out, err := importCommand(dsn, append(args, path)...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("packed %v: %v: %s, want %s", packed, err, out, want)
			}
		}
		wants(mbox("", "body"), "2 stored, 0 already there")
		wants(mbox("Status: RO\nX-Status: A\n", "body"), "0 stored, 2 already there")
		wants(mbox("Status: R\nX-UID: 7\n", "body"), "0 stored, 2 already there", "--again")
		wants(mbox("Status: R\n", "another"), "1 stored, 1 already there", "--again")
		rows := deliverytest.Rows(t, dsn, `select convert_from(mailrow.raw(id), 'utf8') from mailrow.mail where message_id = '1@x' order by mailrow.raw(id)`)
		if diff := cmp.Diff([]string{"Message-ID: <1@x>\nSubject: 1\n\nbody\n", "Message-ID: <1@x>\nSubject: 1\nStatus: R\n\nanother\n"}, rows); diff != "" {
			t.Error(diff)
		}
		deliverytest.Rows(t, dsn, `select mailrow.delete_mail(id)::text from mailrow.mail where message_id = '1@x'`)
		wants(mbox("Status: RO\n", "body"), "1 stored, 1 already there", "--again")
	}
}
