package message

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wrote is the reply in text; "" if that is all of it.
func wrote(text string) string {
	runes := []rune(text)
	var parts []string
	for _, r := range replyRanges(text) {
		parts = append(parts, string(runes[r.Start:r.End]))
	}
	return strings.Join(parts, "\n")
}

func TestReplyRanges(t *testing.T) {
	const quote = "\n> Shall we meet\n> on Friday?\n"
	for _, test := range []struct{ name, text, want string }{
		{"gmail", "Yes, at ten.\n\nOn Mon, Jul 1, 2019 at 12:00 PM Ann <ann@example.org> wrote:\n" + quote, "Yes, at ten."},
		{"gmail folded", "Yes.\n\nOn Mon, Jul 1, 2019 at 12:00 PM Ann Example via Example-users <\nexample-users@lists.example.org> wrote:\n" + quote, "Yes."},
		{"gmail folded before the verb", "Yes.\n\nOn Mon, Jul 1, 2019 at 12:00 PM Ann Example <ann@example.org>\nwrote:\n" + quote, "Yes."},
		{"gmail without a language", "Ja.\n\n2019-07-01 12:00 GMT+02:00 Ann Example <ann@example.org>:\n" + quote, "Ja."},
		{"apple mail", "Yes.\n\nSent from my iPhone\n\n> On 1 Jul 2019, at 12:00, Ann <ann@example.org> wrote:\n> \n> Shall we meet?\n", "Yes."},
		{"thunderbird below", "On 7/1/19 12:00 PM, Ann wrote:\n" + quote + "\nYes, at ten.\n\n-- \nBob\n", "Yes, at ten."},
		{"thunderbird crlf", "On 7/1/19 12:00 PM, Ann wrote:\r\n> Friday?\r\nYes.\r\n", "Yes."},
		{"mutt", "On Mon, Jul 01, 2019 at 12:00:00PM +0200, Ann Example wrote:\n> Friday?\n\nYes.\n\n--\nBob\n", "Yes."},
		{"inline", "Hi Ann,\n\nOn 1.7.2019, Ann wrote:\n> Friday?\nYes.\n\n> At ten?\n\nAt eleven.\nIn town.\n\n> Bye\n", "Hi Ann,\nYes.\nAt eleven.\nIn town."},
		{"k-9", "Yes.\n\nAm 1. Juli 2019 12:00:00 MESZ schrieb Ann <ann@example.org>:\n>Friday?\n\n-- \nDiese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.", "Yes."},
		{"yahoo, not quoted", "Yes.\n\n    On Monday, July 1, 2019, 12:00:00 PM GMT+2, Ann <ann@example.org> wrote:  \n \n Shall we meet?\n", "Yes."},
		{"zoho, not quoted", "Yes.\n\n---- On Mon, 01 Jul 2019 12:00:00 +0200 Ann <ann@example.org> wrote ----\n\nShall we meet?\n", "Yes."},
		{"horde", "Quoting Ann Example <ann@example.org>:\n" + quote + "\nYes.", "Yes."},
		{"deep quotes", "Yes.\n\nOn 1.7.2019 12:00, Ann wrote:\n>> Friday?\n> > Or not?\n>>> Why?\n", "Yes."},
		{"bars", "Yes.\n\nOn 1.7.2019 12:00, Ann wrote:\n| Friday?\n| Or not?\n", "Yes."},
		{"wrapped quote", "On 1.7.2019 12:00, Ann wrote:\n> A line of a quote that was too long for the program that wrapped\nit.\n> Another line.\n\nYes.", "Yes."},
		{"attribution without a quote", "On 1.7.2019 12:00, Ann wrote:\n\nYes.\n\n> Friday?\n", "Yes."},

		{"outlook", "Yes.\n\nBob\n\n-----Original Message-----\nFrom: Ann\nSent: Monday\nTo: Bob\nSubject: Meeting\n\nFriday?", "Yes.\n\nBob"},
		{"outlook, rule", "Yes.\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n________________________________\nFrom: Ann <ann@example.org>\nSent: Monday, July 1, 2019\nTo: Bob; Chris;\n  Doris\nCc: Eve\nSubject: Meeting\n\nFriday?", "Yes."},
		{"outlook, bold", "Yes.\n\n*From:* Ann\n*Sent:* Monday\n*To:* Bob\n*Subject:* Meeting\n\nFriday?", "Yes."},
		{"outlook from html", "Ja.\n\nVon: Ann\nGesendet: Montag\nAn: Bob\nBetreff: Treffen\n\nFreitag?", "Ja."},
		{"forward with a word", "See below.\n\n---------- Forwarded message ---------\nFrom: Ann\nDate: Monday\nSubject: Meeting\nTo: Bob\n\nFriday?", "See below."},
		{"apple mail forward", "See below.\n\nBegin forwarded message:\n\nFrom: Ann\nFriday?", "See below."},
		{"notes", "Yes.\n\n----- Forwarded by Ann/Example on 01.07.2019 12:00 -----\n\nFriday?", "Yes."},

		{"mailman", "Yes.\n\n_______________________________________________\nexample-users mailing list\nexample-users@example.org\nhttps://example.org/listinfo\n", "Yes."},
		{"signature above the quote", "Yes.\n-- \nBob\nExample Ltd\n\nOn 1.7.2019, Ann wrote:\n> Friday?\n", "Yes."},
		{"virus scanner", "Yes.\n\n---\nThis email has been checked for viruses by a program.\nhttps://example.org\n", "Yes."},

		{"nothing left out", "Yes.\n\nBob\n", ""},
		{"empty", "", ""},
		{"blank", "\n \n", ""},
		{"only a forward", "---------- Forwarded message ---------\nFrom: Ann\nDate: Monday\nSubject: Meeting\nTo: Bob\n\nFriday?", ""},
		{"only a quote, not marked", "On 1.7.2019 12:00, Ann wrote:\n\nFriday?\n", ""},
		{"only a quote", "On 1.7.2019, Ann wrote:\n> Friday?\n", ""},
		{"a table", "| a | b |\n|---|---|\n| 1 | 2 |\n| c\n", ""},
		{"python", "It says:\n>>> import numbers\nTraceback\n>>> 1\n1\n", ""},
		{"end of a folded link", "See the page <https://example.org/page\n>, which has it.\n", ""},
		{"a rule and text", "One.\n\n----------\n\nTwo.\n", ""},
		{"text with a colon", "On 3 July 2019 I said:\n\nNo.\n", ""},
		{"labels", "From: here\nto there\n", ""},
	} {
		if got := wrote(test.text); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestReplyAttributions(t *testing.T) {
	for _, attribution := range []string{
		"On Mon, 1 Jul 2019 at 12:00, Ann Example <ann@example.org> wrote:",
		"Am Mo., 1. Juli 2019 um 12:00 Uhr schrieb Ann Example <\nann@example.org>:",
		"Am 01.07.19 um 12:00 schrieb Ann Example:",
		"Ann Example <ann@example.org> schrieb am Mo., 1. Juli 2019, 12:00:",
		"Zitat von Ann Example <ann@example.org>:",
		"Le lun. 1 juil. 2019 à 12:00, Ann Example <ann@example.org> a\nécrit :",
		"Le 01/07/2019 à 12:00, Ann Example a écrit :",
		"El lun., 1 jul. 2019 a las 12:00, Ann Example (<ann@example.org>)\nescribió:",
		"Il giorno lun 1 lug 2019 alle ore 12:00 Ann Example <\nann@example.org> ha scritto:",
		"Il 01/07/19 12:00, Ann Example ha scritto:",
		"Op ma 1 jul. 2019 om 12:00 schreef Ann Example <ann@example.org>:",
		"Em seg., 1 de jul. de 2019 às 12:00, Ann Example <ann@example.org>\nescreveu:",
		"Den mån 1 juli 2019 kl 12:00 skrev Ann Example <ann@example.org>:",
		"Den man. 1. jul. 2019 kl. 12.00 skrev Ann Example <ann@example.org>:",
		"man. 1. jul. 2019 kl. 12:00 skrev Ann Example <ann@example.org>:",
		"ma 1. heinäk. 2019 klo 12.00 Ann Example (ann@example.org) kirjoitti:",
		"pon., 1 lip 2019 o 12:00 Ann Example <ann@example.org> napisał(a):",
		"W dniu 01.07.2019 o 12:00, Ann Example pisze:",
		"po 1. 7. 2019 v 12:00 odesílatel Ann Example <ann@example.org> napsal:",
		"Dne 01. 07. 19 v 12:00 Ann Example napsal(a):",
		"пн, 1 июл. 2019 г. в 12:00, Ann Example <ann@example.org>:",
		"01.07.2019 12:00, Ann Example пишет:",
		"Ann Example <ann@example.org>, 1 Tem 2019 Pzt, 12:00 tarihinde\nşunu yazdı:",
		"2019年7月1日(月) 12:00 Ann Example <ann@example.org>:",
		"Ann Example <ann@example.org> 于2019年7月1日周一\n上午12:00写道：",
		"2019-07-01 12:00, Ann Example wrote:",
		"* Ann Example <ann@example.org> [2019-07-01 12:00 +0200]:",
		"Ann Example wrote:",
		"Ann Example\n<ann@example.org> wrote:",
	} {
		text := "Yes.\n\n" + attribution + "\n\n> Friday?\n"
		if got := wrote(text); got != "Yes." {
			t.Errorf("%q: left %q", attribution, got)
		}
	}
}

func TestReplyHeaderBlocks(t *testing.T) {
	for _, words := range []string{
		"From Sent To Subject", "From Date To Subject", "Von Gesendet An Betreff", "De Envoyé À Objet", "De Enviado Para Asunto", "Da Inviato A Oggetto",
		"Van Verzonden Aan Onderwerp", "De Enviada Para Assunto", "Från Skickat Till Ämne", "Fra Sendt Til Emne", "Lähettäjä Lähetetty Vastaanottaja Aihe",
		"Od Wysłano Do Temat", "Od Odesláno Komu Předmět", "От Отправлено Кому Тема", "Kimden Gönderildi Kime Konu", "差出人 送信日時 宛先 件名", "发件人 发送时间 收件人 主题",
	} {
		word := strings.Fields(words)
		text := fmt.Sprintf("Yes.\n\n%s: Ann\n%s: 1.7.2019\n%s: Bob\n%s: Meeting\n\nFriday?\n", word[0], word[1], word[2], word[3])
		if got := wrote(text); got != "Yes." {
			t.Errorf("%s: left %q", words, got)
		}
	}
	for _, marker := range []string{
		"-----Ursprüngliche Nachricht-----", "-------- Message d'origine --------", "-----Mensaje original-----", "-----Messaggio originale-----",
		"-----Oorspronkelijk bericht-----", "-----Mensagem original-----", "-----Ursprungligt meddelande-----", "-----Oprindelig meddelelse-----",
		"-----Opprinnelig melding-----", "-----Alkuperäinen viesti-----", "-----Oryginalna wiadomość-----", "---------- Původní zpráva ----------",
		"-----Исходное сообщение-----", "-----Orijinal Mesaj-----", "-----元のメッセージ-----", "-----邮件原件-----", "------------------ 原始邮件 ------------------",
		"-------- Weitergeleitete Nachricht --------", "-------- Forwarded Message --------",
	} {
		if got := wrote("Yes.\n\n" + marker + "\nFriday?\n"); got != "Yes." {
			t.Errorf("%s: left %q", marker, got)
		}
	}
}

func TestReplySentFrom(t *testing.T) {
	for _, line := range []string{
		"Sent from my iPhone", "Sent from Mail for Windows", "Get Outlook for Android", "Von meinem iPhone gesendet", "Gesendet von Mail für Windows",
		"Outlook für iOS beziehen", "Envoyé de mon iPhone", "Obtenir Outlook pour iOS", "Enviado desde mi iPhone", "Enviado do meu iPhone", "Inviato da iPhone",
		"Verstuurd vanaf mijn iPhone", "Skickat från min iPhone", "Sendt fra min iPhone", "Lähetetty iPhonesta", "Wysłane z iPhone'a", "Odesláno z iPhonu",
		"Отправлено с iPhone", "iPhone'umdan gönderildi", "iPhoneから送信", "发自我的iPhone",
	} {
		if got := wrote("Yes.\n\n" + line + "\n"); got != "Yes." {
			t.Errorf("%s: left %q", line, got)
		}
	}
}

func TestReplyCountsCharacters(t *testing.T) {
	got := replyRanges("Grüße 😀\n> ä\nÜber\n")
	if diff := cmp.Diff([]Range{{0, 7}, {12, 16}}, got); diff != "" {
		t.Error(diff)
	}
}

// unranged returns which promises of replyRanges do not hold.
func unranged(text string, ranges []Range) (problems []string) {
	runes := []rune(text)
	end := -1
	for _, r := range ranges {
		if r.Start <= end || r.End <= r.Start || r.End > len(runes) {
			return []string{fmt.Sprintf("%v in %d characters", ranges, len(runes))}
		}
		end = r.End
		part := string(runes[r.Start:r.End])
		first, _, _ := strings.Cut(part, "\n")
		if strings.TrimSpace(first) == "" || strings.TrimSpace(part[strings.LastIndexByte(part, '\n')+1:]) == "" {
			problems = append(problems, fmt.Sprintf("blank line at an end of %q", part))
		}
	}
	return problems
}

func FuzzReplyRanges(f *testing.F) {
	for _, seed := range []string{
		"a\n> b\nc", "On 1.7.2019 12:00, a@b wrote:\n\nc\n> d", "x\nFrom: a\nSent: b\nTo: c\n", "-- \na", "a\n--\nb\n> c", "a\r\n\r\n> b\r\n",
		"____________________\nmailing list", "\n\n|a\n>>> b\n", "a\xff\n>b", "wrote:\n>", ":\n>", "\u00a0\n>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, problem := range unranged(text, replyRanges(text)) {
			t.Error(problem)
		}
	})
}

