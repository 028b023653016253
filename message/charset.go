package message

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// charset decodes bytes to UTF-8. The zero value is an unknown charset.
type charset struct {
	kind     charsetKind
	encoding encoding.Encoding // of kind encoded
}

type charsetKind uint8

const (
	unknown charsetKind = iota
	encoded
	text8 // UTF-8, ASCII and names that say nothing: what the bytes look like
	utf7
	iso2022jp
	iso2022kr
	iso2022cn
)

// decode returns valid UTF-8 and whether the bytes were all of the charset.
func (c charset) decode(s string) (string, bool) {
	switch c.kind {
	case encoded:
		out, err := c.encoding.NewDecoder().String(s)
		if err != nil {
			return guess(s), false
		}
		return out, !strings.Contains(out, "\uFFFD")
	case utf7:
		return decodeUTF7(s)
	case iso2022jp:
		return decodeISO2022(s, katakana)
	case iso2022kr:
		return decodeISO2022(s, hangul)
	case iso2022cn:
		return decodeISO2022(s, hanzi)
	}
	if utf8.ValidString(s) {
		return s, true
	}
	return guess(s), false
}

// guess decodes bytes that are not valid in the charset they claim: text that
// is mostly UTF-8 (cut inside a character, or folded there) stays so, anything
// else is windows-1252. Latin-1 text hardly ever forms UTF-8 sequences.
func guess(s string) string {
	good, bad := countUTF8(s)
	if good >= bad {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	out, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return out
}

// isWindows1252 says whether windows-1252 defines every byte.
func isWindows1252(b []byte) bool {
	for _, undefined := range []byte{0x81, 0x8d, 0x8f, 0x90, 0x9d} {
		if bytes.IndexByte(b, undefined) >= 0 {
			return false
		}
	}
	return true
}

// fromWindows1252 gives bytes that are all defined in UTF-8.
func fromWindows1252(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		out = utf8.AppendRune(out, charmap.Windows1252.DecodeByte(c))
	}
	return out
}

// countUTF8 counts the sequences of UTF-8 beyond ASCII and the bytes that are
// in none.
func countUTF8[T string | []byte](s T) (good, bad int) {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && n == 1 {
			bad++
		} else {
			good++
		}
		i += n
	}
	return good, bad
}

// lookupCharset finds a charset by its label. It is a switch instead of a
// registry because this program starts once per mail: building the maps of
// htmlindex and ianaindex would cost more than reading the header.
func lookupCharset(label string) charset {
	var buf [24]byte
	n := 0
	for i := 0; i < len(label); i++ {
		c := label[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			continue // "iso-8859-1", "ISO8859_1" and "iso 8859 1" are one
		}
		if n == len(buf) {
			return charset{}
		}
		buf[n] = c
		n++
	}
	key := string(buf[:n])
	switch key {
	case "utf8", "unicode11utf8", "unicode20utf8", "xunicode20utf8", "utf8mb4",
		"usascii", "ascii", "ansix341968", "ansix341986", "iso646us", "iso646irv1991", "isoir6", "us", "cp367", "ibm367", "csascii",
		"default", "unknown8bit", "unknown", "xunknown", "8bit", "binary", "none", "xuserdefined":
		return charset{kind: text8}
	case "utf7", "unicode11utf7", "unicode20utf7", "csunicode11utf7", "unicode11utf7imap":
		return charset{kind: utf7}
	case "iso2022kr", "csiso2022kr":
		return charset{kind: iso2022kr}
	case "iso2022jp", "iso2022jp1", "iso2022jp2", "iso2022jp3", "iso2022jp2004", "iso2022jpms", "csiso2022jp", "csiso2022jp2", "jis", "jis7", "cp50220", "cp50221", "cp50222":
		return charset{kind: iso2022jp}
	case "iso2022cn", "iso2022cnext", "csiso2022cn":
		return charset{kind: iso2022cn}
	}
	e := singleByte(key)
	if e == nil {
		e = multiByte(key)
	}
	if e == nil {
		return charset{}
	}
	return charset{kind: encoded, encoding: e}
}

