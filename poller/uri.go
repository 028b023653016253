package poller

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mailrow/poller/dial"
)

// URI says where a source is, which of its folders are meant and what becomes of
// a mail there once it is stored. It is written as Django Mailbox writes it:
//
//	maildir:///home/ann/Maildir
//	mbox:///var/mail/ann?after=delete
//	imap+ssl://ann%40example.com@imap.example.com?folder=INBOX&archive=Done
//	imap+exec:ssh mail.example.com /usr/lib/dovecot/imap
//
// However it is printed or marshaled, it is its canonical form, in which there is
// no password.
type URI struct {
	Kind     string // maildir, mbox, mh, mmdf, babyl, imap, …
	Security string // what follows the + of the scheme: ssl, tls or exec; "" without

	Path string // absolute, of a source on this machine

	User, Host string   // of a source elsewhere
	Port       int      // 0: that of the kind
	Command    []string // in place of all that: a program to speak to
	Verify     dial.Verify
	Auth       string // mechanism to log in by; "": the best

	Folders []string // patterns as Source.Folders takes them; none: the source's own folder

	// Which mail of an IMAP source is meant: that which matches, and is of this UID
	// or came on this day, or later.
	Search   string
	SinceUID uint32
	Since    time.Time

	After   After
	Delay   time.Duration // how long mail stays once it is stored, with AfterDelete
	Archive string        // folder that mail goes to, with AfterArchive

	// A pointer: fmt does not ask a type in an unexported field of another how to
	// print it, but does not follow pointers there either.
	password *string
}

const (
	exec      = "exec"      // the security of a server that is a program on this machine
	office365 = "office365" // always TLS
)

// kinds are those that a scheme names, each with an example and with what may
// follow its +; nothing may for those on this machine.
var kinds = map[string]struct {
	securities []string
	example    string
}{
	"maildir": {nil, "maildir:///home/ann/Maildir"},
	"mbox":    {nil, "mbox:///var/mail/ann"},
	"mh":      {nil, "mh:///home/ann/Mail"},
	"mmdf":    {nil, "mmdf:///home/ann/mail.mmdf"},
	"babyl":   {nil, "babyl:///home/ann/RMAIL"},
	"imap":    {[]string{"ssl", "tls", "", exec}, "imap+ssl://ann%40example.com@imap.example.com?folder=INBOX"},
	"pop3":    {[]string{"ssl", "tls", ""}, "pop3+ssl://ann%40example.com@pop.example.com"},
	"gmail":   {[]string{"ssl"}, "gmail+ssl://ann%40gmail.com@imap.gmail.com"},
	office365: {[]string{"ssl", ""}, "office365://ann%40example.com@outlook.office365.com"},
}

const anyExample = "maildir:///home/ann/Maildir"

// URIError is a URI that cannot be understood. It shows nothing that may be a
// part of a password, not even of one in the wrong place.
type URIError struct {
	Reason  string
	Example string // of a correct one
}

func (e *URIError) Error() string { return e.Reason + ": write for example " + e.Example }

// ParseURI reads a URI. Its error is a *URIError.
func ParseURI(s string) (URI, error) {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || !isScheme(scheme) {
		reason := "source URI without a scheme"
		if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "~") {
			reason = fmt.Sprintf("%q is a path, not a source URI", s)
		}
		return URI{}, &URIError{reason, anyExample}
	}
	u := URI{After: AfterKeep}
	u.Kind, u.Security, _ = strings.Cut(strings.ToLower(scheme), "+")
	kind, known := kinds[u.Kind]
	if !known {
		return URI{}, &URIError{fmt.Sprintf("there is no kind of source %q; there are %s", u.Kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")), anyExample}
	}
	fail := func(format string, args ...any) (URI, error) {
		return URI{}, &URIError{fmt.Sprintf(format, args...), kind.example}
	}
	if !u.Local() && !slices.Contains(kind.securities, u.Security) {
		return fail("there is no +%s: there are %s", u.Security, u.schemes())
	}
	rest, found = strings.CutPrefix(rest, "//")
	if !found && u.Security != exec {
		if u.Local() && strings.HasPrefix(rest, "/") && !strings.ContainsAny(rest, ":@") {
			return URI{}, &URIError{u.Kind + " URI with one slash, where there are three", u.Kind + "://" + rest}
		}
		return fail("%s URI without //", u.Kind)
	}
	place, query, _ := strings.Cut(rest, "?")
	read := u.readServer
	switch {
	case u.Local():
		read = u.readPath
	case u.Security == exec:
		read = u.readCommand
	// Whatever comes after the last @ is no password, so it comes before all else.
	case strings.Contains(rest[strings.IndexAny(rest+"/", "/?"):], "@"):
		return fail("%s URI with an @ after the server: in user and password write @ as %%40, / as %%2F, ? as %%3F", u.Kind)
	}
	if reason := read(place); reason != "" {
		return fail("%s URI: %s", u.Kind, reason)
	}
	if reason := u.readQuery(query); reason != "" {
		return fail("%s URI: %s", u.Kind, reason)
	}
	return u, nil
}

// IsURI reports whether a text is meant to be a source URI, be it a wrong one: it
// has :// or begins with a kind and a colon.
func IsURI(s string) bool {
	scheme, _, found := strings.Cut(s, ":")
	kind, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	_, known := kinds[kind]
	return found && known || strings.Contains(s, "://")
}

// schemes are those of the kind, in words.
func (u URI) schemes() string {
	means := map[string]string{
		"ssl": "TLS from the first byte", "tls": "TLS by a command", "": "in clear", exec: "a program to speak to",
	}
	if u.Kind == office365 {
		means[""] = means["ssl"]
	}
	var all []string
	for _, security := range kinds[u.Kind].securities {
		scheme := strings.TrimSuffix(u.Kind+"+"+security, "+")
		all = append(all, scheme+" ("+means[security]+")")
	}
	return strings.Join(all, ", ")
}

func isScheme(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
	}) < 0
}

