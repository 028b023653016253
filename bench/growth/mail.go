package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode"

	"mailrow/bench/mail"
	"mailrow/message"
)

// prose is what made mail says: lines of real mail, and its words, each as often as
// it is there.
type prose struct {
	lines   [][]string // in ASCII
	foreign [][]string // with other characters
	words   []string   // of lines
}

const (
	maxProseLines = 100_000
	minLineWords  = 5
)

// readProse takes lines out of real mail; without any, lines of made words.
func readProse(c *mail.Set) *prose {
	p := &prose{}
	for _, raw := range c.Sample(len(c.Mails)) {
		if c.Made || len(p.lines) >= maxProseLines {
			break
		}
		for line := range strings.Lines(message.Parse(raw).Text.String(raw)) {
			words := strings.Fields(line)
			if len(line) > 200 || len(words) < minLineWords || strings.ContainsAny(line, ">|") {
				continue
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
				p.foreign = append(p.foreign, words)
				continue
			}
			p.lines = append(p.lines, words)
			p.words = append(p.words, words...)
		}
	}
	if len(p.lines) == 0 {
		p.invent()
	}
	return p
}

// invent makes lines of words that are as unlike in frequency as those of a language.
func (p *prose) invent() {
	numbers := rand.New(rand.NewPCG(9, 10))
	for range 20_000 {
		var words []string
		for range 12 {
			words = append(words, inventWord(int(math.Exp(numbers.Float64()*math.Log(50_000)))))
		}
		p.lines = append(p.lines, words)
		p.words = append(p.words, words...)
	}
}

// inventWord gives a number as syllables.
func inventWord(n int) string {
	const first, second = "bdfgklmnprstvz", "aeiou"
	var b strings.Builder
	for n++; n > 0; n /= len(first) * len(second) {
		b.WriteByte(first[n%len(first)])
		b.WriteByte(second[n/len(first)%len(second)])
	}
	return b.String()
}

func inventName(n int) string {
	word := inventWord(n)
	return strings.ToUpper(word[:1]) + word[1:]
}

// madeArchive is mail of ten years as one account has it, made from prose: each mail
// by its number alone, in the order in which they came.
type madeArchive struct {
	*prose
	mails int // in the ten years
}

// archiveEnd is when the last mail of an archive came: a mail has the same bytes
// whenever it is made.
var archiveEnd = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

const (
	archiveYears = 10
	people       = 20_000
	replyBack    = 50 // a reply follows within so many mails
	fileContents = 2000
)

// madeMail is a mail and where it lies.
type madeMail struct {
	raw        []byte
	mailbox    string
	receivedAt time.Time
	flags      []string
}

