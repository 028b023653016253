package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"mailrow/message"
)

// corpus is mail to measure with.
type corpus struct {
	mails [][]byte
	made  bool // generated, for want of real ones
}

// readCorpus reads the real mail in a folder: archives of single mails and
// mboxes, packed with zstd. Without any it makes mail of like sizes.
func readCorpus(dir string) (*corpus, error) {
	archives, _ := filepath.Glob(filepath.Join(dir, "real", "*.tar.zst"))
	boxes, _ := filepath.Glob(filepath.Join(dir, "real", "*.mboxrd.zst"))
	if len(archives)+len(boxes) == 0 {
		return makeCorpus(2000), nil
	}
	c := &corpus{}
	for _, path := range archives {
		packed, err := unpack(path)
		if err != nil {
			return nil, err
		}
		if err := c.addArchive(packed); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	for _, path := range boxes {
		box, err := unpack(path)
		if err != nil {
			return nil, err
		}
		c.addBox(box)
	}
	return c, nil
}

func unpack(path string) ([]byte, error) {
	out, err := exec.Command("zstd", "-dcq", path).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", path, err)
	}
	return out, nil
}

func (c *corpus) addArchive(packed []byte) error {
	files := tar.NewReader(bytes.NewReader(packed))
	for {
		header, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg && len(raw) > 0 {
			c.add(raw)
		}
	}
}

var (
	separator = regexp.MustCompile(`(?m)^From \S+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n`)
	quoted    = regexp.MustCompile(`(?m)^>(>*From )`)
)

func (c *corpus) addBox(box []byte) {
	starts := separator.FindAllIndex(box, -1)
	for i, at := range starts {
		end := len(box)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		raw := bytes.TrimSuffix(box[at[1]:end], []byte("\n")) // the empty line between two mails
		c.add(quoted.ReplaceAll(raw, []byte("$1")))
	}
}

// add takes the From line off, so that everybody stores the same bytes.
func (c *corpus) add(raw []byte) {
	mail, _ := message.SplitFromLine(raw)
	c.mails = append(c.mails, mail)
}

// sample gives n mails from all over the corpus, the same at every run.
func (c *corpus) sample(n int) [][]byte {
	mails := slices.Clone(c.mails)
	order := rand.New(rand.NewPCG(1, 2))
	order.Shuffle(len(mails), func(i, j int) { mails[i], mails[j] = mails[j], mails[i] })
	return mails[:min(n, len(mails))]
}

func (c *corpus) bytes() int64 { return total(c.mails) }

func total(mails [][]byte) (sum int64) {
	for _, raw := range mails {
		sum += int64(len(raw))
	}
	return sum
}

// makeCorpus makes mail with the sizes of real one: half of it under 5 KB, one
// in a hundred over 280 KB.
func makeCorpus(n int) *corpus {
	c := &corpus{made: true}
	numbers := rand.New(rand.NewPCG(3, 4))
	for range n {
		size := 4600 * math.Exp(1.3*numbers.NormFloat64())
		c.mails = append(c.mails, makeMail(numbers, int(min(max(size, 1000), 3e6))))
	}
	return c
}

// makeMail makes a mail of size bytes: a header with what MTAs add, a body that
// does not compress.
func makeMail(numbers *rand.Rand, size int) []byte {
	var b bytes.Buffer
	for hop := range 3 {
		fmt.Fprintf(&b, "Received: from relay%d.example.net (relay%d.example.net [192.0.2.%d])\n"+
			"\tby mx.example.org (Postfix) with ESMTPS id %08X\n"+
			"\tfor <user@example.org>; Thu,  4 Jun 2026 12:00:0%d +0200 (CEST)\n", hop, hop, hop+1, numbers.Uint32(), hop)
	}
	fmt.Fprintf(&b, "From: =?utf-8?q?J=C3=BCrgen?= Sender <sender@example.net>\nTo: User <user@example.org>\n"+
		"Subject: mail number %d\nDate: Thu, 4 Jun 2026 12:00:00 +0200\nMessage-ID: <%016x@example.net>\n"+
		"MIME-Version: 1.0\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n",
		numbers.Uint32(), numbers.Uint64())
	var line [57]byte
	for b.Len() < size {
		for i := range line {
			line[i] = byte(numbers.Uint32())
		}
		b.WriteString(base64.StdEncoding.EncodeToString(line[:]))
		b.WriteByte('\n')
	}
	return b.Bytes()[:max(size, 1)]
}
