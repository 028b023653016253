package message

import (
	stdhtml "html"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestHTMLText(t *testing.T) {
	for _, test := range []struct{ name, html, want string }{
		{"blocks", "<p>a</p><p>b<br>c</p><div>d</div><div>e</div>", "a\n\nb\nc\n\nd\ne"},
		{"blanks", " a \r\n\t b<b> c</b> d ", "a b c d"},
		{"empty lines", "a<br><br><br><br><p><br></p><p>&nbsp;</p>b", "a\n\nb"},
		{"empty line of gmail", "<div>a</div><div><br></div><div>b</div>", "a\n\nb"},
		{"outlook", `<p class=MsoNormal>a<o:p></o:p></p><p class=MsoNormal>b</p><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>c</p>`, "a\nb\n\nc"},
		{"headings", "<h1>a</h1>b<h2>c</h2>", "a\n\nb\n\nc"},
		{"rule", "a<hr>b", "a\n---\nb"},
		{"lists", "a<ul><li>b<li>c<ol><li>d</ol></ul>e", "a\n- b\n- c\n  - d\ne"},
		{"empty item", "<ul><li></li></ul>a", "a"},
		{"table", "<table><tr><td>a</td><td>b</td></tr> <tr> <th>c</th> <th>d</th> </tr></table>e", "a\tb\nc\td\ne"},
		{"layout table", "<table><tr><td><div>a</div></td><td><div>b</div></td></tr></table>", "a\nb"},
		{"pre", "a<pre>\n b\n\n\n  c\t&lt;d\r\ne </pre>f", "a\n b\n\n\n  c\t<d\ne \nf"},
		{"quotes", "a<blockquote>b<br><blockquote>c</blockquote><br>d</blockquote>e", "a\n> b\n> > c\n>\n> d\ne"},
		{"empty line after a quote", "<blockquote>a</blockquote><p>b", "> a\n\nb"},
		{"quote in pre", "<blockquote><pre>a\nb</pre></blockquote>", "> a\n> b"},
		{"indented", `<blockquote style="margin:0 0 0 40px;border:none;padding:0px">a</blockquote>b<blockquote style="border:none;border-left:1px solid">c</blockquote>`, "a\nb\n> c"},
		{"end of no quote", "</blockquote>a</blockquote></li></pre></ul>", "a"},
		{"left out", "<head><title>a</title><style>b{}</style></head><script>if (a<b) '</p>'</script>c<!-- d --><template>e<b>f</b></template>g", "cg"},
		{"outlook's xml", "<xml><o:OfficeDocumentSettings>96</o:OfficeDocumentSettings></xml>a", "a"},
		{"conditional comments", "<!--[if mso]><p>a</p><![endif]-->b<![if !mso]>c<![endif]><!--[if !mso]><!-->d<!--<![endif]-->", "bcd"},
		{"short comments", "<!-->a<!--->b<!---->c", "abc"},
		{"comment without end", "a<!-- b>c<!-- d>e<!-- f", "ace"},
		{"hidden", `a<div style="color:red; DISPLAY : none !important">b<div>c</div>d</div>e<span style='display:none'>f</span>g<p style=display:none>h<p>i`, "aeg\n\ni"},
		{"hidden image", `a<img style="display:none" alt=b>c`, "ac"},
		{"hidden without end", `a<div style="display:none">b`, "a\nb"},
		{"not hidden", `<p style="display:block">a</p>`, "a"},
		{"references", "&lt;a&gt; &amp;amp; &copy &copyx &auml;&#8364;&#x20AC;&#128;&nosuch; & &; &# &#x; &#0;&#xD800;&#9999999999;&NotEqualTilde;", "<a> &amp; © ©x ä€€€&nosuch; & &; &# &#x; \uFFFD\uFFFD\uFFFD≂̸"},
		{"zero width", "a\u200b\u200c\u200d\ufeff\u00ad\u034f\u2060&zwnj;&shy;&#8203;&#847;b\u00a0&nbsp;\u2007c", "ab c"},
		{"controls", "a\x00\x01\x7f\u0085b&#1;c", "abc"},
		{"other characters", "a€\u2028ä–😀\u3042\ufdd0", "a€ ä–😀\u3042\ufdd0"},
		{"links", `<a href="http://example.org/?a=1&copy=2">text</a> <a href="http://example.org/?a=1&amp;b=2&copy=3"></a> <a href="#top"></a><a href="http://x/"><img alt="picture"></a> <a href=http://y/><img></a><a>z</a>`, "text http://example.org/?a=1&b=2&copy=3 picture http://y/z"},
		{"link without end", `<a href="mailto:a@b">`, "mailto:a@b"},
		{"link in a link", `<a href="http://a/"><a href="http://b/">c`, "http://a/c"},
		{"image", `a<img src=x alt=" b &amp; c ">d`, "a b & c d"},
		{"attributes", `<p title="a>b" data-x='"' class = x =y / ><img alt=a/b><img alt="c" alt="d">`, "a/bc"},
		{"quote without end", `a<img alt="b>c`, "abc"},
		{"tag without end", "a<p title=x", "a"},
		{"end tag without end", "a</p", "a"},
		{"no tags", "a < b <3 </ c> <> <?php x?> </>d", "a < b <3 <> d"},
		{"upper case", "<P>A</P><BR><SCRIPT>B</Script ><BLOCKQUOTE>C</BLOCKQUOTE>", "A\n\n> C"},
		{"signature", "a<br>-- <br>b<div>-- </div>c", "a\n-- \nb\n-- \nc"},
		{"invalid", "a\xffb", "a\uFFFDb"},
		{"empty", "<p></p>", ""},
		{"cdata", "a<![CDATA[b]]>c", "ac"},
	} {
		if diff := cmp.Diff(test.want, htmlText(test.html)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestHTMLEntities(t *testing.T) {
	for line := range strings.Lines(htmlEntities) {
		name, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ";")
		legacy := false
		if want == "" {
			name, want, legacy = strings.Cut(name, " ")
		}
		// html.UnescapeString leaves alone what becomes longer: nGt and nLt.
		if std := stdhtml.UnescapeString("&" + name + ";"); std != want && len(want) <= len("&;")+len(name) {
			t.Errorf("%s is %q, want %q", name, want, std)
		}
		if got, size := characterReference("&"+name+";", false); got != want || size != len(name)+2 {
			t.Errorf("%s: %q of %d bytes", name, got, size)
		}
		if got, gotLegacy := entity(name); got != want || gotLegacy != legacy {
			t.Errorf("%s: %q, legacy %v", name, got, gotLegacy)
		}
		if legacy != (stdhtml.UnescapeString("&"+name) == want) {
			t.Errorf("%s: legacy %v", name, legacy)
		}
	}
	if n := strings.Count(htmlEntities, "\n"); n != 2123 {
		t.Errorf("%d entities", n)
	}
}

func TestHTMLTextOfDeepQuotes(t *testing.T) {
	html := strings.Repeat("<blockquote>", 10_000) + strings.Repeat("a<br>", 10_000)
	text := htmlText(html)
	if len(text) > 2*len(html) || !strings.HasPrefix(text, strings.Repeat("> ", maxQuoteLevels)+"a\n") {
		t.Errorf("%d bytes of text: %.100q", len(text), text)
	}
}

// ill returns which promises of htmlText do not hold.
func ill(html, text string) (problems []string) {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		problems = append(problems, "not storable")
	}
	if len(text) > 2*len(html)+64 {
		problems = append(problems, "more than twice the size")
	}
	if strings.Contains(text, "\r") {
		problems = append(problems, "a CR")
	}
	if !strings.Contains(strings.ToLower(html), "<pre") && !strings.Contains(strings.ToLower(html), "<xmp") &&
		!strings.Contains(strings.ToLower(html), "<listing") && strings.Contains(text, "\n\n\n") {
		problems = append(problems, "two empty lines")
	}
	return problems
}

func FuzzHTMLText(f *testing.F) {
	for _, text := range hostileHTML {
		f.Add(text + text)
		f.Add("<blockquote>" + text + "<pre>" + text + "<li>" + text + "</blockquote>" + text)
	}
	f.Fuzz(func(t *testing.T, html string) {
		text := htmlText(html)
		for _, problem := range ill(html, text) {
			t.Errorf("%s: %q", problem, text)
		}
	})
}

var hostileHTML = []string{
	"<", "&", "<!", "<!--", "<!-- -->", "-->", "</", "<a", "<a ", "<a b=\"", "<a b='", "<a b=\"'>", "<p>", "<br>", "<hr>", "<td>", "<pre>", "\n", "a\n", "<li>", "<li>a", "<ul>", "<ul><li>a",
	"<blockquote>", "<blockquote>a<br>", "</blockquote>", "<blockquote>a</blockquote>", "<blockquote style=border:none>a", "<script>", "<script></", "<title>", "<style></style>",
	"<p style=display:none>", "<div style=display:none>", "<div style=display:none>a</div>", "<div style=;>", "<template>", "<template></template>", "<a href=http:a>", "<a href=http:a></a>",
	"<img alt=a>", "&#1", "&aaaa", "&nbsp;", "&nGt;", "&lt", "\xff", "\xffa", "\u00ad", "\u00a0", "-- <br>", "<x y=z ", "<?", "<![if a]>", "\r", "😀",
}

func TestHTMLTextIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, text := range hostileHTML {
		linearText(t, text, func(s string) { htmlText(s) })
		linearText(t, text, func(s string) { htmlText("<blockquote><pre>" + s) })
	}
}

func TestHTMLTextCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "torture", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no torture files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range ill(string(raw), htmlText(string(raw))) {
			t.Errorf("%s: %s", filepath.Base(file), problem)
		}
	}
}

func BenchmarkHTMLText(b *testing.B) {
	for _, bench := range []struct{ name, html string }{
		{"reply", `<div dir="ltr">A line of text with <b>some</b> words, and a <a href="http://example.org/a?b=c">link</a>.<br></div>` + "\n"},
		{"outlook", `<p class="MsoNormal"><span lang="EN-US" style="font-size:11.0pt;font-family:&quot;Calibri&quot;,sans-serif">A line of text, gr&uuml;n.<o:p></o:p></span></p>` + "\n"},
		{"newsletter", `<table width="100%" cellpadding="0" style="border:0;margin:0 auto"><tr><td style="padding:0 10px;font-family:Arial"><img src="https://example.org/a.png" alt="" width="1">&nbsp;</td><td><a href="https://example.org/track/0123456789" style="color:#123456">Read more</a></td></tr></table>`},
		{"text", "A line of text that has no markup at all in it, only words and line ends.\n"},
	} {
		html := strings.Repeat(bench.html, 64<<10/len(bench.html))
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(html)))
			b.ReportAllocs()
			for b.Loop() {
				htmlText(html)
			}
		})
	}
}