// draw gives a number that belongs to mail n and one of its traits.
func draw(n int, trait uint64) uint64 {
	x := uint64(n)*0x9e3779b97f4a7c15 + trait*0xd1b54a32d192ed03
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// What is drawn for a mail.
const (
	drawReply = iota
	drawParent
	drawFrom
	drawText
	drawMailbox
	drawFile
	drawSeen
	drawID
	drawAny // of what has nothing to do with a mail
)

// parent is the mail that mail n answers; -1 for none.
func parent(n int) int {
	if draw(n, drawReply)%100 < 55 {
		return max(n-1-int(draw(n, drawParent)%replyBack), -1)
	}
	return -1
}

// ancestors are the mails before mail n in its conversation, the oldest first.
func ancestors(n int) (all []int) {
	for p := parent(n); p >= 0; p = parent(p) {
		all = append(all, p)
	}
	slices.Reverse(all)
	return all
}

// person is who wrote mail n: few people write much.
func person(n int) int {
	u := float64(draw(n, drawFrom)>>11) / (1 << 53)
	return int(people * u * u * u)
}

func address(person int) string {
	return fmt.Sprintf("%s.%s@%s.example", inventWord(person%97), inventWord(person), inventWord(person/40))
}

func messageID(n int) string {
	return fmt.Sprintf("%016x@%s.example", draw(n, drawID), inventWord(n%500))
}

func (a *madeArchive) at(n int) time.Time {
	span := time.Duration(archiveYears*365*24) * time.Hour
	return archiveEnd.Add(-span + time.Duration(float64(span)*float64(n)/float64(a.mails)))
}

const archiveOwner = "ann@example.org"

// mail makes mail n: some 0.6 KB of header and 2 KB of text, the text of its own, a file
// with one in twenty-five.
func (a *madeArchive) mail(n int) madeMail {
	before := ancestors(n)
	root := n
	if len(before) > 0 {
		root = before[0]
	}
	numbers := rand.New(rand.NewPCG(draw(n, drawText), 1))
	m := madeMail{mailbox: mailboxOf(root), receivedAt: a.at(n)}
	if draw(n, drawSeen)%10 < 9 {
		m.flags = []string{`\Seen`}
	}
	var b bytes.Buffer
	sent := m.receivedAt.Add(-time.Duration(5+numbers.IntN(300)) * time.Second)
	from := person(n)
	fmt.Fprintf(&b, "Received: from mx%d.%s.example (mx%[1]d.%[2]s.example [192.0.2.%d])\n\tby mx.example.org (Postfix) with ESMTPS id %010X\n\tfor <%s>; %s\n",
		from%4, inventWord(from/40), from%250, draw(n, drawID)>>24, archiveOwner, m.receivedAt.Format(time.RFC1123Z))
	fmt.Fprintf(&b, "From: %s %s <%s>\nTo: Ann <%s>\n", inventName(from%97), inventName(from), address(from), archiveOwner)
	if list, found := strings.CutPrefix(m.mailbox, "Lists/"); found {
		fmt.Fprintf(&b, "Cc: %s@lists.example.org\nList-Id: <%[1]s.lists.example.org>\nPrecedence: list\n", list)
	}
	fmt.Fprintf(&b, "Subject: %s\nDate: %s\nMessage-ID: <%s>\n", a.subject(root, n), sent.Format(time.RFC1123Z), messageID(n))
	if len(before) > 0 {
		fmt.Fprintf(&b, "In-Reply-To: <%s>\nReferences:", messageID(before[len(before)-1]))
		for _, id := range before[max(0, len(before)-8):] {
			fmt.Fprintf(&b, "\n <%s>", messageID(id))
		}
		b.WriteByte('\n')
	}
	b.WriteString("MIME-Version: 1.0\n")
	if draw(n, drawFile)%25 == 0 {
		a.writeMixed(&b, n, before)
	} else {
		b.WriteString("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
		a.writeText(&b, n, before)
	}
	m.raw = b.Bytes()
	return m
}

// mailboxOf is where the conversation that mail root began lies.
func mailboxOf(root int) string {
	switch x := draw(root, drawMailbox) % 20; {
	case x < 8:
		return "INBOX"
	case x < 13:
		return "Archive"
	case x < 15:
		return "Sent"
	default:
		return "Lists/" + inventWord(int(x))
	}
}

func (a *madeArchive) subject(root, n int) string {
	numbers := rand.New(rand.NewPCG(draw(root, drawText), 2))
	line := a.lines[numbers.IntN(len(a.lines))]
	line = line[:min(len(line), 3+numbers.IntN(6))]
	words := make([]string, len(line))
	for i, word := range line {
		if numbers.IntN(3) == 0 {
			word = a.words[numbers.IntN(len(a.words))]
		}
		words[i] = word
	}
	subject := strings.Join(words, " ")
	if root != n {
		subject = "Re: " + subject
	}
	return subject
}

// writeText writes a quotation of the mail before, if there is one, and lines in
// which one word of seven is another. One text in five is not all ASCII.
func (a *madeArchive) writeText(b *bytes.Buffer, n int, before []int) {
	if len(before) > 0 {
		last := before[len(before)-1]
		fmt.Fprintf(b, "On %s, %s wrote:\n", a.at(last).Format(time.DateOnly), address(person(last)))
		a.writeLines(b, rand.New(rand.NewPCG(draw(last, drawText), 3)), 5, "> ")
		b.WriteByte('\n')
	}
	numbers := rand.New(rand.NewPCG(draw(n, drawText), 3))
	a.writeLines(b, numbers, int(min(22*math.Exp(0.6*numbers.NormFloat64()), 400))+3, "")
	// What no other mail has: people write numbers of things.
	fmt.Fprintf(b, "\nOrder %d, reference %s\n", n, reference(n))
}

func reference(n int) string { return fmt.Sprintf("%08x", uint32(draw(n, drawID))) }

func (a *madeArchive) writeLines(b *bytes.Buffer, numbers *rand.Rand, lines int, prefix string) {
	foreign := len(a.foreign) > 0 && numbers.IntN(5) == 0
	for range lines {
		b.WriteString(prefix)
		line := a.lines[numbers.IntN(len(a.lines))]
		if foreign && numbers.IntN(4) == 0 {
			line = a.foreign[numbers.IntN(len(a.foreign))]
		}
		for i, word := range line {
			if i > 0 {
				b.WriteByte(' ')
			}
			if numbers.IntN(7) == 0 {
				word = a.words[numbers.IntN(len(a.words))]
			}
			b.WriteString(word)
		}
		b.WriteByte('\n')
	}
}

func (a *madeArchive) writeMixed(b *bytes.Buffer, n int, before []int) {
	b.WriteString("Content-Type: multipart/mixed; boundary=\"=-=\"\n\n--=-=\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
	a.writeText(b, n, before)
	file := int(draw(n, drawFile) >> 32 % fileContents)
	fmt.Fprintf(b, "\n--=-=\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"%s-%d.pdf\"\n\n",
		inventWord(file), file)
	numbers := rand.New(rand.NewPCG(uint64(file), 4))
	content := make([]byte, 1000+numbers.IntN(12_000))
	for i := range content {
		content[i] = byte(numbers.Uint32())
	}
	text := base64.StdEncoding.EncodeToString(content)
	for ; len(text) > 76; text = text[76:] {
		b.WriteString(text[:76] + "\n")
	}
	b.WriteString(text + "\n--=-=--\n")
}