// singleByte knows the labels of the WHATWG Encoding Standard, the code pages
// of x/text and what was met in mail. Like browsers it reads ISO-8859-1 as
// windows-1252, 8859-9 as windows-1254 and 8859-11 as windows-874: they differ
// only in control characters, which nobody means.
func singleByte(key string) encoding.Encoding {
	switch key {
	case "windows1252", "cp1252", "xcp1252", "win1252", "ansi", "1252",
		"iso88591", "iso885911987", "88591", "latin1", "l1", "isoir100", "ibm819", "cp819", "csisolatin1", "isolatin1":
		return charmap.Windows1252
	case "iso88592", "iso885921987", "88592", "latin2", "l2", "isoir101", "csisolatin2":
		return charmap.ISO8859_2
	case "iso88593", "iso885931988", "latin3", "l3", "isoir109", "csisolatin3":
		return charmap.ISO8859_3
	case "iso88594", "iso885941988", "latin4", "l4", "isoir110", "csisolatin4":
		return charmap.ISO8859_4
	case "iso88595", "iso885951988", "cyrillic", "isoir144", "csisolatincyrillic":
		return charmap.ISO8859_5
	case "iso88596", "iso885961987", "arabic", "isoir127", "csisolatinarabic", "asmo708", "ecma114", "iso88596e", "iso88596i":
		return charmap.ISO8859_6
	case "iso88597", "iso885971987", "greek", "greek8", "isoir126", "csisolatingreek", "ecma118", "elot928", "suneugreek":
		return charmap.ISO8859_7
	case "iso88598", "iso885981988", "hebrew", "isoir138", "csisolatinhebrew", "visual", "iso88598e", "iso88598i", "logical":
		return charmap.ISO8859_8
	case "windows1254", "cp1254", "xcp1254", "win1254", "iso88599", "iso885991989", "latin5", "l5", "isoir148", "csisolatin5":
		return charmap.Windows1254
	case "iso885910", "latin6", "l6", "isoir157", "csisolatin6":
		return charmap.ISO8859_10
	case "windows874", "cp874", "dos874", "tis620", "iso885911":
		return charmap.Windows874
	case "iso885913", "latin7":
		return charmap.ISO8859_13
	case "iso885914", "latin8":
		return charmap.ISO8859_14
	case "iso885915", "latin9", "l9", "csisolatin9":
		return charmap.ISO8859_15
	case "iso885916", "latin10":
		return charmap.ISO8859_16
	case "windows1250", "cp1250", "xcp1250", "win1250":
		return charmap.Windows1250
	case "windows1251", "cp1251", "xcp1251", "win1251":
		return charmap.Windows1251
	case "windows1253", "cp1253", "xcp1253", "win1253":
		return charmap.Windows1253
	case "windows1255", "cp1255", "xcp1255", "win1255":
		return charmap.Windows1255
	case "windows1256", "cp1256", "xcp1256", "win1256":
		return charmap.Windows1256
	case "windows1257", "cp1257", "xcp1257", "win1257":
		return charmap.Windows1257
	case "windows1258", "cp1258", "xcp1258", "win1258":
		return charmap.Windows1258
	case "koi8r", "koi8", "koi", "cskoi8r":
		return charmap.KOI8R
	case "koi8u", "koi8ru":
		return charmap.KOI8U
	case "macintosh", "mac", "xmacroman", "macroman", "csmacintosh":
		return charmap.Macintosh
	case "xmaccyrillic", "xmacukrainian", "maccyrillic":
		return charmap.MacintoshCyrillic
	}
	return codePage(key)
}

