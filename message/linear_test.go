package message

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hostile are mails made of one thing over and over, size bytes of it.
var hostile = map[string]func(size int) []byte{
	"fields":            func(n int) []byte { return bytes.Repeat([]byte("A: b\r\n"), n/6) },
	"folded":            func(n int) []byte { return append([]byte("A: b"), bytes.Repeat([]byte("\n x"), n/3)...) },
	"folded cr":         func(n int) []byte { return append([]byte("A: b"), bytes.Repeat([]byte("\r x"), n/3)...) },
	"lines":             func(n int) []byte { return append([]byte("A: b\n"), bytes.Repeat([]byte("x\n"), n/2)...) },
	"blank lines":       func(n int) []byte { return bytes.Repeat([]byte("\n"), n) },
	"crs in the header": func(n int) []byte { return append(bytes.Repeat([]byte("From: a\r"), n/8), '\n') },
	"crs":               func(n int) []byte { return append([]byte("A: b\n"), bytes.Repeat([]byte("\r"), n)...) },
	"colons":            func(n int) []byte { return bytes.Repeat([]byte("a b:\n"), n/5) },
	"8-bit":             field("Subject", "\xe4"),
	"8-bit fields":      func(n int) []byte { return bytes.Repeat([]byte("A: \xe4\n"), n/6) },
	"content types":     func(n int) []byte { return bytes.Repeat([]byte("Content-Type: \xe4\n"), n/16) },
	"parameters":        field("Content-Type", "\xe4;charset ;"),
	"nul":               field("Subject", "\x00"),
	"dates":             field("Date", "1 Jan "),
	"date comments":     field("Date", "("),
	"ids":               field("References", "<"),
	"ids in words":      field("Message-ID", "<a "),

	"boundary lines":       body("multipart/mixed; boundary=x", "--x\n"),
	"parts":                body("multipart/mixed; boundary=x", "--x\n\na\n"),
	"closed parts":         body("multipart/mixed; boundary=x", "--x--\n--x\n\n"),
	"other boundaries":     body("multipart/mixed; boundary=x", "--\n--xy\n--\n"),
	"dashes":               body("multipart/mixed; boundary=x", "-"),
	"no boundary":          body("multipart/mixed", "--x y\n--a\n--b"),
	"boundary wrong":       body("multipart/mixed; boundary=x", "--y\nContent-Type: multipart/mixed; boundary=z\n\n--w\n"),
	"boundaries wrong":     body("multipart/mixed; boundary=x", "--x\nContent-Type: multipart/mixed; boundary=y\n\n--z w\nContent-ID: <a>\n\n--z w--\n"),
	"parts no boundary":    body("multipart/mixed; boundary=x", "--x\nContent-Type: multipart/mixed\n\n--y\n"),
	"messages":             body("message/rfc822", "Content-Type: message/rfc822\n\n"),
	"messages in base64":   body("multipart/mixed; boundary=x", "--x\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQTogYgoKYQ==\n"),
	"messages in qp":       body("message/rfc822\nContent-Transfer-Encoding: quoted-printable", "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n"),
	"part fields":          body("multipart/mixed; boundary=x", "--x\nContent-Type: x\nContent-ID: <\n"),
	"part header":          body("multipart/mixed; boundary=x\n\n--x", "Content-Type: x\n"),
	"part garbage":         body("multipart/mixed; boundary=x\n\n--x", "a b:\nX-Y: z\n"),
	"part only garbage":    body("multipart/mixed; boundary=x\n\n--x\nA: b", "a b\n"),
	"deep":                 nested(1 << 30),
	"deep, many dashes":    nested(90),
	"same boundary":        body("multipart/mixed; boundary=x", "--x\nContent-Type: multipart/mixed; boundary=x\n\n"),
	"uuencode":             body("text/plain", "begin 644 a\n#86)C\n`\nend\n"),
	"uuencode without end": body("text/plain", "begin 644 a\n#86)C\n"),
	"uuencode in qp":       body("text/plain\nContent-Transfer-Encoding: quoted-printable", "begin 644 a\n#86)C\n`\nend\n"),
	"qp blanks":            body("text/plain\nContent-Transfer-Encoding: quoted-printable", " "),
	"qp escapes":           body("text/plain\nContent-Transfer-Encoding: quoted-printable", "= \t"),
	"base64":               body("text/plain\nContent-Transfer-Encoding: base64", "YQ==\n"),
	"base64 prose":         body("text/plain\nContent-Transfer-Encoding: base64", "some, prose\n"+strings.Repeat("YWJj", 10)+"\n"),
	"base64 junk":          body("text/plain\nContent-Transfer-Encoding: base64", "YW-!"),
	"html":                 body("text/html; charset=koi8-r", "<meta "),
	"8-bit text":           body("text/plain", "\xe4\xc3\xa4"),
	"cr boundary lines": func(n int) []byte {
		return append([]byte("Content-Type: multipart/x; boundary=x\r\r"), bytes.Repeat([]byte("--x\r"), n/4)...)
	},
}