var hostileReply = []string{
	">", "> \n", "a\n", "a\n>\n", "\n", ":\n", "a:\n", "1:\n", "On 1.1.2000 a@b wrote:\n", "a@b 2000 12:00:\n>\n", "From: a\n", "From: a\nTo: b\n", "-- \n",
	"-- \na\n", "--\n\n", "____________________\n", "Sent from my a\n", "|\n", ">>> \n", "wrote:\n>\n", "1 1 1 1 ", "a ", ": ", "2000 ", "--", "\xff",
}

func TestReplyRangesIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, text := range hostileReply {
		linearText(t, text, func(s string) { replyRanges(s) })
	}
}

// linearText runs do with a text over and over and with eight times that; see
// TestParseIsLinear.
func linearText(t *testing.T, text string, do func(string)) {
	t.Helper()
	const size, factor, limit, tries = 32 << 10, 8, 32, 20
	least, most := strings.Repeat(text, size/len(text)), strings.Repeat(text, size*factor/len(text))
	took := func(s string) time.Duration {
		start := time.Now()
		do(s)
		return max(time.Since(start), 20*time.Microsecond)
	}
	var small, large time.Duration
	for range tries {
		small, large = took(least), took(most)
		if large <= limit*small {
			return
		}
	}
	t.Errorf("%q: %d KiB take %v, %d times that take %v", text, size>>10, small, factor, large)
}

func BenchmarkReplyRanges(b *testing.B) {
	text := strings.Repeat("A line of an answer that somebody wrote to the list.\n", 10) + "\nOn 1.7.2019 12:00, Ann Example wrote:\n" +
		strings.Repeat("> A line of a quote that somebody wrote to the list.\n", 80)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		replyRanges(text)
	}
}

func TestReplyCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "torture", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no torture files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for _, problem := range unranged(text, replyRanges(text)) {
			t.Errorf("%s: %s", filepath.Base(file), problem)
		}
	}
}
