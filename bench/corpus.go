package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"mailrow/internal/corpus"
	"mailrow/message"
)

// mailSet is mail to measure with.
type mailSet struct {
	mails [][]byte
	list  [][]byte // of them, those of the mailing list; the rest are single mails
	rest  [][]byte
	made  bool // generated, for want of real ones
}

// readCorpus reads the real mail beside the project, the From_ lines taken off
// so that everybody stores the same bytes. Without any it makes mail of like
// sizes.
func readCorpus() (*mailSet, error) {
	dir, err := corpus.Find()
	if errors.Is(err, fs.ErrNotExist) {
		return makeCorpus(2000), nil
	}
	if err != nil {
		return nil, err
	}
	real, err := corpus.Real(dir)
	if err != nil {
		return nil, err
	}
	c := &mailSet{}
	for _, one := range real {
		mail, _ := message.SplitFromLine(one.Raw)
		c.mails = append(c.mails, mail)
		if strings.HasPrefix(one.Name, "mboxrd:") {
			c.list = append(c.list, mail)
		} else {
			c.rest = append(c.rest, mail)
		}
	}
	return c, nil
}

// sample gives n mails from all over the corpus, the same at every run.
func (c *mailSet) sample(n int) [][]byte {
	mails := slices.Clone(c.mails)
	order := rand.New(rand.NewPCG(1, 2))
	order.Shuffle(len(mails), func(i, j int) { mails[i], mails[j] = mails[j], mails[i] })
	return mails[:min(n, len(mails))]
}

func total(mails [][]byte) (sum int64) {
	for _, raw := range mails {
		sum += int64(len(raw))
	}
	return sum
}

// makeCorpus makes mail with the sizes of real one: half of it under 5 KB, one
// in a hundred over 280 KB.
func makeCorpus(n int) *mailSet {
	c := &mailSet{made: true}
	numbers := rand.New(rand.NewPCG(3, 4))
	for range n {
		size := 4600 * math.Exp(1.3*numbers.NormFloat64())
		c.mails = append(c.mails, makeMail(numbers, int(min(max(size, 1000), 3e6))))
	}
	return c
}

// makeMail makes a mail of about size bytes: a header with what MTAs add, a body that
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
	for b.Len()+base64.StdEncoding.EncodedLen(len(line)) < size {
		for i := range line {
			line[i] = byte(numbers.Uint32())
		}
		b.WriteString(base64.StdEncoding.EncodeToString(line[:]))
		b.WriteByte('\n')
	}
	return b.Bytes()
}