func body(contentType, text string) func(int) []byte {
	return func(n int) []byte {
		return []byte("Content-Type: " + contentType + "\n\n" + strings.Repeat(text, n/len(text)))
	}
}

// nested has at most depth multiparts in each other, then lines that begin as
// their boundaries do.
func nested(depth int) func(int) []byte {
	return func(n int) []byte {
		var b bytes.Buffer
		b.WriteString("Content-Type: multipart/mixed; boundary=x0\n\n")
		for i := 0; i < depth && b.Len() < n; i++ {
			fmt.Fprintf(&b, "--x%d\nContent-Type: multipart/mixed; boundary=x%d\n\n", i, i+1)
		}
		for b.Len() < n {
			b.WriteString("--x\n--x1x\n")
		}
		return b.Bytes()
	}
}

// hostileText is repeated in address fields and in unstructured ones.
var hostileText = []string{
	"(", ")", "((", "(\\", "(\\(", "\"", "\\\"", "\"\\", "<", ">", "<a", "<\"", "<a@b", "\"<@\"x", "\"<@ \"x\" ",
	",", ";", ":", ": ", ":;", "a:", "@", "@[", "a@b", "a@b ", "a@b,", "a ", "a,", "a, <b@c>,", ".", " . ", "[", "'", "\"a\",",
	"=?", "=?=?", "=?a?q?", "=?a?q? ", "=?utf-8?q?", "=?utf-8?q?a", "=?utf-8?q?a?=", "=?utf-8?b?YQ?= ", "?=",
	"=?a?q?b?=", "=?utf-7?q?+?=", "=?iso-2022-kr?q?=0e?=", "\x1b$", "<@a,", "\\", "(a)<b@c>", "a(b)", "\"a\"",
}

func field(name, text string) func(int) []byte {
	return func(n int) []byte { return []byte(name + ": x" + strings.Repeat(text, n/len(text)) + "\n\n") }
}

// A quadratic place makes eight times the input 64 times slower, again and
// again. A busy machine does so at times; so one try of several within the limit
// is enough.
func TestParseIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for name, mail := range hostile {
		linear(t, name, mail)
	}
	for _, text := range hostileText {
		linear(t, "To: "+text, field("To", text))
		linear(t, "Subject: "+text, field("Subject", text))
		linear(t, "Content-Type: "+text, field("Content-Type", text))
		linear(t, "name="+text, field("Content-Type", "name="+text))
	}
	for _, text := range []string{";a=", ";a=\"x\"y", ";a=\"x", ";a=\\\"", "; name*0*=a", ";name=a b ", "name=a  ", "=a;", "/ ", "(a", "a(b)", "\"  ", "=\"\\", "; name=a charset=b", "a=b ", "a=b =c ", "name=b =c "} {
		linear(t, "parameters "+text, field("Content-Type", text))
	}
}

func TestRTFTextIsLinear(t *testing.T) {
	for _, text := range []string{"{", "}", "\\", "\\'", "\\u1", "\\f1 ", "{\\f", "a", "\\par", "\\bin1"} {
		start := time.Now()
		rtfText([]byte(strings.Repeat(text, 4<<20/len(text))), MaxText)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%q takes %v", text, took)
		}
	}
}

