// Package mail has the mail that benchmarks measure with.
package mail

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
	"sync/atomic"

	"mailrow/bench/report"
	"mailrow/internal/corpus"
	"mailrow/message"
)

// Set is mail to measure with.
type Set struct {
	Mails [][]byte
	List  [][]byte // of them, those of the mailing list; the rest are single mails
	Rest  [][]byte
	Made  bool // generated, for want of real ones
}

// Read reads the real mail beside the project, the From_ lines taken off
// so that everybody stores the same bytes. Without any it makes mail of like
// sizes.
func Read() (*Set, error) {
	dir, err := corpus.Find()
	if errors.Is(err, fs.ErrNotExist) {
		return makeSet(2000), nil
	}
	if err != nil {
		return nil, err
	}
	real, err := corpus.Real(dir)
	if err != nil {
		return nil, err
	}
	c := &Set{}
	for _, one := range real {
		mail, _ := message.SplitFromLine(one.Raw)
		c.Mails = append(c.Mails, mail)
		if strings.HasPrefix(one.Name, "mboxrd:") {
			c.List = append(c.List, mail)
		} else {
			c.Rest = append(c.Rest, mail)
		}
	}
	return c, nil
}

// Sample gives n mails from all over the corpus, the same at every run.
func (c *Set) Sample(n int) [][]byte {
	mails := slices.Clone(c.Mails)
	order := rand.New(rand.NewPCG(1, 2))
	order.Shuffle(len(mails), func(i, j int) { mails[i], mails[j] = mails[j], mails[i] })
	return mails[:min(n, len(mails))]
}

// Describe says how many mails of the set these are, and of what size.
func (c *Set) Describe(mails [][]byte) string {
	kind := "real"
	if c.Made {
		kind = "generated, no real ones found"
	}
	sizes := make(report.Series, len(mails))
	for i, raw := range mails {
		sizes[i] = float64(len(raw)) / 1000
	}
	return fmt.Sprintf("%d (%s), %.1f MB, median %.1f KB, mean %.1f KB", len(mails), kind,
		float64(Total(mails))/1e6, sizes.Median(), sizes.Mean())
}

// Total is how many bytes they have.
func Total(mails [][]byte) (sum int64) {
	for _, raw := range mails {
		sum += int64(len(raw))
	}
	return sum
}

// makeSet makes mail with the sizes of real one: half of it under 5 KB, one
// in a hundred over 280 KB.
func makeSet(n int) *Set {
	c := &Set{Made: true}
	numbers := rand.New(rand.NewPCG(3, 4))
	for range n {
		size := 4600 * math.Exp(1.3*numbers.NormFloat64())
		c.Mails = append(c.Mails, Make(numbers, int(min(max(size, 1000), 3e6))))
	}
	return c
}

// Make makes a mail of about size bytes: a header with what MTAs add, a body that
// does not compress.
func Make(numbers *rand.Rand, size int) []byte {
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

// serial makes every mail of every pass a new one.
var serial atomic.Int64

// Unique gives a mail another Message-ID, too: else it would be an answer to itself.
func Unique(raw []byte) []byte {
	n := serial.Add(1)
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	i := bytes.Index(bytes.ToLower(head), []byte("\nmessage-id:"))
	i += bytes.IndexByte(head[max(i, 0):], '<') + 1
	if i <= 0 {
		return append(fmt.Appendf(nil, "X-Pass: %d\n", n), raw...)
	}
	return slices.Concat(head[:i], fmt.Appendf(nil, "%d.", n), head[i:], []byte("\n\n"), body)
}
