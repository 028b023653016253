package imap_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/dovecottest"
)

func TestFoldersAreFoundAsTyped(t *testing.T) {
	for _, test := range []struct{ name, extra string }{
		{"slash", ""},
		{"dot", "namespace inbox {\n separator = .\n}\n"},
		{"prefix", "namespace inbox {\n separator = .\n prefix = INBOX.\n}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := dovecottest.Start(t, dovecottest.Config{Extra: test.extra})
			src := open(t, at(t, s.IMAP))
			prefix, sep := "", "/"
			if test.name != "slash" {
				sep = "."
			}
			if test.name == "prefix" {
				prefix = "INBOX."
			}
			for _, name := range []string{"Done", "Entwürfe", "Sent Items", "A & B", "日本語", "Archive/2026/05"} {
				name = prefix + strings.ReplaceAll(name, "/", sep)
				s.Doveadm(t, []byte("Subject: "+name+"\r\n\r\n"), "mailbox", "create", "-u", dovecottest.User, name)
			}
			for _, look := range []struct {
				patterns, want []string
			}{
				{nil, []string{"INBOX"}},
				{[]string{"inbox"}, []string{"INBOX"}},
				{[]string{"*"}, []string{"A & B", "Archive/2026/05", "Done", "Entwürfe", "INBOX", "Sent Items", "日本語"}},
				{[]string{`"Sent Items"`, "Done", "D*"}, []string{"Done", "Sent Items"}},
				{[]string{"Entwürfe", "Entwu\u0308rfe", "Entw&APw-rfe"}, []string{"Entwürfe"}},
				{[]string{"A & B"}, []string{"A & B"}},
				{[]string{"日*"}, []string{"日本語"}},
				{[]string{"Archive/*"}, []string{"Archive/2026/05"}},
				{[]string{"Archive/%"}, nil}, // it only has others below
				{[]string{"Nothing*"}, nil},
			} {
				got, err := src.Folders(t.Context(), look.patterns)
				slices.Sort(got)
				if diff := cmp.Diff(look.want, got); diff != "" || err != nil {
					t.Errorf("%q: %v %s", look.patterns, err, diff)
				}
				for _, name := range got {
					folder(t, src, name)
				}
			}
			if _, err := src.Folders(t.Context(), []string{"Dome"}); err == nil || !strings.Contains(err.Error(), `"Done"`) {
				t.Errorf("a folder that is not there: %v", err)
			}
			if _, err := src.Folder(t.Context(), "Dome"); err == nil {
				t.Error("a folder that is not there is opened")
			}
		})
	}
}
