package message

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, test := range []struct {
		encoding, body, want string
		wrapped              Wrapping
	}{
		{"7bit", "a=41\r\nb", "a=41\r\nb", Identity},
		{"x-unknown", "a=41", "a=41", Identity},

		{"quoted-printable", "a=C3=A4=\r\nb=\nc\nd", "aäbc\nd", QuotedPrintable},
		{"quoted-printable", "a=c3=a4", "aä", QuotedPrintable},
		{"quoted-printable", strings.Repeat("a=20", 3000), strings.Repeat("a ", 3000), QuotedPrintable},
		{"quoted-printable", "", "", QuotedPrintable},
		{"quoted-printable", "a \t\r\nb \nc ", "a\r\nb\nc", Odd},
		{"quoted-printable", "a= \t\nb=", "ab", Odd},
		{"quoted-printable", "a=b==41=4", "a=b=A=4", Odd},
		{"quoted-printable", "a=\rb", "ab", Odd},
		{"quoted-printable", "a \t b", "a \t b", QuotedPrintable},
		{"quoted-printable", "a \t=41 =\nb", "a \tA b", QuotedPrintable},
		{"quoted-printable", strings.Repeat(" ", 70_000) + "a", strings.Repeat(" ", 70_000) + "a", QuotedPrintable},
		{"quoted-printable", strings.Repeat(" ", 70_000) + "\ra\t\x00", "\ra\t\x00", Odd},

		{"base64", "YWJj", "abc", Base64},
		{"base64", " YW\r\nJj\tZA= =\r\n\r\n", "abcd", Base64},
		{"base64", "", "", Base64},
		{"base64", "YWI=", "ab", Base64},
		{"base64", "YWJ=", "ab", Base64}, // unused bits are set
		{"base64", "YWJjZA", "abcd", Odd},
		{"base64", "YWJjZ", "abc", Odd},
		{"base64", "YW!J\x00j", "abc", Odd},
		{"base64", "YQ==YmM=", "abc", Odd},
		{"base64", "YQ==\nYmM=\n", "abc", Odd},
		{"base64", "YQ==\n\nThis is a footer\n", "a", Odd},
		{"base64", "YQ==\nFooter\n", "a", Odd},
		{"base64", "YQ== ignored\n", "a", Odd},
		{"base64", "YQ== YmM=\n", "abc", Odd},
		{"base64", "YWJj\n--\nFooter\n", "abc", Odd},
		{"base64", "YWJj\n_____________\nFooter of the list\n", "abc", Odd},
		{"base64", "YQ===", "a", Odd},
		{"base64", "====", "", Odd},

		{"x-uuencode", "begin 644 a\n#86)C\n`\nend\n", "abc", Odd},
		{"x-uuencode", "text\nbegin 644 a\r\n#86)C\r\n!80\r\n`\r\nend\r\n#86)C\n", "abca", Odd},
		{"x-uuencode", "#86)C\n", "abc", Odd},
	} {
		raw := []byte("Content-Type: image/png\nContent-Transfer-Encoding: " + test.encoding + "\n\n" + test.body)
		m := Parse(raw)
		if got := string(m.Parts[0].Decode(raw)); got != test.want || m.Parts[0].Wrapped != test.wrapped {
			t.Errorf("%s %q: got %q, wrapped %d", test.encoding, test.body, got, m.Parts[0].Wrapped)
		}
		for _, problem := range broken(raw, m) {
			t.Errorf("%s %q: %s", test.encoding, test.body, problem)
		}
	}
}

func TestTransferEncodingNames(t *testing.T) {
	for in, want := range map[string]string{
		"base64": "base64", "BASE64": "base64", "base64;": "base64", "\"base64\"": "base64", "base-64": "base64", "base64 (x)": "base64",
		"8-bit": "8bit", "7 bit": "7bit", "quoted_printable": "quoted-printable", "Quoted-Printable": "quoted-printable",
		"x-uuencode": "x-uuencode", "uuencode": "x-uuencode", "binary": "binary", "": "7bit", "X-Unknown": "x-unknown", "7bit; charset=x": "7bit",
	} {
		m := Parse([]byte("Content-Transfer-Encoding: " + in + "\n\n"))
		if got := m.Parts[0].Encoding; got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// Prose that is called base64 stays as it is.
func TestProseIsNoBase64(t *testing.T) {
	for _, prose := range []string{
		"Dear all, this is no base64 at all, or is it? No.\n", "This is an attachment", "?garbage",
		"ploozdect  nispplul swunkglap zarplontruskdremp fruftsist\nploystoov  smohsless\n",
	} {
		raw := []byte("Content-Transfer-Encoding: base64\n\n" + prose)
		m := Parse(raw)
		if got := m.Text.String(raw); got != prose {
			t.Errorf("%q", got)
		}
	}
}

// Whatever was encoded by the rules is what the decoders give; whatever was
// not must not make them panic or grow.
func FuzzTransfer(f *testing.F) {
	for _, seed := range []string{"a=C3=A4=\r\nb \n", "YWJj\r\nZA==\r\n", "begin 644 a\n#86)C\n`\nend\n", "====", "a= \t", " \t \t"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var q bytes.Buffer
		w := quotedprintable.NewWriter(&q)
		w.Binary = true
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for encoding, body := range map[string][]byte{encodingQuotedPrintable: q.Bytes(), encodingBase64: wrap(b, 8, true)} {
			d := newDecoder(encoding, body)
			if got := d.all(0); !bytes.Equal(got, b) {
				t.Errorf("%s %q: got %q of %q", encoding, body, got, b)
			}
		}
		for _, encoding := range []string{encodingQuotedPrintable, encodingBase64, encodingUU} {
			d, small := newDecoder(encoding, b), newDecoder(encoding, b)
			all := d.all(len(b))
			if n := small.size(make([]byte, 0, decodeRoom)); int(n) != len(all) || len(all) > len(b)+64 && encoding != encodingUU {
				t.Errorf("%s %q: %d bytes, in small pieces %d", encoding, b, len(all), n)
			}
		}
		if s := scanBase64(b); s.strict {
			d := newDecoder(encodingBase64, b)
			want, err := unwrap(b, Base64)
			if got := d.all(0); err != nil || !bytes.Equal(got, want) || int64(len(got)) != s.size {
				t.Errorf("base64 %q: got %q, want %q, %v", b, got, want, err)
			}
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add([]byte("content"), uint8(8), true, []byte("\n"))
	f.Add(bytes.Repeat([]byte{0, 0xff, 'x'}, 700), uint8(19), false, []byte(" \r\n"))
	f.Fuzz(func(t *testing.T, content []byte, quarter uint8, crlf bool, around []byte) {
		for len(content) < MinCut {
			content = append(content, "filling the content up"...)
		}
		text := wrap(content, 4*int(quarter), crlf)
		whole := append(append(append([]byte{}, around...), text...), around...)
		s := scanBase64(whole)
		if s.regular {
			got, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(string(whole[s.start:s.end])))
			if err != nil || !bytes.Equal(wrap(got, s.lineLength, s.crlf), whole[s.start:s.end]) {
				t.Errorf("%q cannot be put back from %q, %v", whole[s.start:s.end], got, err)
			}
		}
		if len(around) == 0 && !s.regular {
			t.Errorf("%q is not regular", text)
		}
	})
}