// codePage knows the code pages of DOS.
func codePage(key string) encoding.Encoding {
	for _, prefix := range []string{"ibm", "cp", "dos", "csibm", "cspc"} {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			key = rest
			break
		}
	}
	switch key {
	case "437", "8codepage437":
		return charmap.CodePage437
	case "850", "850multilingual":
		return charmap.CodePage850
	case "852", "p852":
		return charmap.CodePage852
	case "855":
		return charmap.CodePage855
	case "858", "00858":
		return charmap.CodePage858
	case "860":
		return charmap.CodePage860
	case "862", "862latinhebrew":
		return charmap.CodePage862
	case "863":
		return charmap.CodePage863
	case "865":
		return charmap.CodePage865
	case "866":
		return charmap.CodePage866
	}
	return nil
}

func multiByte(key string) encoding.Encoding {
	switch key {
	case "gb18030", "gbk", "xgbk", "gb2312", "gb231280", "csgb2312", "csiso58gb231280", "isoir58", "chinese", "euccn", "xeuccn", "cp936", "windows936", "936", "ms936":
		return simplifiedchinese.GB18030
	case "hzgb2312", "hz":
		return simplifiedchinese.HZGB2312
	case "big5", "big5hkscs", "cnbig5", "xxbig5", "csbig5", "big5eten", "cp950", "windows950", "950":
		return traditionalchinese.Big5
	case "shiftjis", "sjis", "xsjis", "mskanji", "csshiftjis", "cp932", "windows31j", "cswindows31j", "windows932", "ms932", "xmssjis", "932":
		return japanese.ShiftJIS
	case "eucjp", "xeucjp", "ujis", "cseucpkdfmtjapanese":
		return japanese.EUCJP
	case "euckr", "cseuckr", "ksc5601", "ksc56011987", "ksc56011989", "ksx1001", "csksc56011987", "isoir149", "korean", "cp949", "windows949", "949", "uhc", "ms949", "xwindows949":
		return korean.EUCKR
	case "utf16", "utf16le", "csunicode", "ucs2", "iso10646ucs2", "unicode", "unicodefeff", "csutf16", "csutf16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf16be", "unicodefffe", "csutf16be":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf32", "utf32be", "ucs4", "iso10646ucs4", "csucs4", "csutf32", "csutf32be":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf32le", "csutf32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	}
	return nil
}

// isASCIICompatible says whether text of nothing but ASCII bytes is ASCII.
func (c charset) isASCIICompatible() bool {
	switch c.kind {
	case utf7, iso2022jp, iso2022kr, iso2022cn:
		return false
	case encoded:
		return c.encoding != simplifiedchinese.HZGB2312 && !c.isWide()
	}
	return true
}

// isWide says whether each character takes two bytes or more.
func (c charset) isWide() bool {
	if c.kind != encoded {
		return false
	}
	one, err := c.encoding.NewEncoder().String("a")
	return err != nil || len(one) > 1
}

// decodeUTF7 decodes RFC 2152: runs of base64 UTF-16 between "+" and the
// first character that is not of base64; a "-" there is dropped.
func decodeUTF7(s string) (string, bool) {
	var out strings.Builder
	out.Grow(len(s))
	ok := true
	for len(s) > 0 {
		plus := strings.IndexByte(s, '+')
		if plus < 0 {
			plus = len(s)
		}
		if plain := s[:plus]; utf8.ValidString(plain) {
			out.WriteString(plain)
		} else {
			out.WriteString(guess(plain))
			ok = false
		}
		if plus == len(s) {
			break
		}
		s = s[plus+1:]
		n := 0
		for n < len(s) && isBase64(s[n]) {
			n++
		}
		run := s[:n]
		s = s[n:]
		minus := len(s) > 0 && s[0] == '-'
		if minus {
			s = s[1:]
		}
		if n == 0 {
			out.WriteByte('+')
			ok = ok && minus
			continue
		}
		if !writeUTF7Run(&out, run) {
			ok = false
		}
	}
	return out.String(), ok
}

func writeUTF7Run(out *strings.Builder, run string) bool {
	ok := len(run)%4 != 1
	if !ok {
		run = run[:len(run)-1]
	}
	b, err := base64.RawStdEncoding.DecodeString(run)
	if err != nil {
		ok = false
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	for _, r := range utf16.Decode(units) {
		out.WriteRune(r)
	}
	return ok
}

func isBase64(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}