// readPath reads what is between // and ? of a source on this machine. It gives
// what is wrong with it.
func (u *URI) readPath(s string) (reason string) {
	if u.Security != "" {
		return fmt.Sprintf("a %s has no +%s", u.Kind, u.Security)
	}
	if s != "" && s[0] != '/' {
		if strings.ContainsAny(s, ":@") {
			return "a source on this machine has no user and no host"
		}
		return fmt.Sprintf("%q is not an absolute path; with three slashes %s:///%s is", s, u.Kind, s)
	}
	name, ok := unescape(s)
	switch {
	case !ok:
		return fmt.Sprintf("path %q has a %% that is not followed by two hexadecimal digits; %% itself is %%25", s)
	case strings.Trim(name, "/") == "":
		return "there is no path"
	case strings.ContainsRune(name, 0):
		return "the path has a NUL"
	case slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Sprintf("path %q has a .. in it", s)
	}
	u.Path = path.Clean(name)
	return ""
}

// readServer reads user:password@host:port. None of it is shown, since it may
// not be what it seems.
func (u *URI) readServer(s string) (reason string) {
	server, path, _ := strings.Cut(s, "/")
	if path != "" {
		return "there is something after the server; a folder is ?folder=NAME"
	}
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		user, password, has := strings.Cut(server[:at], ":")
		server = server[at+1:]
		var ok, okay bool
		if u.User, ok = unescape(user); !ok {
			return "the user has a % that is not followed by two hexadecimal digits; % itself is %25"
		}
		if password, okay = unescape(password); !okay {
			return "the password has a % that is not followed by two hexadecimal digits; % itself is %25"
		}
		if has {
			u.password = &password
		}
	}
	host, port := server, ""
	if colon := strings.LastIndexByte(server, ':'); colon > strings.LastIndexByte(server, ']') {
		host, port = server[:colon], server[colon+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "the port is no number between 1 and 65535"
		}
		u.Port = int(n)
	}
	if u.Host = strings.ToLower(strings.Trim(host, "[]")); u.Host == "" {
		return "there is no server"
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || strings.ContainsRune(`%#"<>[]\^{|}`, r) }) {
		return "the server's name has a character that no name has"
	}
	return ""
}

// readCommand reads a program and its arguments, with blanks between them. No shell
// does: a blank inside of one is %20.
func (u *URI) readCommand(s string) (reason string) {
	for word := range strings.FieldsSeq(s) {
		word, ok := unescape(word)
		if !ok {
			return "the command has a % that is not followed by two hexadecimal digits; % itself is %25"
		}
		if strings.ContainsRune(word, 0) {
			return "the command has a NUL"
		}
		u.Command = append(u.Command, word)
	}
	if u.Command == nil {
		return "there is no command: imap+exec:ssh mail.example.com /usr/lib/dovecot/imap is one"
	}
	return ""
}

// Local says whether the source is on this machine.
func (u URI) Local() bool { return kinds[u.Kind].securities == nil }

// Encrypted says whether it is reached by TLS.
func (u URI) Encrypted() bool {
	return u.Security == "ssl" || u.Security == "tls" || u.Kind == office365
}

// IMAP says whether the source is spoken to by IMAP.
func (u URI) IMAP() bool { return !u.Local() && u.Kind != "pop3" }

// Password is what the URI was written with; false without.
func (u URI) Password() (string, bool) {
	if u.password == nil {
		return "", false
	}
	return *u.password, true
}

// Place is the URI without its parameters: what ids of mail belong to.
func (u URI) Place() string {
	var b strings.Builder
	b.WriteString(u.Kind)
	if u.Security != "" {
		b.WriteString("+" + u.Security)
	}
	b.WriteString("://")
	if u.Local() {
		b.WriteString(escape(u.Path, "?"))
		return b.String()
	}
	for i, word := range u.Command {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(escape(word, ":@?"))
	}
	if u.User != "" {
		b.WriteString(escape(u.User, ":@/?") + "@")
	}
	if strings.Contains(u.Host, ":") {
		b.WriteString("[" + u.Host + "]")
	} else {
		b.WriteString(u.Host)
	}
	if u.Port != 0 {
		b.WriteString(":" + strconv.Itoa(u.Port))
	}
	return b.String()
}

// String is the canonical form, without a password.
func (u URI) String() string {
	if query := u.query(); query != "" {
		return u.Place() + "?" + query
	}
	return u.Place()
}

// Format writes String, whatever the verb.
func (u URI) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// MarshalText gives String.
func (u URI) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// escape writes as %XX what stands for something else in a URI, what nobody sees
// and what is not UTF-8.
func escape(s, special string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r <= ' ' || r == 0x7f || r == utf8.RuneError && n == 1 || strings.ContainsRune("%#"+special, r) {
			fmt.Fprintf(&b, "%%%02X", s[0])
			n = 1
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func unescape(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}