func linear(t *testing.T, name string, mail func(int) []byte) {
	const size, factor, limit, tries = 32 << 10, 8, 32, 20
	least, most := mail(size), mail(size*factor)
	took := func(raw []byte) time.Duration {
		start := time.Now()
		Parse(raw)
		return max(time.Since(start), 20*time.Microsecond)
	}
	var small, large time.Duration
	for range tries {
		small, large = took(least), took(most)
		if large <= limit*small {
			return
		}
	}
	t.Errorf("%q: %d KiB take %v, %d times that take %v", name, size>>10, small, factor, large)
}

// typical is a mail of a mailing list: 25 fields, some of them folded.
var typical = []byte(strings.ReplaceAll(`Return-Path: <list-bounces@lists.example.org>
Delivered-To: ann@example.com
Received: from mail.example.org (mail.example.org [192.0.2.1])
	(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))
	by mx.example.com (Postfix) with ESMTPS id 4F1Q2W3E4R
	for <ann@example.com>; Wed,  1 May 2024 12:00:05 +0200 (CEST)
Received: from localhost (localhost [127.0.0.1])
	by mail.example.org (Postfix) with ESMTP id 5T6Z7U8I9O
	for <list@lists.example.org>; Wed,  1 May 2024 10:00:03 +0000 (UTC)
Received: by mail-io1-f41.example.net with SMTP id ca18e2360f4ac-7c8
	for <list@lists.example.org>; Wed, 01 May 2024 03:00:01 -0700 (PDT)
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=20230601;
	h=to:subject:message-id:date:from:in-reply-to:references:mime-version;
	bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;
	b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZNRNiNzLkAD
X-Google-Smtp-Source: AGHT+IEdk9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY
X-Received: by 2002:a05:6602:1234 with SMTP id x1mr1234567iot.1.1714557601
MIME-Version: 1.0
References: <CAAA=1@mail.example.net> <CAAA=2@mail.example.net>
	<CAAA=3@mail.example.net> <CAAA=4@mail.example.net>
In-Reply-To: <CAAA=4@mail.example.net>
From: =?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <joerg@example.net>
Date: Wed, 1 May 2024 12:00:00 +0200
Message-ID: <CAAA=5@mail.example.net>
Subject: =?UTF-8?B?UmU6IFtsaXN0XSBHcsO2w59lIHVuZCBG?= =?UTF-8?B?dcOf?=
To: Ann Example <ann@example.com>, "Doe, John" <john@example.org>,
	list@lists.example.org
Cc: Bob <bob@example.com>
Content-Type: multipart/alternative; boundary="0000000000001a2b3c"
List-Id: A list <list.lists.example.org>
List-Unsubscribe: <https://lists.example.org/options/list>,
	<mailto:list-request@lists.example.org?subject=unsubscribe>
List-Archive: <https://lists.example.org/archives/list>
List-Post: <mailto:list@lists.example.org>
List-Help: <mailto:list-request@lists.example.org?subject=help>
Errors-To: list-bounces@lists.example.org
Sender: "list" <list-bounces@lists.example.org>
X-Spam-Status: No, score=-2.1 required=5.0

`+strings.Repeat("This is a line of text in the body of the mail, long enough to be one.\n", 28), "\n", "\r\n"))

func BenchmarkParse(b *testing.B) {
	for _, bench := range []struct {
		name string
		raw  []byte
	}{
		{"typical", typical},
		{"100000 fields", append(bytes.Repeat([]byte("X-Field: value\r\n"), 100_000), "\r\n"...)},
		{"64 MiB body", append(bytes.Clone(typical), bytes.Repeat([]byte("VGhpcyBpcyBhIGxpbmUgb2YgYmFzZTY0IHRleHQgaW4gdGhlIGJvZHkgb2YgYSBtYWlsLCA3NiBi\r\n"), 64<<20/78)...)},
		{"64 MiB field", field("Subject", "a subject that does not end\r\n ")(64 << 20)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.raw)))
			b.ReportAllocs()
			for b.Loop() {
				Parse(bench.raw)
			}
		})
	}
}
